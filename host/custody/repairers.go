package custody

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// A repairer proves once that it holds a fragment of a tessera, and may then bring what it rebuilt for a
// while without being asked each time.
const (
	proofLasts = 10 * time.Minute
	maxProofs  = 4096
)

type proofKey struct {
	sender  sdk.NodeKey
	tessera sdk.TesseraID
}

// proofs remembers who proved what a short while ago.
type proofs struct {
	mu   sync.Mutex // guards seen
	seen map[proofKey]time.Time
}

func (p *proofs) has(k proofKey, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.seen[k]
	return ok && now.Sub(at) < proofLasts && !at.After(now)
}

func (p *proofs) add(k proofKey, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) >= maxProofs {
		clear(p.seen) // they are proven again when they are needed
	}
	p.seen[k] = now
}

// proved tells whether a repairer holds a fragment of the tessera: it names one, and answers a challenge
// for it. One that names none, or fails, is not refused for it: the policy is told.
func (s *Service) proved(ctx context.Context, from Sender, q *wire.Replicate, plan *fragment.FragmentPlan) (bool, error) {
	index := int(q.GetHolds()) - 1
	if q.GetPurpose() != wire.Purpose_CUSTODY || index < 0 || s.Proves == nil {
		return false, nil
	}
	if index >= plan.Total() {
		return false, wire.Refuse(wire.Code_MALFORMED, "the plan has no fragment of the index that the sender holds")
	}
	key := proofKey{from.Key, plan.Tessera}
	if s.proofs.has(key, s.Now()) {
		return true, nil
	}
	claim := proof.Claim{Tessera: plan.Tessera, Index: index, Checksum: plan.Fragments[index], Size: plan.ShardSize()}
	if err := s.Proves(ctx, from.Key, claim); err != nil {
		s.Log.Info("a repairer did not prove that it holds a fragment", "peer", from.ID.Short(), "tessera", plan.Tessera.Short(), "err", err)
		return false, ctx.Err()
	}
	s.proofs.add(key, s.Now())
	return true, nil
}

// Keep takes a fragment that this node rebuilt itself, by the same rules as one that a repairer brings.
// There is no receipt: nobody else relies on it.
func (s *Service) Keep(ctx context.Context, plan *fragment.FragmentPlan, index int, body io.Reader) error {
	if err := s.notDeleted(plan.Tessera); err != nil {
		return err
	}
	if err := s.adopt(plan, plan.Bytes()); err != nil {
		return err
	}
	id := plan.ID(index)
	if s.has(id) {
		return nil
	}
	self := Sender{Key: s.Node.Key(), ID: s.Node.ID(), Owner: s.Owner}
	q := &wire.Replicate{Index: uint32(index), Size: uint64(plan.ShardSize()), Purpose: wire.Purpose_CUSTODY}
	custody, release, err := s.admit(ctx, self, q, plan, true)
	if err != nil {
		return err
	}
	defer release()
	return s.take(ctx, plan, id, plan.Bytes(), body, custody)
}

// Yield gives up a fragment that another holder has too. It is for the caller to be sure of that. The
// journal hears of it first: an index that is rebuilt must not miss the fragment.
func (s *Service) Yield(ctx context.Context, t sdk.TesseraID, index int) error {
	if err := s.Journal.Append(holders.RecordReleased, holders.ReleasedRecord(t, index)); err != nil {
		return err
	}
	if err := s.GivenUp(t, index); err != nil {
		return err
	}
	err := s.Catalog.Reclaim(func(tx *catalog.Tx) error {
		f, err := tx.Fragment(t, index)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		plan, err := tx.Plan(t)
		if err != nil {
			return err
		}
		if _, err := tx.DropFragment(t, index); err != nil {
			return err
		}
		return ledger.Released(tx, s.Owner, plan.Owner, f.Size)
	})
	if err != nil {
		return err
	}
	_, err = s.Catalog.Collect(ctx, s.Objects)
	return err
}
