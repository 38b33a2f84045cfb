package cas

import "sync/atomic"

// Stats count since the store was opened.
type Stats struct {
	DedupHits  int64 // contents that were here before
	BytesSaved int64 // what they would have taken
}

type stats struct{ hits, saved atomic.Int64 }

// Stats gives the counts so far.
func (s *Store) Stats() Stats { return Stats{s.stats.hits.Load(), s.stats.saved.Load()} }

func (s *Store) count(o Object) {
	if o.Duplicate {
		s.stats.hits.Add(1)
		s.stats.saved.Add(o.Size)
	}
}
