package repair

import (
	"context"
	"slices"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// GiveUpReplaced gives up a fragment that is gone here, where enough others have it by now, and tells whether it did.
// As with a surplus nobody is believed: who has it must prove it now.
func (s *Service) GiveUpReplaced(ctx context.Context, id sdk.TesseraID, index int) (given bool, err error) {
	k, err := s.keptOne(id)
	if err != nil || k.row.Data == 0 {
		return false, err
	}
	p := &patient{row: k.row, mine: k.mine, kept: true}
	if p.holders, err = s.Book.Of(id); err != nil {
		return false, err
	}
	asked := s.withPlans([]*patient{p})
	if err := s.discover(ctx, asked); err != nil {
		return false, err
	}
	if _, err := s.askHolders(ctx, visits(asked), s.auditSome); err != nil {
		return false, err
	}
	if err := s.assess(p); err != nil {
		return false, err
	}
	other, replaced := s.twin(p, index)
	wanted := slices.Contains(health.Indexes(p.report.Missing), index) || len(p.mine) == 0 && p.report.Peers < s.config.Replicas
	if wanted || !replaced || !s.provesNow(ctx, p, other, index) {
		return false, nil
	}
	s.Log.Info("a fragment that is gone here is left to who has it now", "tessera", id.Short(), "fragment", index, "other", other.Key.Short())
	return true, s.Keeper.Yield(ctx, id, index)
}
