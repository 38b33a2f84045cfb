package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// What a module may have of the things that cost memory outside its linear memory.
const (
	mostTableEntries = 1 << 20 // in all tables together, 8 bytes each
	mostGlobals      = 1 << 16
	mostElementBytes = 1 << 20 // of the section that fills the tables
)

// The sections that are looked into.
const (
	sectionImport  = 2
	sectionTable   = 4
	sectionGlobal  = 6
	sectionExport  = 7
	sectionElement = 9
)

var errEnds = errors.New("it ends in the middle")

// scanned is what is known of a module before a compiler sees it.
type scanned struct {
	module  []byte   // with every table bounded
	imports []string // "module.name"
	exports []string
}

// scan reads the outline of a module, so that one with foreign imports or huge tables is refused
// before it costs anything, and gives each table an upper bound: the runtime knows a limit for linear
// memory, but none for tables, and a table that grows is memory of the host.
//
// Source of the format: WebAssembly Core Specification 2.0, chapter 5.
func scan(module []byte) (*scanned, error) {
	r := reader{rest: module}
	if header := r.bytes(8); string(header) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("no WebAssembly module of version 1")
	}
	s := &scanned{module: slices.Clone(module[:8])}
	seen := map[byte]bool{}
	for len(r.rest) > 0 && r.err == nil {
		id, payload := r.byte(), r.sized()
		if r.err != nil {
			break
		}
		if seen[id] && id != 0 {
			return nil, fmt.Errorf("section %d stands there twice", id)
		}
		seen[id] = true
		payload, err := s.section(id, payload)
		if err != nil {
			return nil, err
		}
		s.module = append(s.module, id)
		s.module = binary.AppendUvarint(s.module, uint64(len(payload)))
		s.module = append(s.module, payload...)
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

// section looks into one section and returns it as it is to be compiled.
func (s *scanned) section(id byte, payload []byte) ([]byte, error) {
	r := reader{rest: payload}
	switch id {
	case sectionImport:
		s.imports = r.imports()
	case sectionTable:
		bounded, err := r.tables()
		if err != nil {
			return nil, err
		}
		payload = bounded
	case sectionGlobal:
		if n := r.number(); n > mostGlobals {
			return nil, fmt.Errorf("%d globals, at most %d are taken", n, mostGlobals)
		}
	case sectionExport:
		s.exports = r.exports()
	case sectionElement:
		if len(payload) > mostElementBytes {
			return nil, fmt.Errorf("%d bytes of table entries, at most %d are taken", len(payload), mostElementBytes)
		}
	}
	return payload, r.err
}

// imports reads "module.name" of each import. Anything but a function gets a name no host offers.
func (r *reader) imports() (names []string) {
	for n := r.number(); n > 0 && r.err == nil; n-- {
		name := string(r.sized()) + "." + string(r.sized())
		if kind := r.byte(); kind != 0 {
			r.fail(fmt.Errorf("it imports %q, which is not a function", name))
			return nil
		}
		r.number() // its type
		names = append(names, name)
	}
	return names
}

func (r *reader) exports() (names []string) {
	for n := r.number(); n > 0 && r.err == nil; n-- {
		names = append(names, string(r.sized()))
		r.byte()   // kind
		r.number() // index
	}
	return names
}

// tables reads the table section and writes it again with an upper bound for each.
func (r *reader) tables() ([]byte, error) {
	const withMaximum = 1
	n := r.number()
	out := binary.AppendUvarint(nil, uint64(n))
	left := uint32(mostTableEntries)
	for ; n > 0 && r.err == nil; n-- {
		kind, flag := r.byte(), r.byte()
		if kind != 0x70 && kind != 0x6f || flag > withMaximum {
			return nil, errors.New("a table of a kind that is not known here")
		}
		least, most := r.number(), uint32(math.MaxUint32)
		if flag == withMaximum {
			most = r.number()
		}
		if least > left {
			return nil, fmt.Errorf("tables of more than %d entries", mostTableEntries)
		}
		most = max(least, min(most, left/2)) // the others want some, too
		left -= most
		out = append(out, kind, withMaximum)
		out = binary.AppendUvarint(out, uint64(least))
		out = binary.AppendUvarint(out, uint64(most))
	}
	return out, r.err
}

// reader takes a module apart. Its first error stays; after it everything reads as zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.fail(errEnds)
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads an unsigned LEB128 number of 32 bits.
func (r *reader) number() uint32 {
	v, n := binary.Uvarint(r.rest[:min(len(r.rest), 5)])
	if n <= 0 || v > math.MaxUint32 {
		r.fail(errEnds)
		return 0
	}
	r.rest = r.rest[n:]
	return uint32(v)
}

// sized reads a length and so many bytes.
func (r *reader) sized() []byte { return r.bytes(r.number()) }
