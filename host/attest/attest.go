// Package attest answers: which fragments do I hold, and what did others say they hold?
//
// The cheap attestation: a holder answers for many tesseras under one signature, from its index. No
// object is read for it, so it is fit for the hot path; whether the bytes are still there is what a
// proof tells.
package attest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Service answers attestation requests.
type Service struct {
	catalog *catalog.Catalog
	node    *identity.Node
	now     func() time.Time
}

// New returns a Service that signs as node.
func New(c *catalog.Catalog, node *identity.Node, now func() time.Time) *Service {
	return &Service{c, node, now}
}

// Answer tells verifier what this node holds of the tesseras it names, as the index has it.
func (s *Service) Answer(_ context.Context, verifier sdk.NodeKey, q *wire.AttestRequest) (*wire.AttestResponse, error) {
	a := wire.Attestation{Verifier: verifier, Time: s.now()}
	var all []wire.Holding // one for each tessera asked, also for those of which nothing is held
	err := s.catalog.View(func(tx *catalog.Tx) (err error) {
		all, err = holdings(tx, q.GetTesseras())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	a.Covered = wire.Fits(all)
	a.Held = slices.DeleteFunc(all[:a.Covered], func(h wire.Holding) bool { return len(h.Fragments) == 0 })
	return wire.SignAttestation(s.node, q, a), nil
}

// holdings reads what is held of each tessera asked about, in the order of the question. They are looked
// up in the order of the index, so that neighbours are read in one go. What this node knows to be damaged is
// not held.
func holdings(tx *catalog.Tx, asked [][]byte) ([]wire.Holding, error) {
	all, order, ids := make([]wire.Holding, len(asked)), make([]int, len(asked)), make([]sdk.TesseraID, len(asked))
	for i, id := range asked {
		all[i].Tessera, order[i] = sdk.TesseraID(id), i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(asked[a], asked[b]) })
	for n, i := range order {
		ids[n] = all[i].Tessera
	}
	at := 0
	for f, err := range tx.WholeFragments(tx.FragmentsAmong(slices.Compact(ids))) {
		if err != nil {
			return nil, err
		}
		for all[order[at]].Tessera != f.Tessera {
			at++
		}
		h := &all[order[at]]
		h.Fragments = append(h.Fragments, wire.HeldFragment{Index: f.Index, Checksum: f.Hash})
	}
	for n := 1; n < len(order); n++ { // what is asked twice is answered twice
		if first, again := &all[order[n-1]], &all[order[n]]; again.Tessera == first.Tessera {
			again.Fragments = first.Fragments
		}
	}
	return all, nil
}
