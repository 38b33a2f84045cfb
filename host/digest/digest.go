// Package digest answers: what is the BLAKE3 of these bytes, and are they the bytes this hash names?
//
// It is the one home of BLAKE3.
package digest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"lukechampine.com/blake3"
)

// Size is the size of a hash in bytes.
const Size = 32

// ErrMismatch tells that bytes are not those their hash names.
var ErrMismatch = errors.New("content does not match its hash")

// Hash is the BLAKE3 of something, 32 bytes, unkeyed.
type Hash [Size]byte

// Of hashes b, as a Hasher does: below 512 KiB on the goroutine that asks. The library starts others from two
// chunks on and waits for them, which takes longer than the hashing where many wait for a disk.
func Of(b []byte) Hash {
	if len(b) <= ChunkSize {
		return blake3.Sum256(b)
	}
	var h Hasher
	h.Write(b)
	return h.Sum()
}

// Derive makes a key out of another for one purpose, in BLAKE3's mode for that. context names the purpose and must
// be fixed text; who learns the derived key learns nothing of key.
func Derive(context string, key []byte) (derived [Size]byte) {
	blake3.DeriveKey(derived[:], context, key)
	return derived
}

// Parse reads 64 lower-case hexadecimal digits.
func Parse(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != Size || hex.EncodeToString(b) != s {
		return Hash{}, fmt.Errorf("%.70q is not a hash: want 64 lower-case hexadecimal digits", s)
	}
	copy(h[:], b)
	return h, nil
}

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the first eight digits, for logs and tables.
func (h Hash) Short() string { return hex.EncodeToString(h[:4]) }

// IsZero tells whether the hash was never set.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText gives the 64 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = Parse(string(text))
	return err
}

// Reader passes a stream through and checks it: at its end it returns ErrMismatch instead of io.EOF
// unless exactly size bytes with the hash want went by. Nobody may commit what it read before io.EOF.
type Reader struct {
	r    io.Reader
	h    *Hasher
	want Hash
	left int64
	err  error
}

// NewReader checks r against its expected hash and size in bytes.
func NewReader(r io.Reader, want Hash, size int64) *Reader {
	return &Reader{r: r, h: New(), want: want, left: size}
}

// Read implements io.Reader.
func (v *Reader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.left -= int64(n)
	v.h.Write(p[:n])
	switch {
	case v.left < 0:
		v.err = fmt.Errorf("%w: longer than recorded", ErrMismatch)
		return 0, v.err
	case err == io.EOF && v.left > 0:
		v.err = fmt.Errorf("%w: %d bytes short", ErrMismatch, v.left)
	case err == io.EOF && v.h.Sum() != v.want:
		v.err = ErrMismatch
	default:
		v.err = err
	}
	return n, v.err
}
