package process

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tesseras/tesseras/host/policy/vet"
)

// Config is how one program is loaded.
type Config struct {
	// Name is the policy's one name: key in the configuration, name in the log, label in the metrics.
	Name string
	// SHA256 is the program's digest as 64 hexadecimal digits; "" takes the program as it is now.
	SHA256 string
	// Settings is the operator's table for this policy.
	Settings map[string]any
	// Dir is where the private copy of the program and its socket live while it runs; it has to allow
	// programs to be run, and its path to be short. "" is DefaultDir.
	Dir    string
	Limits Limits
	Log    *slog.Logger // optional
}

// Limits bound what a program may cost; zero fields mean the default. What it does with the machine
// beside answering cannot be bounded here.
type Limits struct {
	Program    int64         // bytes of the program: 256 MiB
	Start      time.Duration // until it has its settings: 10 s
	Call       time.Duration // of a question whose context sets no earlier end: 10 s
	Log        int           // bytes logged for each question: 64 KiB
	Flood      int           // bytes beyond that after which it is killed: 4 MiB
	Concurrent int           // questions at once: 4

	Backoff     time.Duration // before a restart, twice as long each time: 100 ms
	MostBackoff time.Duration // 1 min
	Healthy     time.Duration // after so long without a failure the first backoff holds again: 1 min
}

func (l Limits) withDefaults() Limits {
	set(&l.Program, 256<<20)
	set(&l.Start, 10*time.Second)
	set(&l.Call, 10*time.Second)
	set(&l.Log, vet.LogBudget)
	set(&l.Flood, 4<<20)
	set(&l.Concurrent, 4)
	set(&l.Backoff, 100*time.Millisecond)
	set(&l.MostBackoff, time.Minute)
	set(&l.Healthy, time.Minute)
	return l
}

func set[T int | int64 | time.Duration](field *T, standard T) {
	if *field <= 0 {
		*field = standard
	}
}

// DefaultDir is where the programs of this user live while they run.
func DefaultDir() string {
	return filepath.Join(os.TempDir(), "tesseras-policy-"+strconv.Itoa(os.Geteuid()))
}
