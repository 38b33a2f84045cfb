package sweep

import (
	"sync"
	"time"
)

// Stats count since the node was opened.
type Stats struct {
	Sweeps       int64
	Orphans      int64
	LeakedRefs   int64
	SkippedYoung int64
	Seconds      float64 // spent sweeping
}

// stats add up what sweeps did.
type stats struct {
	mu  sync.Mutex // guards sum
	sum Stats
}

func (s *stats) add(r Report, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Sweeps++
	s.sum.Orphans += int64(r.Orphans)
	s.sum.LeakedRefs += int64(r.LeakedRefs)
	s.sum.SkippedYoung += int64(r.SkippedYoung)
	s.sum.Seconds += took.Seconds()
}

// Stats gives the counts so far.
func (s *Service) Stats() Stats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	return s.stats.sum
}
