package tessera

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// signatureLineSize is the size of "signature: ed25519 ...\n" in bytes.
const signatureLineSize = len(signaturePrefix) + 2*ed25519.SignatureSize + 1

const (
	ownerPrefix     = "owner: ed25519 "
	titlePrefix     = "title: "
	signaturePrefix = "signature: ed25519 "
)

var errSpelling = errors.New("not in the one spelling there is")

// document reads the lines of a document in their fixed order. The first error sticks, and everything
// read after it is zero.
type document struct {
	name string // for errors
	rest []byte
	line int
	err  error
}

func (d *document) fail(err error) {
	if d.err != nil {
		return
	}
	if !errors.Is(err, ErrVersion) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	d.err = fmt.Errorf("%s, line %d: %w", d.name, d.line, err)
}

// value takes the next line, which must begin with prefix, and returns what follows it.
func (d *document) value(prefix string) []byte {
	if d.err != nil {
		return nil
	}
	d.line++
	line, rest, found := bytes.Cut(d.rest, []byte{'\n'})
	value, ok := bytes.CutPrefix(line, []byte(prefix))
	if !found || !ok {
		d.fail(fmt.Errorf("want a line that begins with %q", prefix))
		return nil
	}
	d.rest = rest
	return value
}

// version takes the first line: kind and the version, which must be 1.
func (d *document) version(kind string) {
	v := d.value("tesseras " + kind + " ")
	if d.err != nil || string(v) == "1" {
		return
	}
	if _, err := parseNumber(v, 1<<62); err != nil {
		d.fail(err)
		return
	}
	d.fail(fmt.Errorf("%w: %s version %s", ErrVersion, kind, v))
}

func (d *document) number(prefix string, most int64) int64 {
	v := d.value(prefix)
	if d.err != nil {
		return 0
	}
	n, err := parseNumber(v, most)
	if err != nil {
		d.fail(err)
	}
	return n
}

func (d *document) time(prefix string) time.Time {
	v := d.value(prefix)
	if d.err != nil {
		return time.Time{}
	}
	t, err := parseTime(v)
	if err != nil {
		d.fail(err)
	}
	return t
}

func (d *document) title() string {
	v := d.value(titlePrefix)
	if d.err != nil {
		return ""
	}
	s, err := unescape(v)
	if err == nil {
		err = CheckTitle(s)
	}
	if err != nil {
		d.fail(err)
	}
	return s
}

// hex takes a line whose value is size bytes in lower-case hexadecimal digits.
func (d *document) hex(prefix string, size int) []byte {
	v := d.value(prefix)
	if d.err != nil {
		return make([]byte, size)
	}
	b := make([]byte, size)
	if err := parseHex(b, v); err != nil {
		d.fail(err)
	}
	return b
}

func (d *document) owner() sdk.OwnerKey { return sdk.OwnerKey(d.hex(ownerPrefix, sdk.IDSize)) }

func (d *document) signature() []byte { return d.hex(signaturePrefix, ed25519.SignatureSize) }

// end reports the first error; bytes that are left are one.
func (d *document) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.line++
		d.fail(errors.New("more follows than belongs here"))
	}
	return d.err
}

func appendSignature(b, signature []byte) []byte {
	b = append(b, signaturePrefix...)
	b = hex.AppendEncode(b, signature)
	return append(b, '\n')
}

// parseHex fills dst from exactly 2*len(dst) lower-case digits.
func parseHex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("want %d hexadecimal digits", 2*len(dst))
	}
	if bytes.ContainsAny(text, "ABCDEF") {
		return errSpelling
	}
	if _, err := hex.Decode(dst, text); err != nil {
		return fmt.Errorf("want %d hexadecimal digits", 2*len(dst))
	}
	return nil
}

func parseHash(text []byte) (h digest.Hash, err error) {
	err = parseHex(h[:], text)
	return h, err
}

// parseNumber reads a decimal number from 0 to most, without sign or leading zeros.
func parseNumber(text []byte, most int64) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.30q is not a number", text)
	}
	if n > most {
		return 0, fmt.Errorf("%d is more than %d", n, most)
	}
	var scratch [20]byte
	if !bytes.Equal(strconv.AppendInt(scratch[:0], n, 10), text) {
		return 0, errSpelling
	}
	return n, nil
}

// CheckTime tells whether a time can be written in a document: RFC 3339 knows the years 0 to 9999.
func CheckTime(t time.Time) error {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("the year %d is not one of 0 to 9999", y)
	}
	return nil
}

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) }

func parseTime(text []byte) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is not a time", text)
	}
	t = t.UTC()
	var scratch [40]byte
	if !bytes.Equal(appendTime(scratch[:0], t), text) {
		return time.Time{}, errSpelling
	}
	return t, nil
}
