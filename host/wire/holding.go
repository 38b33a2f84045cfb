package wire

import (
	"fmt"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Holding is what a holder has of one tessera.
type Holding struct {
	Tessera   sdk.TesseraID
	Fragments []HeldFragment // by ascending index
}

// HeldFragment is a fragment and the checksum the holder stored with it.
type HeldFragment struct {
	Index    int
	Checksum digest.Hash
}

// Sizes of the parts of a holding, in bytes.
const (
	holdingHead = sdk.IDSize + 1 // tessera, number of fragments
	heldSize    = 1 + digest.Size
)

func (h *Holding) size() int { return holdingHead + len(h.Fragments)*heldSize }

// encodeHoldings gives the bytes of holdings. One without fragments says nothing and is left out.
func encodeHoldings(held []Holding) []byte {
	size := 0
	for _, h := range held {
		size += h.size()
	}
	b := make([]byte, 0, size)
	for _, h := range held {
		if len(h.Fragments) == 0 {
			continue
		}
		b = append(b, h.Tessera[:]...)
		b = append(b, byte(len(h.Fragments)))
		for _, f := range h.Fragments {
			b = append(b, byte(f.Index))
			b = append(b, f.Checksum[:]...)
		}
	}
	return b
}

// parseHoldings reads what encodeHoldings wrote, and nothing else.
func parseHoldings(b []byte) ([]Holding, error) {
	tesseras, fragments, err := countHoldings(b)
	if err != nil {
		return nil, err
	}
	held, room := make([]Holding, 0, tesseras), make([]HeldFragment, 0, fragments)
	for len(b) > 0 {
		h := Holding{Tessera: sdk.TesseraID(b)}
		n := int(b[sdk.IDSize])
		b = b[holdingHead:]
		start := len(room)
		for i := range n {
			f := HeldFragment{int(b[0]), digest.Hash(b[1:])}
			if f.Index >= MaxFragments || i > 0 && f.Index <= room[len(room)-1].Index {
				return nil, fmt.Errorf("%w: fragment index %d", ErrMalformed, f.Index)
			}
			room, b = append(room, f), b[heldSize:]
		}
		h.Fragments = room[start:len(room):len(room)]
		held = append(held, h)
	}
	return held, nil
}

// countHoldings walks the bytes of holdings, so that what is allocated for them fits them.
func countHoldings(b []byte) (tesseras, fragments int, err error) {
	for len(b) > 0 {
		if len(b) < holdingHead {
			return 0, 0, fmt.Errorf("%w: holdings break off", ErrMalformed)
		}
		n := int(b[sdk.IDSize])
		if n == 0 || len(b) < holdingHead+n*heldSize {
			return 0, 0, fmt.Errorf("%w: holding of %d fragments", ErrMalformed, n)
		}
		b = b[holdingHead+n*heldSize:]
		tesseras, fragments = tesseras+1, fragments+n
	}
	return tesseras, fragments, nil
}
