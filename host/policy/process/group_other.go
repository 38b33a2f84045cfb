//go:build !linux

package process

import "syscall"

// ownGroup makes a process a group of its own. That its parent is gone it has to see by itself, as
// sdk/process does.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
