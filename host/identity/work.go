package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// MaxWork bounds the proof of work that can be asked for, in bits: beyond it a node would look for
// hours at its start.
const MaxWork = 32

// ErrWork tells that an id lacks the proof of work asked of it.
var ErrWork = errors.New("node id without the proof of work")

// NodeIDOf is the id of a node: the BLAKE3 of its key followed by the nonce as 8 bytes, big-endian.
func NodeIDOf(key sdk.NodeKey, nonce uint64) sdk.NodeID {
	var b [sdk.IDSize + 8]byte
	copy(b[:], key[:])
	binary.BigEndian.PutUint64(b[sdk.IDSize:], nonce)
	return sdk.NodeID(digest.Of(b[:]))
}

// CheckWork tells whether id begins with at least so many zero bits.
func CheckWork(id sdk.NodeID, zeroBits int) bool {
	n := 0
	for _, b := range id {
		if b != 0 {
			n += bits.LeadingZeros8(b)
			break
		}
		n += 8
	}
	return n >= zeroBits
}

// searchNonce finds the smallest nonce that gives the key an id with zeroBits leading zero bits.
func searchNonce(key sdk.NodeKey, zeroBits int) (uint64, error) {
	if zeroBits < 0 || zeroBits > MaxWork {
		return 0, fmt.Errorf("proof of work of %d bits: want 0 to %d", zeroBits, MaxWork)
	}
	for nonce := range uint64(math.MaxUint64) {
		if CheckWork(NodeIDOf(key, nonce), zeroBits) {
			return nonce, nil
		}
	}
	return 0, ErrWork
}
