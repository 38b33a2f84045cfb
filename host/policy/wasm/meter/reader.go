package meter

import (
	"encoding/binary"
	"errors"
	"math"
)

var errEnds = errors.New("the module ends in the middle of something")

// reader takes bytes apart. Its first error stays; after it there is nothing left to read.
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

func (r *reader) more() bool { return r.err == nil && len(r.rest) > 0 }

// end tells what went wrong, which includes that something is left: what is added behind it would be
// read as something else.
func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail(errors.New("the module has a section that is longer than what it says"))
	}
	return r.err
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
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// number reads an unsigned number of 32 bits (LEB128).
func (r *reader) number() uint32 {
	v, n := binary.Uvarint(r.rest[:min(len(r.rest), 5)])
	if n <= 0 || v > math.MaxUint32 {
		r.fail(errEnds)
		return 0
	}
	r.rest = r.rest[n:]
	return uint32(v)
}

// skipNumber passes over a number of any sign and up to 64 bits (LEB128).
func (r *reader) skipNumber() {
	for range 10 {
		if b := r.byte(); r.err != nil || b < 0x80 {
			return
		}
	}
	r.fail(errors.New("the module has a number of more than 64 bits"))
}

var errValueType = errors.New("a type that is not known here")

// valueType passes over the type of a value. What takes more than one byte is not known here: to read
// it wrong would be to read what follows wrong.
func (r *reader) valueType() {
	if !isValueType(r.byte()) {
		r.fail(errValueType)
	}
}

// valueTypes passes over a list of types and counts them.
func (r *reader) valueTypes() uint32 {
	n := r.number()
	for i := uint32(0); i < n && r.err == nil; i++ {
		r.valueType()
	}
	return n
}

func isValueType(b byte) bool {
	switch b {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f: // i32, i64, f32, f64, v128, funcref, externref
		return true
	}
	return false
}

// sized reads a length and so many bytes.
func (r *reader) sized() []byte { return r.bytes(r.number()) }

// mostNumber is how many bytes a number of 32 bits takes at most.
const mostNumber = binary.MaxVarintLen32

func appendNumber(to []byte, n uint32) []byte { return binary.AppendUvarint(to, uint64(n)) }

// putNumber writes a number so that it takes all of to.
func putNumber(to []byte, n uint32) {
	for i := range to {
		to[i] = byte(n&0x7f) | 0x80
		n >>= 7
	}
	to[len(to)-1] &^= 0x80
}

func appendSized(to, content []byte) []byte {
	return append(appendNumber(to, uint32(len(content))), content...)
}

// appendSigned writes a signed number (LEB128).
func appendSigned(to []byte, n int32) []byte {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(to, b)
		}
		to = append(to, b|0x80)
	}
}
