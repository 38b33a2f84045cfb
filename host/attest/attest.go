// Package attest answers: which fragments do I hold, and what did others say they hold?
//
// The cheap attestation: a holder answers for many tesseras under one signature, from its index. No
// object is read for it, so it is fit for the hot path; whether the bytes are still there is what a
// proof tells.
package attest

import (
	"context"
	"errors"
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
	err := s.catalog.View(func(tx *catalog.Tx) error {
		for _, id := range q.GetTesseras() {
			held, err := holding(tx, sdk.TesseraID(id))
			if err != nil {
				return err
			}
			all = append(all, held)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	a.Covered = wire.Fits(all)
	a.Held = slices.DeleteFunc(all[:a.Covered], func(h wire.Holding) bool { return len(h.Fragments) == 0 })
	return wire.SignAttestation(s.node, q, a), nil
}

func holding(tx *catalog.Tx, t sdk.TesseraID) (wire.Holding, error) {
	h := wire.Holding{Tessera: t}
	some, err := tx.AnyDamage()
	if err != nil {
		return h, err
	}
	for f, err := range tx.Fragments(t) {
		if err != nil {
			return h, err
		}
		if some {
			if _, err := tx.Damage(f.Hash); !errors.Is(err, catalog.ErrNotFound) {
				if err != nil {
					return h, err
				}
				continue // it is not whole here, and this node knows
			}
		}
		h.Fragments = append(h.Fragments, wire.HeldFragment{Index: f.Index, Checksum: f.Hash})
	}
	return h, nil
}
