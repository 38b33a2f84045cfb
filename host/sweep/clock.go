package sweep

import (
	"encoding/json"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
)

// Clock tells the time of day, which may leap, and a steady one, which never does.
type Clock interface {
	// Now is the time of day.
	Now() time.Time
	// Steady is the time since the start that boot names. Two readings can be compared only when they
	// name the same.
	Steady() (boot string, up time.Duration)
}

// tolerance is how far the two clocks may part before that is a leap and not an adjustment.
const tolerance = time.Minute

// restart is how long a machine may take from one start to the next before that may as well be a leap.
const restart = 10 * time.Minute

// metaClock is the catalog's name for the last reading.
const metaClock = "sweep_clock"

// watch notices leaps of the time of day, also across restarts of the process.
type watch struct {
	mu      sync.Mutex // held for the length of a sweep
	catalog *catalog.Catalog
}

// never is a leap that did not happen.
const never = time.Duration(math.MaxInt64)

// leap is the last one that was noticed.
type leap struct {
	since   time.Duration // by the steady clock; never where there was none
	pending bool          // no round was postponed for it yet
}

// reading is what both clocks said at one moment, and what follows from all readings up to then. It is kept
// in the index as JSON.
type reading struct {
	Wall  int64         `json:"wall"`  // unix nanoseconds
	Up    time.Duration `json:"up"`    // of the steady clock
	Leapt time.Duration `json:"leapt"` // Up when a leap was last noticed, -1 if never in this boot
	Boot  string        `json:"boot"`

	Pending bool          `json:"pending"` // a leap is to postpone a round
	Lived   time.Duration `json:"lived"`   // steady time in all, without that between two boots
	// Aside is, of each folder of what was moved aside, Lived when it was seen first.
	Aside map[string]time.Duration `json:"aside,omitempty"`
}

// look reads the clocks, compares them with the reading before, and keeps the new one.
func (w *watch) look(c Clock) (leap, error) {
	boot, up := c.Steady()
	now := reading{Wall: c.Now().UnixNano(), Up: up, Leapt: -1, Boot: boot}
	before, ok, err := w.read()
	if err != nil {
		return leap{}, err
	}
	if ok {
		now.follow(before)
	}
	l := leap{never, now.Pending}
	if now.Leapt >= 0 {
		l.since = now.Up - now.Leapt
	}
	return l, w.keep(now)
}

// keep writes a reading down. Where the disk is full it is not kept: to sweep is what a full disk needs most.
func (w *watch) keep(r reading) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = w.catalog.Reclaim(func(tx *catalog.Tx) error { return tx.PutMeta(metaClock, b) })
	}
	if errors.Is(err, catalog.ErrDiskFull) {
		return nil
	}
	return err
}

// change changes the reading that was kept last.
func (w *watch) change(f func(*reading)) error {
	r, ok, err := w.read()
	if err != nil || !ok {
		return err
	}
	f(&r)
	return w.keep(r)
}

// follow takes over what the reading before knew, and compares the two.
func (r *reading) follow(before reading) {
	leapt := r.leapt(before)
	switch {
	case leapt:
		r.Leapt = r.Up
	case r.Boot == before.Boot:
		r.Leapt = before.Leapt
	}
	r.Pending = before.Pending || leapt
	r.Lived, r.Aside = before.Lived, before.Aside
	if r.Boot == before.Boot {
		r.Lived += max(r.Up-before.Up, 0)
	}
}

// leapt tells whether the time of day has leapt. After a restart of the machine only the time it has been up
// can be compared: it was off a while, or the clock was put forward, which looks the same.
func (r *reading) leapt(before reading) bool {
	wall := time.Duration(r.Wall - before.Wall)
	if r.Boot != before.Boot {
		off := wall - r.Up
		return off < -tolerance || off > restart
	}
	drift := wall - (r.Up - before.Up)
	return drift.Abs() > tolerance
}

// read gives the reading before; ok is false when there is none that can be used.
func (w *watch) read() (r reading, ok bool, err error) {
	var b []byte
	err = w.catalog.View(func(tx *catalog.Tx) (err error) {
		b, err = tx.Meta(metaClock)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	return r, json.Unmarshal(b, &r) == nil, nil
}
