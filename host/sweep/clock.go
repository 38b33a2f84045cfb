package sweep

import (
	"bytes"
	"encoding/binary"
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

// metaClock is the catalog's name for the last reading.
const metaClock = "sweep_clock"

// watch notices leaps of the time of day, also across restarts of the process.
type watch struct {
	mu      sync.Mutex // held for the length of a sweep
	catalog *catalog.Catalog
}

// never is a leap that did not happen.
const never = time.Duration(math.MaxInt64)

// leap tells how long ago, by the steady clock, the last leap was noticed; never where none was.
type leap struct{ since time.Duration }

// reading is what both clocks said at one moment.
type reading struct {
	wall  int64 // unix nanoseconds
	up    int64 // nanoseconds of the steady clock
	leapt int64 // up when a leap was last noticed, -1 if never in this boot
	boot  string
}

// look reads the clocks, compares them with the reading before, and keeps the new one. Where the disk is
// full it is not kept: to sweep is what a full disk needs most.
func (w *watch) look(c Clock) (leap, error) {
	boot, up := c.Steady()
	now := reading{wall: c.Now().UnixNano(), up: int64(up), leapt: -1, boot: boot}
	before, ok, err := w.read()
	if err != nil {
		return leap{}, err
	}
	if ok {
		now.leapt = now.compare(before)
	}
	err = w.catalog.Reclaim(func(tx *catalog.Tx) error { return tx.PutMeta(metaClock, now.bytes()) })
	if errors.Is(err, catalog.ErrDiskFull) {
		err = nil
	}
	if now.leapt < 0 {
		return leap{never}, err
	}
	return leap{time.Duration(now.up - now.leapt)}, err
}

// compare gives the steady time of the last leap, -1 if there was none. After a restart of the machine
// there is no steady time to compare with, but time that went backwards is a leap all the same.
func (r reading) compare(before reading) int64 {
	wall := time.Duration(r.wall - before.wall)
	if r.boot != before.boot {
		if wall < -tolerance {
			return r.up
		}
		return -1
	}
	if drift := wall - time.Duration(r.up-before.up); drift.Abs() > tolerance {
		return r.up
	}
	return before.leapt
}

func (r reading) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.wall))
	b = binary.BigEndian.AppendUint64(b, uint64(r.up))
	b = binary.BigEndian.AppendUint64(b, uint64(r.leapt))
	return append(b, r.boot...)
}

// read gives the reading before; ok is false when there is none.
func (w *watch) read() (r reading, ok bool, err error) {
	var b []byte
	err = w.catalog.View(func(tx *catalog.Tx) (err error) {
		b, err = tx.Meta(metaClock)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) || err == nil && len(b) < 24 {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	next := bytes.NewBuffer(b)
	number := func() int64 { return int64(binary.BigEndian.Uint64(next.Next(8))) }
	r.wall, r.up, r.leapt = number(), number(), number()
	r.boot = next.String()
	return r, true, nil
}
