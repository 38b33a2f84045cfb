package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

// most is the memory a receiver may ever have had, below what it is sent. Loading the policies takes
// the most of it, and programs that are tests are larger than tesd.
const most = 88 << 20

func TestAReceiversMemoryDoesNotFollowTheTessera(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	holder := v.spawn()
	v.meet(owner, 1)
	before := peak(t, holder.cmd.Process.Pid)
	made := create(t, owner, folder(t, map[string]int{"film.mp4": 64 << 20}))
	p, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress)
	if err != nil || p.Placed != 24 {
		t.Fatalf("published %+v, %v", p, err)
	}
	after := peak(t, holder.cmd.Process.Pid)
	t.Logf("a receiver of 96 MiB had at most %d MiB of memory, %d MiB before", after>>20, before>>20)
	if after > most && !underRace {
		t.Errorf("a receiver of 96 MiB had %d MiB of memory, at most %d are allowed", after>>20, most>>20)
	}
}

// peak is the most memory in bytes that a process ever had resident, and resident what it has now.
func peak(t *testing.T, pid int) (bytes int64)     { return memory(t, pid, "VmHWM") }
func resident(t *testing.T, pid int) (bytes int64) { return memory(t, pid, "VmRSS") }

// memory is what the system says of a process.
func memory(t *testing.T, pid int, what string) (bytes int64) {
	t.Helper()
	for line := range strings.Lines(string(read(t, fmt.Sprintf("/proc/%d/status", pid)))) {
		if n, _ := fmt.Sscanf(line, what+": %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("the system does not tell")
	return 0
}

// TestNoDescriptorIsLeftAfterClose is not parallel: it counts what this process has.
func TestNoDescriptorIsLeftAfterClose(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	t.Run("once", func(t *testing.T) { newVillage(t, 1) }) // what the runtime opens for good
	before := descriptors()
	for range 3 {
		t.Run("again", func(t *testing.T) {
			v, owner := newVillage(t, 2)
			original := folder(t, small)
			made := create(t, owner, original)
			if _, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress); err != nil {
				t.Error(err)
			}
			fetch(t, v.nodes[0], made.ID, original)
		})
	}
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}
