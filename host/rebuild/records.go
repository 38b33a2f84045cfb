package rebuild

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// records lives through the journal again, from the first record on.
func (r *run) records(ctx context.Context) error {
	met := map[sdk.NodeKey]identity.Contact{}
	var part []journal.Record
	flush := func() error {
		defer func() { part = part[:0] }()
		return catalog.UpdateEach(r.Catalog, part, func(tx *catalog.Tx, rec journal.Record) error {
			err := r.record(tx, rec, met)
			if errors.Is(err, catalog.ErrConflict) {
				return r.passOver(err)
			}
			return err
		})
	}
	for rec, err := range r.Journal.Records() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, journal.ErrDamaged) {
			r.unreadable("journal", err)
			continue
		}
		if err != nil {
			return err
		}
		r.Records++
		r.progress("journal")
		if part = append(part, rec); len(part) == step {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// record does again what one record tells. One that says nothing is passed over.
func (r *run) record(tx *catalog.Tx, rec journal.Record, met map[sdk.NodeKey]identity.Contact) error {
	switch rec.Kind {
	case holders.RecordGiven:
		q, err := holders.ParseReceipt(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return r.given(tx, q)
	case holders.RecordTaken:
		q, err := holders.ParseReceipt(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return r.taken(tx, q, met[q.Holder])
	case holders.RecordMet:
		c, err := holders.ParseMet(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		met[c.Key] = c
		return r.met(tx, c)
	case holders.RecordHeld:
		h, err := holders.ParseHeld(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return r.held(tx, h, met[h.Holder])
	case holders.RecordCredit:
		c, err := holders.ParseCredits(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return r.credits(tx, c)
	case holders.RecordFailed:
		holder, e, err := holders.ParseFailed(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return failed(tx, holder, e)
	case holders.RecordReleased:
		t, index, err := holders.ParseReleased(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return r.released(tx, t, index)
	case holders.RecordWish:
		t, want, reached, err := holders.ParseWish(rec.Payload)
		if err != nil {
			return r.passOver(err)
		}
		return wish(tx, t, want, reached)
	}
	return nil // a kind of somebody else's
}

func (r *run) passOver(err error) error {
	r.unreadable("record of the journal", err)
	return nil
}

// given brings back a fragment that was taken into custody. One whose object is not here any more is
// damaged, unless its plan is gone too.
func (r *run) given(tx *catalog.Tx, q wire.Receipt) error {
	dead, err := r.buried(q.Tessera, q.Owner)
	if err != nil || dead {
		return err
	}
	here, err := r.stored(q.Checksum)
	if err != nil {
		return err
	}
	if _, err := tx.Plan(q.Tessera); !here && err != nil {
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		return err
	}
	return r.keep(tx, q.Owner, here, catalog.FragmentRef{
		Tessera: q.Tessera, Index: int(q.Index), Hash: q.Checksum, Size: int64(q.Size), Stored: q.Time,
	})
}

// keep adds a fragment to the index and to its owner's account.
func (r *run) keep(tx *catalog.Tx, owner sdk.OwnerKey, here bool, f catalog.FragmentRef) error {
	added, err := tx.AddFragment(f)
	if errors.Is(err, catalog.ErrConflict) {
		return r.passOver(err)
	}
	if err != nil || !added {
		return err
	}
	if !here {
		if err := r.lost(tx, f.Hash); err != nil {
			return err
		}
	}
	return ledger.Kept(tx, r.Owner, owner, f.Size)
}

func (r *run) released(tx *catalog.Tx, t sdk.TesseraID, index int) error {
	f, err := tx.Fragment(t, index)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	plan, err := tx.Plan(t)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	if err == nil {
		if err := ledger.Released(tx, r.Owner, plan.Owner, f.Size); err != nil {
			return err
		}
	}
	_, err = tx.DropFragment(t, index)
	return err
}

// taken brings back that a holder acknowledged a fragment, unless nobody asks for holders of that
// tessera any more.
func (r *run) taken(tx *catalog.Tx, q wire.Receipt, where identity.Contact) error {
	if wanted, err := has(tx, q.Tessera); err != nil || !wanted {
		return err
	}
	h, err := holder(tx, q.Tessera, q.Holder)
	if err != nil {
		return err
	}
	place(&h, where)
	h.Owner = q.HolderOwner
	if q.Time.After(h.LastSeen) {
		h.LastSeen = q.Time
	}
	at, known := slices.BinarySearchFunc(h.Fragments, int(q.Index), byIndex)
	before := h.Credited()
	if !known {
		h.Fragments = slices.Insert(h.Fragments, at, catalog.HeldFragment{Index: int(q.Index)})
	}
	f := &h.Fragments[at]
	f.Acked, f.Failed, f.Lapsed = q.Time, time.Time{}, time.Time{}
	return r.put(tx, h, q.Owner, (h.Credited()-before)*int64(q.Size))
}

// put writes a holder, and what it changes in its owner's account where the tessera is an own one. A holder that
// there is no room for the next rounds hear of again.
func (r *run) put(tx *catalog.Tx, h catalog.Holder, owner sdk.OwnerKey, change int64) (err error) {
	if len(h.Fragments) == 0 {
		err = tx.DropHolder(h.Tessera, h.Key)
	} else {
		err = tx.PutHolder(h)
	}
	if errors.Is(err, catalog.ErrCrowded) {
		return nil
	}
	if err != nil || owner != r.Owner {
		return err
	}
	return ledger.Acknowledged(tx, r.Owner, h.Owner, change)
}

// held brings back that a holder holds other fragments than it acknowledged.
func (r *run) held(tx *catalog.Tx, now holders.Held, where identity.Contact) error {
	plan, err := tx.Plan(now.Tessera)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h, err := holder(tx, now.Tessera, now.Holder)
	if err != nil {
		return err
	}
	place(&h, where)
	if !now.Owner.IsZero() {
		h.Owner = now.Owner
	}
	before := h
	h.Fragments = nil
	for _, i := range now.Fragments {
		f := catalog.HeldFragment{Index: i, Acked: h.LastSeen}
		if at, known := slices.BinarySearchFunc(before.Fragments, i, byIndex); known {
			f = before.Fragments[at]
		}
		h.Fragments = append(h.Fragments, f)
	}
	return r.put(tx, h, plan.Owner, (h.Credited()-before.Credited())*plan.ShardSize)
}

// credits brings back which fragments give their holder credit.
func (r *run) credits(tx *catalog.Tx, c holders.Credits) error {
	for _, changed := range c.Changed {
		h, err := tx.Holder(changed.Tessera, c.Holder)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		plan, err := tx.Plan(changed.Tessera)
		if err != nil {
			return err
		}
		at, known := slices.BinarySearchFunc(h.Fragments, changed.Index, byIndex)
		if !known {
			continue
		}
		before := h.Credited()
		credit(&h.Fragments[at], changed.State, c.Time)
		if err := r.put(tx, h, plan.Owner, (h.Credited()-before)*plan.ShardSize); err != nil {
			return err
		}
	}
	return nil
}

// failed brings back the evidence that a holder failed a proof. Whether it passed since is not known: the next
// round tells.
func failed(tx *catalog.Tx, holder sdk.NodeKey, e catalog.Evidence) error {
	a, err := tx.Audit(holder)
	if err != nil {
		return err
	}
	a.Asked++
	a.Failures++
	a.Failed = e.Time
	a.Evidence = append(a.Evidence, e)
	return tx.PutAudit(a)
}

// credit gives a fragment the credit that a record says.
func credit(f *catalog.HeldFragment, state holders.CreditState, at time.Time) {
	never := time.Time{}
	switch state {
	case holders.CreditGiven:
		if f.Failed, f.Lapsed = never, never; !f.Credited() {
			f.Acked = at // it was proven, and is to be proven again
		}
	case holders.CreditLapsed:
		f.Lapsed = at
	case holders.CreditFailed:
		f.Acked, f.Proven, f.Failed = never, never, at
	case holders.CreditClaimed:
		f.Acked, f.Proven = never, never
	}
}

// met lets every row of a holder know where it is now, and the node whom to ask when it starts.
func (r *run) met(tx *catalog.Tx, c identity.Contact) error {
	var rows []catalog.Holder
	for t, err := range tx.HeldBy(c.Key) {
		if err != nil {
			return err
		}
		h, err := tx.Holder(t, c.Key)
		if err != nil {
			return err
		}
		rows = append(rows, h)
	}
	for _, h := range rows {
		place(&h, c)
		if err := tx.ChangeHolder(h); err != nil {
			return err
		}
	}
	return tx.PutPeer(catalog.Peer{Key: c.Key, Nonce: c.Nonce, Addr: c.Addr.String(), FirstSeen: r.Now(), LastSeen: r.Now()})
}

func holder(tx *catalog.Tx, t sdk.TesseraID, key sdk.NodeKey) (catalog.Holder, error) {
	h, err := tx.Holder(t, key)
	if errors.Is(err, catalog.ErrNotFound) {
		return catalog.Holder{Tessera: t, Key: key}, nil
	}
	return h, err
}

func place(h *catalog.Holder, where identity.Contact) {
	if where.Addr.IsValid() {
		h.Nonce, h.Addr = where.Nonce, where.Addr.String()
	}
}

func byIndex(f catalog.HeldFragment, index int) int { return cmp.Compare(f.Index, index) }

func has(tx *catalog.Tx, t sdk.TesseraID) (bool, error) {
	_, err := tx.Plan(t)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// wish brings back what the owner wants of a tessera that is still there.
func wish(tx *catalog.Tx, id sdk.TesseraID, want, reached bool) error {
	t, err := tx.Tessera(id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	t.WantPublished, t.Published = want, reached
	return tx.PutTessera(t)
}
