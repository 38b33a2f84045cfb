//go:build !linux

package wasm

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func executable() (string, error) { return os.Executable() }

func diesWithUs() *syscall.SysProcAttr { return nil }

// limitSelf bounds the seconds of computing. For memory there is only the collector's limit here.
func limitSelf(seconds uint64) error {
	return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds + 1})
}
