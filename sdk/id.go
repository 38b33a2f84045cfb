package sdk

import "errors"

// IDSize is the size in bytes of every id and key of this package.
const IDSize = 32

// ErrBadID tells that a text is not an id: 64 lower-case hexadecimal digits.
var ErrBadID = errors.New("not an id: want 64 lower-case hexadecimal digits")

// TesseraID names a tessera: the BLAKE3 of its head.
type TesseraID [IDSize]byte

// NodeID is a node's position in the network and its display name: the BLAKE3 of its key and its
// proof-of-work nonce. It costs little to change, so nothing is accounted to it.
type NodeID [IDSize]byte

// NodeKey is a node's Ed25519 public key, the one its TLS certificate carries.
type NodeKey [IDSize]byte

// OwnerKey is the Ed25519 public key of a person or an institution. It may own several nodes;
// the ledger goes by it.
type OwnerKey [IDSize]byte

func (id TesseraID) String() string { return encodeHex(id[:]) }
func (id NodeID) String() string    { return encodeHex(id[:]) }
func (k NodeKey) String() string    { return encodeHex(k[:]) }
func (k OwnerKey) String() string   { return encodeHex(k[:]) }

// Short is the first eight digits, for logs and tables.
func (id TesseraID) Short() string { return encodeHex(id[:4]) }

// Short is the first eight digits, for logs and tables.
func (id NodeID) Short() string { return encodeHex(id[:4]) }

// Short is the first eight digits, for logs and tables.
func (k NodeKey) Short() string { return encodeHex(k[:4]) }

// Short is the first eight digits, for logs and tables.
func (k OwnerKey) Short() string { return encodeHex(k[:4]) }

// IsZero tells whether the id was never set.
func (id TesseraID) IsZero() bool { return id == TesseraID{} }

// IsZero tells whether the id was never set.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// IsZero tells whether the key was never set.
func (k NodeKey) IsZero() bool { return k == NodeKey{} }

// IsZero tells whether the key was never set.
func (k OwnerKey) IsZero() bool { return k == OwnerKey{} }

// MarshalText gives the 64 hexadecimal digits.
func (id TesseraID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText gives the 64 hexadecimal digits.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText gives the 64 hexadecimal digits.
func (k NodeKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalText gives the 64 hexadecimal digits.
func (k OwnerKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is ErrBadID.
func (id *TesseraID) UnmarshalText(text []byte) error { return decodeHex(id[:], string(text)) }

// UnmarshalText reads what MarshalText wrote; anything else is ErrBadID.
func (id *NodeID) UnmarshalText(text []byte) error { return decodeHex(id[:], string(text)) }

// UnmarshalText reads what MarshalText wrote; anything else is ErrBadID.
func (k *NodeKey) UnmarshalText(text []byte) error { return decodeHex(k[:], string(text)) }

// UnmarshalText reads what MarshalText wrote; anything else is ErrBadID.
func (k *OwnerKey) UnmarshalText(text []byte) error { return decodeHex(k[:], string(text)) }

// ParseTesseraID reads 64 lower-case hexadecimal digits.
func ParseTesseraID(s string) (id TesseraID, err error) {
	err = decodeHex(id[:], s)
	return id, err
}

// ParseNodeID reads 64 lower-case hexadecimal digits.
func ParseNodeID(s string) (id NodeID, err error) {
	err = decodeHex(id[:], s)
	return id, err
}

// ParseNodeKey reads 64 lower-case hexadecimal digits.
func ParseNodeKey(s string) (k NodeKey, err error) {
	err = decodeHex(k[:], s)
	return k, err
}

// ParseOwnerKey reads 64 lower-case hexadecimal digits.
func ParseOwnerKey(s string) (k OwnerKey, err error) {
	err = decodeHex(k[:], s)
	return k, err
}

const hexDigits = "0123456789abcdef"

// encodeHex stands in for encoding/hex, which would bring fmt into every WASM guest.
func encodeHex(b []byte) string {
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, hexDigits[c>>4], hexDigits[c&15])
	}
	return string(out)
}

// decodeHex fills dst from exactly 2*len(dst) digits; dst is unchanged on error.
func decodeHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return ErrBadID
	}
	var buf [IDSize]byte
	for i := range dst {
		hi, lo := hexValue(s[2*i]), hexValue(s[2*i+1])
		if hi > 15 || lo > 15 {
			return ErrBadID
		}
		buf[i] = hi<<4 | lo
	}
	copy(dst, buf[:])
	return nil
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
