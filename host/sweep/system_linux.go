package sweep

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// steady reads a clock that goes on while the machine sleeps, and is the same for all processes until
// it is started again.
func steady() (boot string, up time.Duration, ok bool) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var ts unix.Timespec
	if err == nil {
		err = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	}
	if err != nil {
		return "", 0, false
	}
	return strings.TrimSpace(string(id)), time.Duration(ts.Nano()), true
}
