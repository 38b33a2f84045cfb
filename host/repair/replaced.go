package repair

import (
	"context"
	"fmt"
	"slices"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// GiveUpReplaced gives up those fragments, all gone here, that enough others have by now, and tells which. As with a
// surplus nobody is believed: who has one must prove it now.
func (s *Service) GiveUpReplaced(ctx context.Context, id sdk.TesseraID, indexes []int) (given []int, err error) {
	k, err := s.keptOne(id)
	if err != nil || k.row.Data == 0 {
		return nil, err
	}
	p := &patient{row: k.row, mine: k.mine, kept: true}
	if p.holders, err = s.Book.Of(id); err != nil {
		return nil, err
	}
	asked := s.withPlans([]*patient{p})
	if err := s.discover(ctx, asked); err != nil {
		return nil, err
	}
	if _, err := s.askHolders(ctx, visits(asked), s.auditSome); err != nil {
		return nil, err
	}
	if err := s.assess(p); err != nil {
		return nil, err
	}
	if len(p.mine) == 0 && p.report.Peers < s.config.Replicas {
		return nil, nil // it is wanted as a holder
	}
	missing := health.Indexes(p.report.Missing)
	for _, index := range indexes {
		other, replaced := s.twin(p, index)
		if slices.Contains(missing, index) || !replaced || !s.provesNow(ctx, p, other, index) {
			continue
		}
		s.Log.Info("a fragment that is gone here is left to who has it now", "tessera", id.Short(), "fragment", index, "other", other.Key.Short())
		if err := s.Keeper.Yield(ctx, id, index); err != nil {
			return given, fmt.Errorf("fragment %d: %w", index, err)
		}
		given = append(given, index)
	}
	return given, nil
}
