package repair

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/proof"
)

// trimAfter is how many intervals two holders of the same shard are left alone: a repair may have been
// premature, and so may be its undoing.
const trimAfter = 3

// trim gives up a shard of a healthy tessera that another holder has too: a holder that was thought dead
// came back, or two repaired at once. Nobody is believed here: the other must have proved the very shard
// to this node within the proof period, and prove it once more now. Of two holders the one with more shards
// of the tessera yields, and of equals the one that comes later in the order, so that never both do; and
// nothing is given up that would make the margin thinner.
func (s *Service) trim(ctx context.Context, p *patient) error {
	if p.row.Copies > 1 {
		return nil // whole copies: more of them are no harm
	}
	index, other, found := s.surplus(p)
	if err := s.noteSurplus(p, found); err != nil || !found {
		return err
	}
	if s.Now().Sub(p.row.SurplusSince) < trimAfter*s.config.Interval || !s.provesNow(ctx, p, other, index) {
		return nil
	}
	s.Log.Info("a surplus fragment is given up", "tessera", p.row.Tessera.Short(), "fragment", index, "other", other.Key.Short())
	return s.Keeper.Yield(ctx, p.row.Tessera, index) // one a round is enough
}

// surplus is a fragment that this node is to give up, and who else has it.
func (s *Service) surplus(p *patient) (index int, other holders.Record, found bool) {
	for _, index := range p.mine {
		other, twice := s.twin(p, index)
		if !twice || !s.yields(p, other) {
			continue
		}
		less := *p
		less.mine = slices.DeleteFunc(slices.Clone(p.mine), func(i int) bool { return i == index })
		if len(less.mine) == 0 && p.report.Peers <= s.config.Replicas {
			continue
		}
		after := health.Assess(p.shape(), s.standing(&less), s.config.Replicas)
		if after.Status == health.Healthy && after.Survives.Peers >= p.report.Survives.Peers {
			return index, other, true
		}
	}
	return 0, holders.Record{}, false
}

// provesNow challenges the other holder for the shard that is about to be given up for it.
func (s *Service) provesNow(ctx context.Context, p *patient, other holders.Record, index int) bool {
	contact, ok := holders.Contact(other.Holder)
	if !ok || len(s.withPlans([]*patient{p})) == 0 {
		return false
	}
	c := proof.Claim{Tessera: p.row.Tessera, Index: index, Checksum: p.plan.Fragments[index], Size: p.row.ShardSize}
	var nonce [32]byte
	rand.Read(nonce[:])
	outcome, _ := s.challenge(ctx, s.Network.Locate(contact), c, nonce)
	return outcome == proof.Proven
}

// twin is another holder that proved to have a fragment of ours.
func (s *Service) twin(p *patient, index int) (holders.Record, bool) {
	for _, r := range p.records {
		has := func(f catalog.HeldFragment) bool {
			_, proven := s.Book.Counts(r, f)
			return f.Index == index && proven
		}
		if slices.ContainsFunc(r.Fragments, has) {
			return r, true
		}
	}
	return holders.Record{}, false
}

// yields tells whether it is this node that gives up what both have.
func (s *Service) yields(p *patient, other holders.Record) bool {
	if mine, theirs := len(p.mine), len(other.Fragments); mine != theirs {
		return mine > theirs
	}
	return precedes(p.row.Tessera, other.Key, s.Self)
}
