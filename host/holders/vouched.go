package holders

import (
	"encoding/binary"
	"iter"
	"maps"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Vouched is what the journal vouches for: for which fragments others have credit, and which this node gave
// receipts for and did not release. It grows with these.
type Vouched struct {
	credit map[creditKey]struct{}
	given  map[catalog.FragmentKey]struct{}
}

// creditKey stands for a fragment at a holder: the first halves of the ids, which are hashes, and its number.
// Two that have the same key cost a finding.
type creditKey [sdk.IDSize + 2]byte

func newCreditKey(t sdk.TesseraID, holder sdk.NodeKey, index int) (k creditKey) {
	copy(k[:], t[:sdk.IDSize/2])
	copy(k[sdk.IDSize/2:], holder[:sdk.IDSize/2])
	binary.BigEndian.PutUint16(k[sdk.IDSize:], uint16(index))
	return k
}

// NewVouched returns one that vouches for nothing yet.
func NewVouched() *Vouched {
	return &Vouched{map[creditKey]struct{}{}, map[catalog.FragmentKey]struct{}{}}
}

// Add takes the next record of the journal, from the first on. Kinds that tell nothing of receipts are passed
// over.
func (v *Vouched) Add(kind byte, payload []byte) error {
	switch kind {
	case RecordTaken, RecordGiven:
		r, err := ParseReceipt(payload)
		if err != nil {
			return err
		}
		if kind == RecordGiven {
			v.given[catalog.FragmentKey{Tessera: r.Tessera, Index: int(r.Index)}] = struct{}{}
		} else {
			v.credit[newCreditKey(r.Tessera, r.Holder, int(r.Index))] = struct{}{}
		}
	case RecordHeld:
		h, err := ParseHeld(payload)
		if err != nil {
			return err
		}
		v.held(h)
	case RecordCredit:
		c, err := ParseCredits(payload)
		if err != nil {
			return err
		}
		v.changed(c)
	case RecordReleased:
		t, index, err := ParseReleased(payload)
		if err != nil {
			return err
		}
		delete(v.given, catalog.FragmentKey{Tessera: t, Index: index})
	}
	return nil
}

// held ends the credit for what a holder does not name any more. What it only names gives none.
func (v *Vouched) held(h Held) {
	named := map[int]bool{}
	for _, i := range h.Fragments {
		named[i] = true
	}
	for i := range catalog.MaxHeld {
		if !named[i] {
			delete(v.credit, newCreditKey(h.Tessera, h.Holder, i))
		}
	}
}

func (v *Vouched) changed(c Credits) {
	for _, f := range c.Changed {
		k := newCreditKey(f.Tessera, c.Holder, f.Index)
		if f.State == CreditGiven {
			v.credit[k] = struct{}{}
		} else {
			delete(v.credit, k)
		}
	}
}

// Credits tells whether the journal vouches for the credit that a holder has for a fragment.
func (v *Vouched) Credits(t sdk.TesseraID, holder sdk.NodeKey, index int) bool {
	_, ok := v.credit[newCreditKey(t, holder, index)]
	return ok
}

// Given gives the fragments that this node gave a receipt for and did not release since, in no order.
func (v *Vouched) Given() iter.Seq[catalog.FragmentKey] { return maps.Keys(v.given) }
