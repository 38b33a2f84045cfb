// Package attest answers: which fragments do I hold, and what did others say they hold?
//
// The cheap attestation: a holder answers for many tesseras under one signature, from its index. No
// object is read for it, so it is fit for the hot path; whether the bytes are still there is what a
// proof tells.
package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
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
// up in the order of the index, so that neighbours are read in one go.
func holdings(tx *catalog.Tx, asked [][]byte) ([]wire.Holding, error) {
	all, order := make([]wire.Holding, len(asked)), make([]int, len(asked))
	for i, id := range asked {
		all[i].Tessera, order[i] = sdk.TesseraID(id), i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(asked[a], asked[b]) })
	damaged, err := tx.AnyDamage()
	if err != nil {
		return nil, err
	}
	at := cursor{tx: tx, damaged: damaged, budget: passed * len(asked)}
	defer at.close()
	for n, i := range order {
		if n > 0 && all[i].Tessera == all[order[n-1]].Tessera {
			all[i].Fragments = all[order[n-1]].Fragments
		} else if err := at.read(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// passed is how many rows for each tessera asked may be passed over in walking from one to the next, which
// costs much less than looking each up. Who asks for what it knows to be here asks for neighbours.
const passed = 4

// cursor reads the fragments kept here in the order of their tesseras: walking while its budget lasts, then
// looking each tessera up.
type cursor struct {
	tx      *catalog.Tx
	damaged bool // something is damaged here, and this node knows
	budget  int
	next    func() (catalog.FragmentRef, error, bool)
	stop    func()
	ref     catalog.FragmentRef // the row it stands at
	more    bool
}

func (c *cursor) close() {
	if c.stop != nil {
		c.stop()
	}
}

// read adds the fragments of a tessera that are whole, as far as this node knows. The tesseras must come in
// ascending order, each once.
func (c *cursor) read(h *wire.Holding) error {
	if c.next == nil {
		c.next, c.stop = iter.Pull2(c.tx.AllFragments(catalog.FragmentKey{Tessera: h.Tessera}))
		if err := c.step(); err != nil {
			return err
		}
	}
	for ; c.more && c.budget > 0 && bytes.Compare(c.ref.Tessera[:], h.Tessera[:]) < 0; c.budget-- {
		if err := c.step(); err != nil {
			return err
		}
	}
	if c.more && c.budget <= 0 {
		return c.lookUp(h)
	}
	for c.more && c.ref.Tessera == h.Tessera {
		if err := c.add(h, c.ref); err != nil {
			return err
		}
		if err := c.step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cursor) lookUp(h *wire.Holding) error {
	for f, err := range c.tx.Fragments(h.Tessera) {
		if err == nil {
			err = c.add(h, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *cursor) add(h *wire.Holding, f catalog.FragmentRef) error {
	whole, err := c.whole(f.Hash)
	if whole && err == nil {
		h.Fragments = append(h.Fragments, wire.HeldFragment{Index: f.Index, Checksum: f.Hash})
	}
	return err
}

func (c *cursor) whole(h digest.Hash) (bool, error) {
	if !c.damaged {
		return true, nil
	}
	_, err := c.tx.Damage(h)
	if errors.Is(err, catalog.ErrNotFound) {
		return true, nil
	}
	return false, err
}

func (c *cursor) step() (err error) {
	c.ref, err, c.more = c.next()
	return err
}
