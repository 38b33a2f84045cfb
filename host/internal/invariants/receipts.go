package invariants

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Receipts finds receipts that a node took and whose holder, where it is among these, did not give; receipts
// that do not verify; and rows of a ledger that do not follow from the facts (I6). A receipt that was given and
// lost on its way is no finding.
func Receipts(nodes []Node) error {
	var found []error
	given := map[sdk.NodeKey]map[wire.Receipt]bool{}
	for _, n := range nodes {
		list, err := receipts(n, holders.RecordGiven)
		found = append(found, err, agrees(n))
		given[n.Key] = map[wire.Receipt]bool{}
		for _, r := range list {
			given[n.Key][r] = true
		}
	}
	for _, n := range nodes {
		list, err := receipts(n, holders.RecordTaken)
		found = append(found, err)
		for _, r := range list {
			if has, here := given[r.Holder]; here && !has[r] {
				found = append(found, fmt.Errorf("%s has a receipt for fragment %d of %s that %s did not give",
					n.Key.Short(), r.Index, r.Tessera.Short(), r.Holder.Short()))
			}
		}
	}
	return errors.Join(found...)
}

// receipts lists the receipts of one kind in a journal, each verified.
func receipts(n Node, kind byte) (out []wire.Receipt, err error) {
	for record, err := range n.Records {
		if err != nil {
			return nil, fmt.Errorf("journal of %s: %w", n.Key.Short(), err)
		}
		if record.Kind != kind {
			continue
		}
		var ack wire.ReplicateAck
		if err := proto.Unmarshal(record.Payload, &ack); err != nil {
			return nil, fmt.Errorf("receipt in the journal of %s: %w", n.Key.Short(), err)
		}
		r, err := wire.VerifyReceipt(&ack)
		if err != nil {
			return nil, fmt.Errorf("receipt in the journal of %s: %w", n.Key.Short(), err)
		}
		out = append(out, r)
	}
	return out, nil
}

// agrees compares a node's ledger with the fragments it keeps and those it knows to be kept for it.
func agrees(n Node) error {
	return n.View(func(tx *catalog.Tx) error {
		wrong, err := ledger.Mismatches(tx, n.Owner)
		if len(wrong) > 0 {
			return fmt.Errorf("the ledger of %s says %+v, the facts are %+v", n.Key.Short(), wrong[0].Written, wrong[0].Facts)
		}
		return err
	})
}
