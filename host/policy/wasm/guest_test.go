package wasm

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// guest is a module written by hand: what it says is set here, and the rest is the smallest module
// that can be loaded. It answers every question with PASS.
type guest struct {
	marker      string // default exportMarker
	imports     []string
	code        map[string][]byte // bodies in place of the standard ones, by export; nil leaves one out
	extra       []byte            // body of one more function, not exported
	extraType   byte              // default typeNone
	types       map[string]byte   // type in place of the standard one, by export
	start       string            // export that the start section names
	noMemory    bool
	pages, most uint32 // of linear memory; default 1 and none
	table       uint32 // entries of a table, 0 for no table
	description *sdk.Description
}

// The types of functions in these modules, by their index.
const (
	typeNone   = 0 // () -> ()
	typeAlloc  = 1 // (i32) -> i32
	typeTell   = 2 // () -> i64
	typeAnswer = 3 // (i32, i32) -> i64
	typeLog    = 4 // (i32, i32, i32) -> ()
	typeExit   = 5 // (i32) -> ()
	typeRandom = 6 // (i32, i32) -> i32
	typeClock  = 7 // (i32, i64, i32) -> i32
)

// What the museum imports; anything else is taken for a log.
const (
	logImport    = "tesseras.log"
	exitImport   = "wasi_snapshot_preview1.proc_exit"
	randomImport = "wasi_snapshot_preview1.random_get"
	clockImport  = "wasi_snapshot_preview1.clock_time_get"
)

// Indices of functions where nothing is imported and no export added: exports stand in alphabetic order.
const (
	placeIndex = 4
	extraIndex = 6
)

// Where a guest keeps what it says.
const (
	passAt, describeAt, inputAt = 16, 64, 4096
)

// Instructions, as far as these modules need them.
const (
	wUnreachable, wLoop, wEnd, wBr, wCall, wDrop   = 0x00, 0x03, 0x0b, 0x0c, 0x10, 0x1a
	wGet, wSet, wGrow, wI32, wI64, wAdd, wSub, wEq = 0x20, 0x21, 0x40, 0x41, 0x42, 0x6a, 0x6b, 0x46
	wIf, wElse, wVoid, wI64Type                    = 0x04, 0x05, 0x40, 0x7e
)

func signed(n int64) (out []byte) {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func unsigned(n uint32) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func vector(items ...[]byte) []byte {
	out := unsigned(uint32(len(items)))
	for _, i := range items {
		out = append(out, i...)
	}
	return out
}

func sized(b []byte) []byte { return append(unsigned(uint32(len(b))), b...) }

// code joins instructions into a body.
func code(parts ...any) (body []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			body = append(body, byte(p))
		case []byte:
			body = append(body, p...)
		}
	}
	return body
}

func i32(n int64) []byte { return append([]byte{wI32}, signed(n)...) }
func i64(n int64) []byte { return append([]byte{wI64}, signed(n)...) }

// answers is the code of an answer at a place.
func answers(ptr, size uint32) []byte { return i64(int64(uint64(ptr)<<32 | uint64(size))) }

// forever runs a body again and again, and then says nothing.
func forever(body ...any) []byte {
	return code(wLoop, wVoid, code(body...), wBr, 0, wEnd, wUnreachable)
}

// module writes the guest down.
func (g guest) module() []byte {
	description := g.description
	if description == nil {
		description = &sdk.Description{Name: "by hand", Version: "1", Places: true, Admits: true, Repairs: true, Decider: true}
	}
	says, err := description.MarshalVT()
	if err != nil {
		panic(err)
	}
	marker := g.marker
	if marker == "" {
		marker = exportMarker
	}
	bodies := map[string][]byte{
		marker:         {},
		exportAlloc:    i32(inputAt),
		exportDescribe: answers(describeAt, uint32(len(says))),
		exportPlace:    answers(passAt, 2),
		exportAdmit:    answers(passAt, 2),
		exportRepair:   answers(passAt, 2),
	}
	maps.Copy(bodies, g.code)
	types := map[string]byte{
		exportAlloc: typeAlloc, exportDescribe: typeTell, exportConfigure: typeAnswer,
		exportPlace: typeAnswer, exportAdmit: typeAnswer, exportRepair: typeAnswer,
	}
	maps.Copy(types, g.types)

	var imports, functions, exports, written [][]byte
	for _, name := range g.imports {
		module, field, _ := strings.Cut(name, ".")
		kind, known := map[string]int{exitImport: typeExit, randomImport: typeRandom, clockImport: typeClock}[name]
		if !known {
			kind = typeLog
		}
		imports = append(imports, code(sized([]byte(module)), sized([]byte(field)), 0, kind))
	}
	n, start := uint32(len(g.imports)), uint32(0)
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		if bodies[name] == nil {
			continue
		}
		if name == g.start {
			start = n
		}
		functions = append(functions, []byte{types[name]})
		exports = append(exports, code(sized([]byte(name)), 0, unsigned(n)))
		written = append(written, sized(code(0, bodies[name], wEnd)))
		n++
	}
	if g.extra != nil {
		functions = append(functions, []byte{g.extraType})
		written = append(written, sized(code(0, g.extra, wEnd)))
	}
	const fn, i32t, i64t = 0x60, 0x7f, 0x7e
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) { out = append(append(out, id), sized(content)...) }
	section(1, vector(
		[]byte{fn, 0, 0}, []byte{fn, 1, i32t, 1, i32t}, []byte{fn, 0, 1, i64t}, []byte{fn, 2, i32t, i32t, 1, i64t}, []byte{fn, 3, i32t, i32t, i32t, 0}, []byte{fn, 1, i32t, 0},
		[]byte{fn, 2, i32t, i32t, 1, i32t}, []byte{fn, 3, i32t, i64t, i32t, 1, i32t},
	))
	if len(imports) > 0 {
		section(2, vector(imports...))
	}
	section(3, vector(functions...))
	if g.table > 0 {
		section(4, vector(code(0x70, 0, unsigned(g.table))))
	}
	if !g.noMemory {
		memory := code(0, unsigned(max(1, g.pages)))
		if g.most > 0 {
			memory = code(1, unsigned(max(1, g.pages)), unsigned(g.most))
		}
		section(5, vector(memory))
		exports = append(exports, code(sized([]byte("memory")), 2, 0))
	}
	section(7, vector(exports...))
	if g.start != "" {
		section(8, unsigned(start))
	}
	section(10, vector(written...))
	if !g.noMemory {
		data := func(at int64, content []byte) []byte { return code(0, i32(at), wEnd, sized(content)) }
		section(11, vector(data(passAt, []byte{8, byte(sdk.Status_PASS)}), data(describeAt, says)))
	}
	return out
}
