package host

import (
	"runtime"
	"testing"
)

// TestSpareMemoryIsGivenBack: at the look after a burst the process is as small as before it; where nothing
// happened, nothing is collected.
func TestSpareMemoryIsGivenBack(t *testing.T) {
	taken := func() uint64 {
		return runtimeBytes("/memory/classes/total:bytes") - runtimeBytes("/memory/classes/heap/released:bytes")
	}
	const burst = 256 << 20
	var s spareMemory
	s.look()
	before := taken()
	held := make([]byte, burst)
	if worthIt := s.look(); !worthIt || taken() < burst {
		t.Fatalf("%d MiB of memory while %d are held, %d before", taken()>>20, burst>>20, before>>20)
	}
	runtime.KeepAlive(held)
	for range 4 {
		held = make([]byte, burst/4)
		runtime.KeepAlive(held)
	}
	if worthIt := s.look(); !worthIt || taken() > before+burst/2 {
		t.Errorf("%d MiB of memory after the burst, %d before", taken()>>20, before>>20)
	}
	if s.look() {
		t.Error("nothing was allocated since the last look, and yet it collects")
	}
}

// TestThriftEnds: of those who want little garbage at a time the last puts back what was, whatever their order.
func TestThriftEnds(t *testing.T) {
	percent := func() uint64 { return runtimeBytes("/gc/gogc:percent") }
	usual := percent()
	var s thrift
	first := s.begin()
	second := s.begin()
	first()
	if percent() != littleGarbagePercent {
		t.Errorf("%d %% while one of two wants little garbage", percent())
	}
	second()
	if percent() != usual {
		t.Errorf("%d %% at the end, %d at the beginning", percent(), usual)
	}
}
