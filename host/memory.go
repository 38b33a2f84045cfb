package host

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	giveBackEvery = 30 * time.Second
	// giveBackFrom is how many bytes allocated since the last look are worth a collection.
	giveBackFrom = 16 << 20
)

// spareMemory gives memory back to the system soon after a burst: the runtime by itself collects only after
// two minutes without need, and then takes its time.
type spareMemory struct {
	allocated uint64 // bytes ever, at the last look
}

// run looks now and then until ctx ends.
func (s *spareMemory) run(ctx context.Context) error {
	t := time.NewTicker(giveBackEvery)
	defer t.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// look collects and gives back what is not needed, unless little can have become garbage since the last look.
func (s *spareMemory) look() (worthIt bool) {
	now := runtimeBytes("/gc/heap/allocs:bytes")
	if now < s.allocated+giveBackFrom {
		return false
	}
	s.allocated = now
	debug.FreeOSMemory()
	return true
}

// littleGarbage is the time in which the collector lets less garbage pile up than usual.
var littleGarbage thrift

const littleGarbagePercent = 40

// thrift is a setting of the whole process, which several of its nodes may want at a time: the last of them puts
// back what was. The zero value is ready.
type thrift struct {
	mu    sync.Mutex // guards below
	users int
	usual int // percent
}

// begin sets it until the function that it gives is called.
func (s *thrift) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		s.usual = debug.SetGCPercent(littleGarbagePercent)
	}
	s.users++
	return s.end
}

func (s *thrift) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		debug.SetGCPercent(s.usual)
	}
}

func runtimeBytes(name string) uint64 {
	m := []metrics.Sample{{Name: name}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}
