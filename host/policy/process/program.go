package process

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"
)

// program is one run of the policy's program, as go-plugin drives it. It is a group of processes of its
// own, so that what it started ends with it.
type program struct {
	cmd            *exec.Cmd
	digest         []byte
	stdout, stderr *os.File
	ended          chan struct{} // closed when the process is gone
	err            error         // how; may be read once ended is closed
}

var _ runner.Runner = (*program)(nil)

// linger is how long output may still come from a process that is gone: something it started may hold
// the other end for ever.
const linger = 200 * time.Millisecond

// newProgram prepares a run in a room. environment is what go-plugin wants the program to know.
func newProgram(r *room, digest []byte, environment []string) *program {
	cmd := exec.Command(r.program())
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TMPDIR=" + r.dir}
	for _, e := range environment {
		if !strings.HasPrefix(e, plugin.EnvUnixSocketDir+"=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	// the path of a socket has to be short: no folder inside the room
	cmd.Env = append(cmd.Env, plugin.EnvUnixSocketDir+"="+r.dir)
	cmd.SysProcAttr = ownGroup()
	return &program{cmd: cmd, digest: digest, ended: make(chan struct{})}
}

// Start implements runner.Runner. What is started is what was digested.
func (p *program) Start(context.Context) error {
	check := plugin.SecureConfig{Checksum: p.digest, Hash: sha256.New()}
	same, err := check.Check(p.cmd.Path)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: its copy was changed", ErrDigest)
	}
	var outside [2]*os.File
	if p.stdout, outside[0], err = os.Pipe(); err != nil {
		return err
	}
	if p.stderr, outside[1], err = os.Pipe(); err != nil {
		return errors.Join(err, p.stdout.Close(), outside[0].Close())
	}
	p.cmd.Stdout, p.cmd.Stderr = outside[0], outside[1]
	err = startBusy(p.cmd)
	for _, f := range outside {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return errors.Join(err, p.stdout.Close(), p.stderr.Close())
	}
	go p.wait()
	return nil
}

// startBusy starts a program that was written a moment ago. Another process that is just being started
// may have it open for writing until it runs itself.
func startBusy(cmd *exec.Cmd) (err error) {
	for pause := time.Millisecond; pause < time.Second; pause *= 2 {
		if err = cmd.Start(); !errors.Is(err, unix.ETXTBSY) {
			return err
		}
		time.Sleep(pause)
	}
	return err
}

// wait sees the process end, and lets go of what it may have left behind.
func (p *program) wait() {
	p.err = p.cmd.Wait()
	_ = p.Kill(context.Background())
	close(p.ended)
	soon := time.Now().Add(linger)
	_ = p.stdout.SetReadDeadline(soon)
	_ = p.stderr.SetReadDeadline(soon)
}

// Wait implements runner.Runner.
func (p *program) Wait(context.Context) error {
	<-p.ended
	_ = p.stdout.Close() // it was read to its end
	_ = p.stderr.Close()
	return p.err
}

// Kill implements runner.Runner: the whole group ends at once.
func (p *program) Kill(context.Context) error {
	select {
	case <-p.ended: // its number may be somebody else's by now
		return nil
	default:
	}
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EPERM) { // EPERM: only zombies are left, on some systems
		return nil
	}
	return err
}

// Stdout implements runner.Runner.
func (p *program) Stdout() io.ReadCloser { return p.stdout }

// Stderr implements runner.Runner.
func (p *program) Stderr() io.ReadCloser { return p.stderr }

// Name implements runner.Runner.
func (p *program) Name() string { return programName }

// ID implements runner.Runner.
func (p *program) ID() string { return strconv.Itoa(p.cmd.Process.Pid) }

// Diagnose implements runner.Runner.
func (p *program) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.AddrTranslator: a program is talked to through a socket in its room.
func (p *program) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(address) != filepath.Dir(p.cmd.Path) {
		return "", "", fmt.Errorf("it listens on %s %.100q, which is not in its folder", network, address)
	}
	return network, address, nil
}

// HostToPlugin implements runner.AddrTranslator.
func (p *program) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
