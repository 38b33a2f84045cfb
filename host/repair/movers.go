package repair

import (
	"context"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// leftToMovers is for how long past its own turn a node leaves a tessera to those who say that they are
// moving it, where its rounds are not further apart than that. To publish or rebuild a large tessera takes
// longer than the turns are apart where these are short; a liar must not hold a repair up for ever.
const leftToMovers = time.Hour

// leaveToMovers gives the patients that nobody else is publishing or repairing just now, as far as their
// other holders and their owners' nodes say. Without it several would rebuild the same where a rebuild
// takes longer than the turns of holders are apart.
func (s *Service) leaveToMovers(ctx context.Context, patients []*patient, owners map[sdk.OwnerKey][]identity.Contact) ([]*patient, error) {
	var asked questions
	for _, p := range patients {
		patience := p.turn.patience(s.config.Interval) + max(leftToMovers, s.config.Interval)
		if s.Now().Sub(p.row.IllSince) >= patience {
			continue
		}
		for _, h := range p.holders {
			if h.SilentSince.IsZero() {
				asked.add(h, p)
			}
		}
		for _, c := range owners[p.row.Owner] {
			if c.Key != s.Self && !p.heldBy(c.Key) {
				asked.add(stranger(c), p)
			}
		}
	}
	moving := map[sdk.TesseraID]bool{}
	err := s.inquire(ctx, asked.all, func(p *patient, c wire.CheckHeard) {
		if c.Moving {
			moving[p.row.Tessera] = true
		}
	})
	return slices.DeleteFunc(patients, func(p *patient) bool {
		if moving[p.row.Tessera] {
			s.Log.Info("somebody else repairs it just now", "tessera", p.row.Tessera.Short())
		}
		return moving[p.row.Tessera]
	}), err
}
