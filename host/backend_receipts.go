package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/wire"
)

// auditReceipts verifies every receipt in the journal, and compares what they say with the index: nothing
// gives credit without a receipt or a proof, and what a receipt was given for is kept. Whatever changes
// while this goes on is no finding: what is found is looked at a second time.
func (l *local) auditReceipts(ctx context.Context) (n localapi.ReceiptCount, found []localapi.Unvouched, err error) {
	for again := range 2 {
		var vouched *holders.Vouched
		if n, vouched, err = l.readReceipts(ctx); err != nil {
			return n, nil, err
		}
		now, err := l.unvouched(vouched)
		if err != nil || len(now) == 0 {
			return n, nil, err
		}
		if again == 0 {
			found = now
			continue
		}
		found = slices.DeleteFunc(found, func(u localapi.Unvouched) bool { return !slices.Contains(now, u) })
	}
	return n, found, nil
}

// readReceipts reads the journal from the first record on.
func (l *local) readReceipts(ctx context.Context) (n localapi.ReceiptCount, vouched *holders.Vouched, err error) {
	vouched = holders.NewVouched()
	for record, err := range l.journal.Records() {
		var damage *journal.DamageError
		switch {
		case ctx.Err() != nil:
			return n, nil, ctx.Err()
		case errors.As(err, &damage):
			n.Bad++
			continue
		case err != nil:
			return n, nil, err
		}
		if err := countReceipt(&n, record); err != nil {
			n.Bad++
			continue
		}
		if err := vouched.Add(record.Kind, record.Payload); err != nil {
			n.Bad++
		}
	}
	return n, vouched, nil
}

// countReceipt verifies a record that is a receipt, and counts it.
func countReceipt(n *localapi.ReceiptCount, record journal.Record) error {
	if record.Kind != holders.RecordGiven && record.Kind != holders.RecordTaken {
		return nil
	}
	var ack wire.ReplicateAck
	if err := proto.Unmarshal(record.Payload, &ack); err != nil {
		return err
	}
	if _, err := wire.VerifyReceipt(&ack); err != nil {
		return err
	}
	if record.Kind == holders.RecordGiven {
		n.Given++
	} else {
		n.Taken++
	}
	return nil
}

// unvouched compares the index with what the journal vouches for, in order of tesseras and numbers.
func (l *local) unvouched(v *holders.Vouched) (found []localapi.Unvouched, err error) {
	err = l.catalog.View(func(tx *catalog.Tx) error {
		credited, err := l.creditedOnly(tx, v)
		if err != nil {
			return err
		}
		given, err := l.givenOnly(tx, v)
		found = append(credited, given...)
		return err
	})
	slices.SortFunc(found, func(a, b localapi.Unvouched) int {
		return cmp.Or(bytes.Compare(a.Tessera[:], b.Tessera[:]), cmp.Compare(a.Index, b.Index), bytes.Compare(a.Holder[:], b.Holder[:]))
	})
	return found, err
}

// creditedOnly lists what others have credit for, and neither gave a receipt for nor proved.
func (l *local) creditedOnly(tx *catalog.Tx, v *holders.Vouched) (found []localapi.Unvouched, err error) {
	self := l.id.Owner.Key()
	for h, err := range tx.Holders() {
		if err != nil {
			return nil, err
		}
		plan, err := tx.Plan(h.Tessera)
		if errors.Is(err, catalog.ErrNotFound) || err == nil && plan.Owner != self || h.Owner == self {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range h.Fragments {
			if f.Credited() && f.Proven.IsZero() && !v.Credits(h.Tessera, h.Key, f.Index) {
				found = append(found, localapi.Unvouched{
					Tessera: h.Tessera, Index: f.Index, Holder: identity.NodeIDOf(h.Key, h.Nonce), Problem: localapi.UnvouchedCredit,
				})
			}
		}
	}
	return found, nil
}

// givenOnly lists what this node gave a receipt for and does not keep, though nobody deleted it.
func (l *local) givenOnly(tx *catalog.Tx, v *holders.Vouched) (found []localapi.Unvouched, err error) {
	for k := range v.Given() {
		_, err := tx.Fragment(k.Tessera, k.Index)
		if err == nil {
			continue
		}
		if !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
		if l.deleted(k.Tessera) == nil {
			found = append(found, localapi.Unvouched{
				Tessera: k.Tessera, Index: k.Index, Holder: l.id.Node.ID(), Problem: localapi.UnvouchedKept,
			})
		}
	}
	return found, nil
}
