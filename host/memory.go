package host

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
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

func runtimeBytes(name string) uint64 {
	m := []metrics.Sample{{Name: name}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}
