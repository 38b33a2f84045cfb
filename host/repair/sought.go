package repair

import (
	"maps"
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// sought is for which tesseras this process has asked the network who holds them, and when. The zero value
// is for none. Before that, what a holder does not know of a tessera is no sign that it is lost.
type sought struct {
	mu   sync.Mutex // guards below
	when map[sdk.TesseraID]time.Time
}

// note notes that these were looked for, and drops what was before.
func (s *sought) note(patients []*patient, now, before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.when == nil {
		s.when = map[sdk.TesseraID]time.Time{}
	}
	maps.DeleteFunc(s.when, func(_ sdk.TesseraID, at time.Time) bool { return at.Before(before) })
	for _, p := range patients {
		s.when[p.row.Tessera] = now
	}
}

// Sought tells whether the network was asked who holds a tessera that is kept here.
func (s *Service) Sought(t sdk.TesseraID) bool {
	s.sought.mu.Lock()
	defer s.sought.mu.Unlock()
	_, yes := s.sought.when[t]
	return yes
}
