package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps no process behind when the demo itself is killed, and keeps a Ctrl-C on the
// terminal from reaching the nodes before the demo ends them in its own order.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
