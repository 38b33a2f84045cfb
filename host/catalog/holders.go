package catalog

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Holder is a node that holds fragments of a tessera, as this node knows it.
type Holder struct {
	Tessera   sdk.TesseraID
	Key       sdk.NodeKey
	Nonce     uint64 // of its proof of work
	Addr      string // host:port where it was last reached
	Owner     sdk.OwnerKey
	Fragments []HeldFragment // by ascending index
	// LastSeen is when it last answered anything; SilentSince, when set, the first of the calls since
	// then that it did not answer; Failed, when set, when it last failed a proof.
	LastSeen, SilentSince, Failed time.Time
	Flaps                         int // how often it came back after a silence
}

// HeldFragment is one fragment at a holder: when the holder gave a receipt for it, when it last proved
// it, each zero if never. Failed, when set, is when it failed to prove it, and was not able to since.
// Lapsed, when set, is when its credit ended because it had not counted as held for too long.
type HeldFragment struct {
	Index          int
	Acked, Proven  time.Time
	Failed, Lapsed time.Time
}

// Credited tells whether its holder has credit for the fragment: it gave a receipt or a proof, did not
// fail one since, and its credit did not lapse.
func (f HeldFragment) Credited() bool {
	return f.Failed.IsZero() && f.Lapsed.IsZero() && (!f.Acked.IsZero() || !f.Proven.IsZero())
}

// Credited counts the fragments that its holder has credit for.
func (h Holder) Credited() (n int64) {
	for _, f := range h.Fragments {
		if f.Credited() {
			n++
		}
	}
	return n
}

// MaxHeld bounds the fragments of one row: no plan has more, and their numbers are below it.
const MaxHeld = 255

// lapsedMark is added to the number of a fragment to say when its credit lapsed.
const lapsedMark = 256

func holderKey(t sdk.TesseraID, node sdk.NodeKey) enc { return tesseraKey(kindHolder, t).raw(node[:]) }

func heldByKey(node sdk.NodeKey, t sdk.TesseraID) enc { return nodeKey(kindHeldBy, node).raw(t[:]) }

// PutHolder writes the row, replacing the one of the same tessera and node.
func (tx *Tx) PutHolder(h Holder) error {
	if err := tx.ChangeHolder(h); err != nil {
		return err
	}
	return tx.set(heldByKey(h.Key, h.Tessera), newValue())
}

// ChangeHolder is PutHolder for a row that is there: half the writing.
func (tx *Tx) ChangeHolder(h Holder) error {
	if len(h.Fragments) > MaxHeld {
		return fmt.Errorf("holder of %d fragments: %w", len(h.Fragments), ErrTooBig)
	}
	v := newValue().uint(h.Nonce).text(h.Addr).raw(h.Owner[:]).
		time(h.LastSeen).time(h.SilentSince).time(h.Failed).uint(uint64(h.Flaps)).uint(uint64(len(h.Fragments)))
	for _, f := range h.Fragments {
		v = v.uint(uint64(f.Index)).time(f.Acked).time(f.Proven)
	}
	for _, f := range h.Fragments {
		if !f.Failed.IsZero() { // few have: these come last, and most rows end before them
			v = v.uint(uint64(f.Index)).time(f.Failed)
		}
		if !f.Lapsed.IsZero() {
			v = v.uint(uint64(f.Index + lapsedMark)).time(f.Lapsed)
		}
	}
	return tx.set(holderKey(h.Tessera, h.Key), v)
}

// Holder gives the row of a tessera and a node, or ErrNotFound.
func (tx *Tx) Holder(t sdk.TesseraID, node sdk.NodeKey) (Holder, error) {
	return one(tx, holderKey(t, node), decodeHolder)
}

// HoldersOf gives the holders of a tessera, in order of their keys.
func (tx *Tx) HoldersOf(t sdk.TesseraID) iter.Seq2[Holder, error] {
	return list(tx, tesseraKey(kindHolder, t), nil, decodeHolder)
}

// HoldersFrom gives the holders of all tesseras at or after an id, in order of tessera and key.
func (tx *Tx) HoldersFrom(t sdk.TesseraID) iter.Seq2[Holder, error] {
	return list(tx, []byte{kindHolder}, tesseraKey(kindHolder, t), decodeHolder)
}

// Holders gives the holders of all tesseras, in order of tessera and key.
func (tx *Tx) Holders() iter.Seq2[Holder, error] {
	return list(tx, []byte{kindHolder}, nil, decodeHolder)
}

// HeldBy gives the tesseras of which a node holds fragments, in order of their ids.
func (tx *Tx) HeldBy(node sdk.NodeKey) iter.Seq2[sdk.TesseraID, error] {
	return list(tx, nodeKey(kindHeldBy, node), nil, decodeHeldBy)
}

func decodeHeldBy(r row) (sdk.TesseraID, error) {
	d := openKey("held by", r.key[1:])
	d.node()
	t := d.tessera()
	return t, d.done()
}

// DropHolder forgets that a node holds fragments of a tessera. One that has no row is no error.
func (tx *Tx) DropHolder(t sdk.TesseraID, node sdk.NodeKey) error {
	if err := tx.del(holderKey(t, node)); err != nil {
		return err
	}
	return tx.del(heldByKey(node, t))
}

func decodeHolder(r row) (h Holder, err error) {
	k := openKey("holder", r.key[1:])
	h.Tessera, h.Key = k.tessera(), k.node()
	v := openValue("holder", r.value)
	h.Nonce, h.Addr, h.Owner = v.uint(), v.text(), v.owner()
	h.LastSeen, h.SilentSince, h.Failed, h.Flaps = v.time(), v.time(), v.time(), int(v.uint())
	n := v.uint()
	if n > MaxHeld {
		return Holder{}, fmt.Errorf("holder row: %w", ErrDamaged)
	}
	for range n {
		h.Fragments = append(h.Fragments, HeldFragment{Index: int(v.uint()), Acked: v.time(), Proven: v.time()})
	}
	for len(v.b) > 0 && v.err == nil {
		number, when := v.uint(), v.time()
		at := slices.IndexFunc(h.Fragments, func(f HeldFragment) bool { return f.Index == int(number%lapsedMark) })
		switch {
		case at < 0 || number >= 2*lapsedMark:
			return Holder{}, fmt.Errorf("holder row: %w", ErrDamaged)
		case number >= lapsedMark:
			h.Fragments[at].Lapsed = when
		default:
			h.Fragments[at].Failed = when
		}
	}
	return h, errors.Join(k.done(), v.done())
}
