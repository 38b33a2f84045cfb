package catalog

import (
	"encoding/binary"
	"fmt"
	"time"
)

// rowVersion is the first byte of every value.
const rowVersion = 1

// enc builds a value or a key. Numbers are varints, bytes carry their length.
type enc []byte

func newValue() enc { return enc{rowVersion} }

func (e enc) uint(v uint64) enc { return binary.AppendUvarint(e, v) }

func (e enc) int(v int64) enc { return binary.AppendVarint(e, v) }

func (e enc) raw(b []byte) enc { return append(e, b...) }

func (e enc) bytes(b []byte) enc { return append(e.uint(uint64(len(b))), b...) }

func (e enc) text(s string) enc { return append(e.uint(uint64(len(s))), s...) }

func (e enc) flag(v bool) enc {
	if v {
		return append(e, 1)
	}
	return append(e, 0)
}

// time writes 0 for the zero time, else 1, seconds and nanoseconds since 1970.
func (e enc) time(t time.Time) enc {
	if t.IsZero() {
		return append(e, 0)
	}
	return append(e, 1).int(t.Unix()).uint(uint64(t.Nanosecond()))
}

// dec takes a value or a key apart. After the first failure it gives zeroes, and done says so.
type dec struct {
	what string
	b    []byte
	err  error
}

func openValue(what string, value []byte) *dec {
	d := &dec{what: what, b: value}
	d.version()
	return d
}

func (d *dec) version() {
	v := d.raw(1)
	if d.err == nil && v[0] > rowVersion {
		d.err = fmt.Errorf("%s row of version %d: %w", d.what, v[0], ErrNewerVersion)
	} else if d.err == nil && v[0] == 0 {
		d.fail()
	}
}

func openKey(what string, key []byte) *dec { return &dec{what: what, b: key} }

func (d *dec) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%s row: %w", d.what, ErrDamaged)
	}
	d.b = nil
}

// done is the error of the whole row; bytes left over are one.
func (d *dec) done() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

func (d *dec) raw(n int) []byte {
	if d.err != nil || n > len(d.b) {
		d.fail()
		return make([]byte, min(n, 64))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *dec) rest() []byte {
	out := d.b
	d.b = nil
	return out
}

func (d *dec) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	return d.raw(int(n))
}

func (d *dec) text() string { return string(d.bytes()) }

func (d *dec) flag() bool { return d.raw(1)[0] != 0 }

func (d *dec) time() time.Time {
	if !d.flag() {
		return time.Time{}
	}
	sec, nsec := d.int(), d.uint()
	return time.Unix(sec, int64(nsec%1e9)).UTC()
}
