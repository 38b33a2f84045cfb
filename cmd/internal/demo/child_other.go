//go:build !linux

package demo

import "os/exec"

// dieWithParent has no counterpart here: the demo ends its processes itself.
func dieWithParent(*exec.Cmd) {}
