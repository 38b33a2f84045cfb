package repair

import (
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// longestGrace is how long a silent holder is a suspect; then what it had is lost.
func (s *Service) longestGrace() time.Duration {
	return time.Duration(sdk.LongestGraceMs(uint64(s.config.Interval.Milliseconds()))) * time.Millisecond
}

// silent records that a holder did not answer about tesseras.
func (s *Service) silent(holder sdk.NodeKey, patients []*patient) error {
	return s.Book.Silent(holder, s.Network.Seen(holder), tesserasOf(patients))
}

// newlySilent tells that a holder answered something since it fell silent the last time, or never did.
func (s *Service) newlySilent(h catalog.Holder) bool {
	return h.SilentSince.IsZero() || s.Network.Seen(h.Key).After(h.SilentSince)
}

// absent lists the holders of a tessera that do not answer.
func (s *Service) absent(p *patient) (out []health.Absent) {
	for _, h := range p.holders {
		if !h.SilentSince.IsZero() {
			out = append(out, health.Absent{Held: indices(h), Silence: s.silence(h), Flaps: h.Flaps})
		}
	}
	return out
}

func (s *Service) silence(h catalog.Holder) time.Duration { return max(s.Now().Sub(h.SilentSince), 0) }

func indices(h catalog.Holder) []int {
	out := make([]int, len(h.Fragments))
	for i, f := range h.Fragments {
		out[i] = f.Index
	}
	return out
}

// dropReplaced forgets holders that have been silent for long, once others have all that they had: rows of the
// dead would pile up otherwise. The owner's node forgets those that nobody waits for any more. A holder
// remembers longer: of two that have the same the one that is to give it up has to know of the other, and who
// comes back tells nobody.
func (s *Service) dropReplaced(p *patient) error {
	patience := s.longestGrace()
	if p.kept {
		patience = memory * s.config.Interval
	}
	for _, h := range p.holders {
		if h.SilentSince.IsZero() || s.silence(h) <= patience || !p.report.Replaced(indices(h)) {
			continue
		}
		if err := s.Book.Forgotten(p.row.Tessera, h.Key); err != nil {
			return err
		}
		s.Log.Info("a silent holder was replaced and is forgotten", "tessera", p.row.Tessera.Short(), "peer", h.Key.Short())
	}
	return nil
}
