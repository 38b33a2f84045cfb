package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// All holders of a tessera are in one row: a round asks about a tessera as often as it has holders, and a row
// costs much more to find and to write than a holder in it.

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

// MaxHeld bounds the fragments of one holder: no plan has more, and their numbers are below it.
const MaxHeld = 255

// maxHolderRow is from how many bytes on the row of a tessera takes no further holder, after some thousands of
// them: a transaction has room for it, whatever becomes of those that are in it.
const maxHolderRow = 256 << 10

// lapsedMark is added to the number of a fragment to say when its credit lapsed.
const lapsedMark = 256

func heldByKey(node sdk.NodeKey, t sdk.TesseraID) enc { return nodeKey(kindHeldBy, node).raw(t[:]) }

// PutHolder writes what a holder holds of a tessera, replacing what was known of it. It is ErrCrowded when so
// many hold that tessera that there is no room for more; then nothing is written.
func (tx *Tx) PutHolder(h Holder) error {
	if err := tx.writeHolder(h, maxHolderRow); err != nil {
		return err
	}
	return tx.set(heldByKey(h.Key, h.Tessera), newValue())
}

// ChangeHolder is PutHolder for a holder that is known and has no more fragments than before. There is always
// room for that, and it is half the writing.
func (tx *Tx) ChangeHolder(h Holder) error { return tx.writeHolder(h, maxTxBytes) }

// ChangeHolders is ChangeHolder for some holders of one tessera, in order of their keys.
func (tx *Tx) ChangeHolders(t sdk.TesseraID, changed []Holder) error {
	if len(changed) == 0 {
		return nil
	}
	key := tesseraKey(kindHolder, t)
	old, at, err := tx.holderRow(key, changed[0].Key)
	v := make(enc, 0, len(old)+len(changed)*holderGrowth)
	entry, done := make(enc, 0, usualHolder), 0
	for _, h := range changed {
		if err == nil {
			at, err = holderIn(old, done, h.Key)
		}
		if err != nil {
			return err
		}
		entry = appendHolder(entry[:0], h)
		v = v.raw(old[done:at.from]).raw(h.Key[:]).bytes(entry)
		done = at.to
	}
	return tx.set(key, v.raw(old[done:]))
}

// writeHolder writes one holder into its row, which may not grow beyond so many bytes.
func (tx *Tx) writeHolder(h Holder, room int) error {
	if len(h.Fragments) > MaxHeld {
		return fmt.Errorf("holder of %d fragments: %w", len(h.Fragments), ErrTooBig)
	}
	key := tesseraKey(kindHolder, h.Tessera)
	old, at, err := tx.holderRow(key, h.Key)
	if err != nil {
		return err
	}
	entry := appendHolder(nil, h)
	v := make(enc, 0, len(old)+len(entry)+sdk.IDSize+binary.MaxVarintLen32)
	v = v.raw(old[:at.from]).raw(h.Key[:]).bytes(entry).raw(old[at.to:])
	if len(v) > max(room, len(old)) {
		return fmt.Errorf("holders of %s: %w", h.Tessera.Short(), ErrCrowded)
	}
	return tx.set(key, v)
}

// DropHolder forgets that a node holds fragments of a tessera. One that has no row is no error.
func (tx *Tx) DropHolder(t sdk.TesseraID, node sdk.NodeKey) error {
	key := tesseraKey(kindHolder, t)
	old, at, err := tx.holderRow(key, node)
	if err != nil {
		return err
	}
	switch v := slices.Concat(old[:at.from], old[at.to:]); {
	case at.from == at.to: // it is not known
	case len(v) == len(newValue()):
		err = tx.del(key)
	default:
		err = tx.set(key, v)
	}
	if err != nil {
		return err
	}
	return tx.del(heldByKey(node, t))
}

// holderRow gives the row of a tessera, empty where there is none, and where in it a node is.
func (tx *Tx) holderRow(key []byte, node sdk.NodeKey) (row []byte, at span, err error) {
	row, err = tx.get(key)
	if errors.Is(err, ErrNotFound) {
		row, err = newValue(), nil
	}
	if err != nil {
		return nil, at, err
	}
	at, err = holderIn(row, 0, node)
	return row, at, err
}

// span is a part of a row, empty where something is not there but would be.
type span struct{ from, to int }

// holderIn finds a node in the row of a tessera, from a place in it on. Nodes are there in order of their keys.
func holderIn(value []byte, from int, node sdk.NodeKey) (span, error) {
	v := openValue("holders", value)
	if from > 0 && v.err == nil {
		v.b = value[from:]
	}
	for len(v.b) > 0 && v.err == nil {
		from = len(value) - len(v.b)
		order := bytes.Compare(v.raw(sdk.IDSize), node[:])
		if order > 0 {
			return span{from, from}, v.err
		}
		if v.bytes(); order == 0 {
			return span{from, len(value) - len(v.b)}, v.err
		}
	}
	return span{len(value), len(value)}, v.err
}

// Holder gives what a node holds of a tessera, or ErrNotFound.
func (tx *Tx) Holder(t sdk.TesseraID, node sdk.NodeKey) (Holder, error) {
	row, at, err := tx.holderRow(tesseraKey(kindHolder, t), node)
	if err != nil {
		return Holder{}, err
	}
	if at.from == at.to {
		return Holder{}, ErrNotFound
	}
	return openKey("holders", row[at.from:at.to]).holder(t)
}

// HoldersOf gives the holders of a tessera, in order of their keys.
func (tx *Tx) HoldersOf(t sdk.TesseraID) iter.Seq2[Holder, error] {
	return holdersIn(func(yield func([]Holder, error) bool) {
		all, err := one(tx, tesseraKey(kindHolder, t), decodeHolders)
		if !errors.Is(err, ErrNotFound) {
			yield(all, err)
		}
	})
}

// HoldersAmong gives the holders of those of some tesseras, by ascending ids, that have any: all of one tessera at
// a time, in order of their keys. It reads many rows at a time where the tesseras lie close, and in an Update they
// need not be read again to be changed.
func (tx *Tx) HoldersAmong(ids []sdk.TesseraID) iter.Seq2[[]Holder, error] {
	return func(yield func([]Holder, error) bool) {
		for r, err := range tx.among(kindHolder, ids, 1) {
			var all []Holder
			if err == nil {
				all, err = tx.readAhead(r)
			}
			if len(all) == 0 && err == nil {
				continue
			}
			if !yield(all, err) || err != nil {
				return
			}
		}
	}
}

// readAhead decodes a row, and in an Update keeps it at hand.
func (tx *Tx) readAhead(r row) ([]Holder, error) {
	if tx.ahead != nil {
		tx.ahead[string(r.key)] = r.value
	}
	return decodeHolders(r)
}

// HoldersFrom gives the holders of all tesseras at or after an id, in order of tessera and key.
func (tx *Tx) HoldersFrom(t sdk.TesseraID) iter.Seq2[Holder, error] {
	return holdersIn(list(tx, []byte{kindHolder}, tesseraKey(kindHolder, t), decodeHolders))
}

// Holders gives the holders of all tesseras, in order of tessera and key.
func (tx *Tx) Holders() iter.Seq2[Holder, error] { return tx.HoldersFrom(sdk.TesseraID{}) }

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

// appendHolder appends what a row says of one holder after its key.
func appendHolder(v enc, h Holder) enc {
	v = v.uint(h.Nonce).text(h.Addr).raw(h.Owner[:]).
		time(h.LastSeen).time(h.SilentSince).time(h.Failed).uint(uint64(h.Flaps)).uint(uint64(len(h.Fragments)))
	for _, f := range h.Fragments {
		v = v.uint(uint64(f.Index)).time(f.Acked).time(f.Proven)
	}
	for _, f := range h.Fragments {
		if !f.Failed.IsZero() { // few have: these come last, and most end before them
			v = v.uint(uint64(f.Index)).time(f.Failed)
		}
		if !f.Lapsed.IsZero() {
			v = v.uint(uint64(f.Index + lapsedMark)).time(f.Lapsed)
		}
	}
	return v
}

// holdersIn gives the holders of rows one by one.
func holdersIn(rows iter.Seq2[[]Holder, error]) iter.Seq2[Holder, error] {
	return func(yield func(Holder, error) bool) {
		for holders, err := range rows {
			if err != nil {
				yield(Holder{}, err)
				return
			}
			for _, h := range holders {
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

func decodeHolders(r row) (all []Holder, err error) {
	k := openKey("holders", r.key[1:])
	t := k.tessera()
	v := openValue("holders", r.value)
	all = make([]Holder, 0, len(v.b)/usualHolder)
	for len(v.b) > 0 && v.err == nil {
		h, err := v.holder(t)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, errors.Join(k.done(), v.done())
}

// usualHolder is about how many bytes a holder of one fragment takes, holderGrowth by how many it grows when a
// time is set that was not.
const (
	usualHolder  = 96
	holderGrowth = 16
)

// holder reads a holder from its key on.
func (d *dec) holder(t sdk.TesseraID) (Holder, error) {
	h := Holder{Tessera: t, Key: d.node()}
	v := openKey("holder", d.bytes())
	if d.err != nil {
		return Holder{}, d.err
	}
	h.Nonce, h.Addr, h.Owner = v.uint(), v.text(), v.owner()
	h.LastSeen, h.SilentSince, h.Failed, h.Flaps = v.time(), v.time(), v.time(), int(v.uint())
	n := v.uint()
	if n > MaxHeld {
		return Holder{}, fmt.Errorf("holder: %w", ErrDamaged)
	}
	if n > 0 {
		h.Fragments = make([]HeldFragment, n)
	}
	for i := range h.Fragments {
		h.Fragments[i] = HeldFragment{Index: int(v.uint()), Acked: v.time(), Proven: v.time()}
	}
	for len(v.b) > 0 && v.err == nil {
		number, when := v.uint(), v.time()
		at := slices.IndexFunc(h.Fragments, func(f HeldFragment) bool { return f.Index == int(number%lapsedMark) })
		switch {
		case at < 0 || number >= 2*lapsedMark:
			return Holder{}, fmt.Errorf("holder: %w", ErrDamaged)
		case number >= lapsedMark:
			h.Fragments[at].Lapsed = when
		default:
			h.Fragments[at].Failed = when
		}
	}
	return h, v.done()
}
