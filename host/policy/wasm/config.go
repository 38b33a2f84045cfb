package wasm

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/tesseras/tesseras/host/policy/vet"
)

// Config is how one module is loaded.
type Config struct {
	// Name is the policy's one name: key in the configuration, name in the log, label in the metrics.
	Name string
	// SHA256 is the module's digest as 64 hexadecimal digits; "" does not check.
	SHA256 string
	// Settings is the operator's table for this policy.
	Settings map[string]any
	// CacheDir keeps compiled modules, for all nodes of a user; see DefaultCacheDir. "" compiles each
	// time anew.
	CacheDir string
	Limits   Limits
	Log      *slog.Logger // optional
}

// Limits bound what a module may cost; zero fields mean the default.
type Limits struct {
	Module     int           // bytes of the module: 16 MiB
	Memory     int           // bytes of linear memory of an instance, in whole pages of 64 KiB: 64 MiB
	Compile    time.Duration // of computing, in whole seconds: 10 s
	Start      time.Duration // of an instance, its configuration included: 2 s
	Call       time.Duration // of a question whose context sets no earlier end: 10 s
	Log        int           // bytes logged for each question: 64 KiB
	Concurrent int           // questions at once: 2 to 4, by the number of processors
}

const (
	wasmPage = 64 << 10 // bytes: the unit of linear memory
	allPages = 1 << 16  // as many as can be addressed
)

func (l Limits) pages() uint32 { return uint32(min(l.Memory/wasmPage, allPages)) }

func (l Limits) withDefaults() Limits {
	set(&l.Module, 16<<20)
	set(&l.Memory, 64<<20)
	set(&l.Compile, 10*time.Second*slowdown)
	set(&l.Start, 2*time.Second*slowdown)
	set(&l.Call, 10*time.Second)
	set(&l.Log, vet.LogBudget)
	set(&l.Concurrent, min(4, max(2, runtime.GOMAXPROCS(0))))
	return l
}

func set[T int | time.Duration](field *T, standard T) {
	if *field <= 0 {
		*field = standard
	}
}
