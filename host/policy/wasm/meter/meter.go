package meter

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// What a module may have of the things that cost memory outside its linear memory.
const (
	mostTableEntries = 1 << 20 // in all tables together, 8 bytes each
	mostGlobals      = 1 << 16
	mostElementBytes = 1 << 20  // of the section that fills the tables
	mostLocals       = 50_000   // of one function
	mostResults      = 16       // of one function
	mostCode         = 64 << 20 // bytes of code with what is added; usually a third more than before
)

// The sections of a module, by their number in the file.
const (
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionGlobal   = 6
	sectionExport   = 7
	sectionStart    = 8
	sectionElement  = 9
	sectionCode     = 10
	sectionData     = 11
	sectionCount    = 12 // of data segments; stands before the code
)

// inOrder is how sections follow each other.
var inOrder = []byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal,
	sectionExport, sectionStart, sectionElement, sectionCount, sectionCode, sectionData,
}

// Module is a module that gives way, and what is known of it.
type Module struct {
	Bytes   []byte
	Yield   uint32 // index of the function that it calls to give way
	Frames  Frames
	Imports []string // "module.name" of each function it imports
	Exports []string
}

// Frames is what a call of each function takes of the stack, by the function's index: 1 for the call,
// 1 for every 64 bytes of its code, and 1 for every 8 of its parameters and local variables.
type Frames []uint32

// Of is what a call of a function takes; 1 for one that is not known.
func (f Frames) Of(index uint32) uint32 {
	if uint64(index) >= uint64(len(f)) {
		return 1
	}
	return f[index]
}

const header = "\x00asm\x01\x00\x00\x00"

// Rewrite makes a module give way. Custom sections (names, debug information) are left out.
func Rewrite(module []byte) (*Module, error) {
	sections, err := split(module)
	if err != nil {
		return nil, err
	}
	w := &rewriter{sections: sections}
	if err := w.rewrite(); err != nil {
		return nil, err
	}
	size := len(header)
	for _, content := range sections {
		size += len(content) + mostNumber + 1
	}
	out := append(make([]byte, 0, size+len(sections[sectionCode])/2), header...) // usually enough
	for _, id := range inOrder {
		content, there := sections[id]
		switch {
		case !there:
		case id == sectionCode:
			if out, err = w.appendCode(append(out, id)); err != nil {
				return nil, err
			}
		default:
			out = appendSized(append(out, id), content)
		}
	}
	m := w.module // alone: a pointer to it would keep the rest of w
	m.Bytes = out
	return &m, nil
}

// split finds the sections.
func split(module []byte) (map[byte][]byte, error) {
	r := reader{rest: module}
	if string(r.bytes(uint32(len(header)))) != header {
		return nil, errors.New("no WebAssembly module of version 1")
	}
	sections := map[byte][]byte{}
	for r.more() {
		id, content := r.byte(), r.sized()
		if r.err != nil {
			break
		}
		_, twice := sections[id]
		switch {
		case id == sectionCustom:
			continue
		case id > sectionCount:
			return nil, fmt.Errorf("the module has a section %d, which is not known here", id)
		case twice:
			return nil, fmt.Errorf("the module has two sections %d", id)
		}
		sections[id] = content
	}
	return sections, r.err
}

// rewriter holds what one section has to know of another.
type rewriter struct {
	sections map[byte][]byte
	module   Module

	params  []uint32 // of each type
	types   []uint32 // of each function that the module defines
	globals uint32   // number of them; the counter comes behind
}

func (w *rewriter) rewrite() error {
	for _, id := range []byte{sectionType, sectionFunction, sectionCode} {
		if len(w.sections[id]) == 0 {
			return errors.New("the module has no functions")
		}
	}
	for _, step := range []func() error{w.readTypes, w.readImports, w.readFunctions, w.readTables, w.readGlobals, w.readExports, w.readElements} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewriter) open(id byte) *reader { return &reader{rest: w.sections[id]} }

// readTypes counts each type's parameters, and adds the type of a function without any.
func (w *rewriter) readTypes() error {
	r := w.open(sectionType)
	n := r.number()
	body := r.rest
	for ; n > 0 && r.err == nil; n-- {
		if form := r.byte(); form != 0x60 && r.err == nil {
			return errors.New("the module has a type that is no function")
		}
		w.params = append(w.params, r.valueTypes())
		if r.valueTypes() > mostResults && r.err == nil {
			return fmt.Errorf("the module has a function of more than %d results", mostResults)
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	added := []byte{0x60, 0, 0}
	w.replace(sectionType, uint32(len(w.params))+1, body, added)
	return nil
}

// replace writes a section of n entries: the old ones and an added one.
func (w *rewriter) replace(id byte, n uint32, entries, added []byte) {
	content := appendNumber(nil, n)
	content = append(content, entries...)
	w.sections[id] = append(content, added...)
}

func (w *rewriter) readImports() error {
	r := w.open(sectionImport)
	if !r.more() {
		return nil
	}
	for n := r.number(); n > 0 && r.err == nil; n-- {
		name := string(r.sized()) + "." + string(r.sized())
		if kind := r.byte(); kind != 0 && r.err == nil {
			return fmt.Errorf("the module imports %.200q, which is not a function", name)
		}
		r.number() // its type
		w.module.Imports = append(w.module.Imports, name)
	}
	return r.end()
}

// readFunctions notes the type of each function, and adds the one to give way.
func (w *rewriter) readFunctions() error {
	r := w.open(sectionFunction)
	n := r.number()
	body := r.rest
	for ; n > 0 && r.err == nil; n-- {
		t := r.number()
		if r.err == nil && uint64(t) >= uint64(len(w.params)) {
			return errors.New("the module has a function without a type")
		}
		w.types = append(w.types, t)
	}
	if err := r.end(); err != nil {
		return err
	}
	defined := uint32(len(w.types))
	w.module.Yield = uint32(len(w.module.Imports)) + defined
	w.replace(sectionFunction, defined+1, body, appendNumber(nil, uint32(len(w.params))))
	return nil
}

// readTables gives each table an upper bound.
func (w *rewriter) readTables() error {
	const withMaximum = 1
	r := w.open(sectionTable)
	if !r.more() {
		return nil
	}
	n := r.number()
	out := appendNumber(nil, n)
	left := uint32(mostTableEntries)
	for ; n > 0 && r.err == nil; n-- {
		kind, flag := r.byte(), r.byte()
		if r.err == nil && (kind != 0x70 && kind != 0x6f || flag > withMaximum) {
			return errors.New("the module has a table of a kind that is not known here")
		}
		least, most := r.number(), uint32(math.MaxUint32)
		if flag == withMaximum {
			most = r.number()
		}
		if least > left {
			return fmt.Errorf("the module's tables have more than %d entries", mostTableEntries)
		}
		most = max(least, min(most, left/2)) // the next one wants some, too
		left -= most
		out = append(out, kind, withMaximum)
		out = appendNumber(appendNumber(out, least), most)
	}
	w.sections[sectionTable] = out
	return r.end()
}

// readGlobals adds the counter behind the module's own.
func (w *rewriter) readGlobals() error {
	added := []byte{0x7f, 1, opI32Const, 0, opEnd} // an i32 that changes, 0 at first
	r := w.open(sectionGlobal)
	if !r.more() {
		w.replace(sectionGlobal, 1, nil, added)
		return nil
	}
	w.globals = r.number()
	if w.globals > mostGlobals {
		return fmt.Errorf("the module has %d globals, at most %d are taken", w.globals, mostGlobals)
	}
	body := r.rest
	f := function{reader: *r, counter: w.globals}
	for n := w.globals; n > 0 && f.err == nil; n-- {
		f.global()
	}
	w.replace(sectionGlobal, w.globals+1, body, added)
	return f.end()
}

func (w *rewriter) readExports() error {
	const global = 3
	r := w.open(sectionExport)
	if !r.more() {
		return nil
	}
	for n := r.number(); n > 0 && r.err == nil; n-- {
		name, kind, index := r.sized(), r.byte(), r.number()
		if kind == global && index >= w.globals {
			return errors.New("the module exports a global that it does not have")
		}
		w.module.Exports = append(w.module.Exports, string(name))
	}
	return r.end()
}

func (w *rewriter) readElements() error {
	if n := len(w.sections[sectionElement]); n > mostElementBytes {
		return fmt.Errorf("the module fills its tables with %d bytes, at most %d are taken", n, mostElementBytes)
	}
	return nil
}

// appendCode rewrites each function into out, and adds the one to give way: it does nothing. Code is
// most of a module, so that it is written where it stays.
func (w *rewriter) appendCode(out []byte) ([]byte, error) {
	r := w.open(sectionCode)
	n := r.number()
	if r.err == nil && uint64(n) != uint64(len(w.types)) {
		return nil, errors.New("the module has functions without code, or code without functions")
	}
	size := len(out)
	out = append(out, make([]byte, mostNumber)...) // of the section, known at the end
	start := len(out)
	out = appendNumber(out, n+1)
	var scratch []byte
	w.module.Frames = slices.Repeat(Frames{1}, len(w.module.Imports))
	for i := uint32(0); i < n && r.err == nil; i++ {
		f := function{
			reader: reader{rest: r.sized()}, params: w.params[w.types[i]],
			counter: w.globals, yield: w.module.Yield, out: scratch[:0],
		}
		if r.err != nil {
			break
		}
		head, err := f.rewrite()
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", uint32(len(w.module.Imports))+i, err)
		}
		w.module.Frames = append(w.module.Frames, f.frame)
		scratch = f.out
		out = appendNumber(out, uint32(len(head)+len(scratch)))
		if out = append(append(out, head...), scratch...); len(out)-start > mostCode {
			return nil, errors.New("the module has too many loops")
		}
	}
	out = appendSized(out, []byte{0, opEnd})
	putNumber(out[size:start], uint32(len(out)-start))
	return out, r.end()
}
