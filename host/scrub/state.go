package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
)

// metaState is the catalog's name for where the scrub stands.
const metaState = "scrub"

// state is where the scrub stands, kept in the index as JSON.
type state struct {
	Paused   bool        `json:"paused"`
	Active   bool        `json:"active"` // a pass is under way
	Eager    bool        `json:"eager"`  // it does not wait for its shares
	Begun    time.Time   `json:"begun"`  // this pass, or the last one
	Finished time.Time   `json:"finished"`
	Behind   digest.Hash `json:"behind"` // the object read last
	Any      bool        `json:"any"`    // there is one
	Objects  int         `json:"objects"`
	Bytes    int64       `json:"bytes"`
	Corrupt  int         `json:"corrupt"`
	Healed   int         `json:"healed"`
}

func load(c *catalog.Catalog) (st state, err error) {
	err = c.View(func(tx *catalog.Tx) error {
		b, err := tx.Meta(metaState)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(b, &st)
		}
		return err
	})
	return st, err
}

// change changes the state, in memory and in the index.
func (s *Service) change(f func(*state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state
	f(&next)
	b, err := json.Marshal(next)
	if err == nil {
		err = s.Catalog.Reclaim(func(tx *catalog.Tx) error { return tx.PutMeta(metaState, b) })
	}
	if err != nil {
		return fmt.Errorf("note where the scrub stands: %w", err)
	}
	s.state = next
	return nil
}

// begin begins a pass.
func (s *Service) begin(eager bool) error {
	now := s.Now()
	return s.change(func(st *state) {
		*st = state{Paused: st.Paused, Active: true, Eager: eager, Begun: now, Finished: st.Finished}
	})
}

// finish ends the pass under way.
func (s *Service) finish() error {
	now := s.Now()
	err := s.change(func(st *state) { st.Active, st.Eager, st.Finished = false, false, now })
	st := s.look()
	s.Log.Info("scrubbed everything", "objects", st.Objects, "bytes", st.Bytes, "corrupt", st.Corrupt, "healed", st.Healed, "since", st.Begun)
	return err
}

// passed moves the cursor in memory; note writes it down.
func (s *Service) passed(h digest.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Behind, s.state.Any = h, true
}

// note adds what was found and writes the state down.
func (s *Service) note(r Report) error {
	err := s.change(func(st *state) {
		st.Objects += r.Objects
		st.Bytes += r.Bytes
		st.Corrupt += r.Corrupt
		st.Healed += r.Healed
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Objects += int64(r.Objects)
	s.stats.Bytes += r.Bytes
	s.stats.Corrupt += int64(r.Corrupt)
	s.stats.Healed += int64(r.Healed)
	return err
}

// cursor is where the pass goes on; done tells that there is nothing after the last object.
func (s *Service) cursor() (from digest.Hash, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.Any {
		return from, false
	}
	from = s.state.Behind
	for i := len(from) - 1; i >= 0; i-- {
		if from[i]++; from[i] != 0 {
			return from, false
		}
	}
	return from, true
}

func (s *Service) look() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// due is how much is to be read by the next round so that the pass ends with its period. It begins the
// pass that is due.
func (s *Service) due(t catalog.Totals) (int64, error) {
	st, now := s.look(), s.Now()
	if st.Paused {
		return 0, nil
	}
	if !st.Active {
		if now.Before(st.next(s.config)) {
			return 0, nil
		}
		if err := s.begin(false); err != nil {
			return 0, err
		}
		st = s.look()
	}
	if st.Eager {
		return all - 1, nil
	}
	part := max(now.Sub(st.Begun), 0) + s.config.Interval
	if part >= s.config.Period {
		return all - 1, nil
	}
	share := float64(part) / float64(s.config.Period)
	due := int64(share*float64(cost(t.Bytes, t.Objects))) - cost(st.Bytes, int64(st.Objects))
	return max(due, 0), nil
}

// next is when a pass is due to begin.
func (st state) next(c Config) time.Time {
	if st.Begun.IsZero() {
		return time.Time{}
	}
	return st.Begun.Add(c.Period - min(c.Interval, c.Period))
}

// Status is how the scrub stands.
type Status struct {
	Paused, Active bool
	Report
	Total    catalog.Totals
	Begun    time.Time // this pass, or the last one
	Finished time.Time // the last one
	Next     time.Time // pass, while none is under way
}

// Status tells how the scrub stands.
func (s *Service) Status() (Status, error) {
	totals, err := s.totals()
	st := s.look()
	out := Status{
		Paused: st.Paused, Active: st.Active, Report: Report{st.Objects, st.Bytes, st.Corrupt, st.Healed},
		Total: totals, Begun: st.Begun, Finished: st.Finished,
	}
	if !st.Active {
		out.Next = st.next(s.config)
	}
	return out, err
}

// Start begins a pass that the next rounds read without waiting for its shares.
func (s *Service) Start() error {
	if err := s.change(func(st *state) { st.Paused = false }); err != nil {
		return err
	}
	return s.begin(true)
}

// Pause keeps rounds from reading, until Resume and over restarts.
func (s *Service) Pause() error { return s.change(func(st *state) { st.Paused = true }) }

// Resume lets rounds go on where they were.
func (s *Service) Resume() error { return s.change(func(st *state) { st.Paused = false }) }
