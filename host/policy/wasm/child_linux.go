package wasm

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// executable is the very file this process runs, also when an upgrade has put another in its place.
func executable() (string, error) { return "/proc/self/exe", nil }

func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// limitSelf bounds what the child can take from the machine: memory, files, seconds of computing.
func limitSelf(seconds uint64) error {
	limit := func(what int, n uint64) error { return unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n + 1}) }
	return errors.Join(
		limit(unix.RLIMIT_DATA, childMemory),
		limit(unix.RLIMIT_FSIZE, childFile),
		limit(unix.RLIMIT_CORE, 0),
		limit(unix.RLIMIT_CPU, seconds), // first a signal, a second later the end
	)
}
