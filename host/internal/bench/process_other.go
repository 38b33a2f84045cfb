//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

// dieWithParent has no counterpart here: a child ends with its standard input.
func dieWithParent(*exec.Cmd) {}

// processorTime is not known here, and then no ratio of it is shown.
func processorTime(int) time.Duration { return 0 }

func computerTime() time.Duration { return 0 }

func peakMemory(int) (int64, error) { return 0, errors.ErrUnsupported }

// syncDisk leaves the disk to itself.
func syncDisk() {}
