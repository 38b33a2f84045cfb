package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// fleet is the nodes of a demo, in the order they were started.
type fleet struct {
	program string
	base    string
	spread  bool // every node gets an address in a subnet of its own
	nodes   []*node
}

// node is one process.
type node struct {
	program string
	name    string
	dir     string
	logFile string
	id      string
	addr    string
	cmd     *exec.Cmd
	exited  chan struct{}
	once    sync.Once
}

// start launches a node and waits until it serves.
func (f *fleet) start(ctx context.Context, name, bootstrap string, env ...string) (*node, error) {
	n, err := f.launch(name, bootstrap, env...)
	if err != nil {
		return nil, err
	}
	return n, n.awaitReady(ctx)
}

// launch starts a node's process and does not wait for it.
func (f *fleet) launch(name, bootstrap string, env ...string) (*node, error) {
	ip := "127.0.0.1"
	if f.spread {
		ip = fmt.Sprintf("127.0.%d.1", len(f.nodes)+1)
	}
	n := &node{
		program: f.program,
		name:    name,
		dir:     filepath.Join(f.base, name),
		logFile: filepath.Join(f.base, name+".log"),
		exited:  make(chan struct{}),
	}
	args := []string{"node", "--data-dir", n.dir, "--listen", net.JoinHostPort(ip, "0")}
	if bootstrap != "" {
		args = append(args, "--bootstrap", bootstrap)
	}
	log, err := os.Create(n.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.cmd = exec.Command(n.program, args...)
	n.cmd.Env = append(clean(os.Environ()), env...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	dieWithParent(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // how it ended is read from its log
	}()
	f.nodes = append(f.nodes, n)
	return n, nil
}

// clean drops settings of this project, which are meant for another node than ours.
func clean(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "TESSERAS_") {
			kept = append(kept, e)
		}
	}
	return kept
}

func (f *fleet) killAll() {
	for _, n := range f.nodes {
		n.kill()
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (n *node) kill() {
	n.once.Do(func() { _ = n.cmd.Process.Kill() })
	<-n.exited
}

func (n *node) awaitReady(ctx context.Context) error {
	return until(ctx, 30*time.Second, n.name+" to start", func() (bool, error) {
		select {
		case <-n.exited:
			return true, fmt.Errorf("%s ended at its start: %s", n.name, n.lastWords())
		default:
		}
		if _, err := os.Stat(filepath.Join(n.dir, "tesd.sock")); err != nil {
			return false, nil
		}
		var id struct{ Node, Addr string }
		if err := n.ask(ctx, &id, "id"); err != nil {
			return false, err
		}
		n.id, n.addr = id.Node, id.Addr
		return n.addr != "", nil
	})
}

func (n *node) lastWords() string {
	log, err := os.ReadFile(n.logFile)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(log[max(0, len(log)-500):]))
}

// ask runs a verb on the node's data directory and reads its JSON.
func (n *node) ask(ctx context.Context, answer any, args ...string) error {
	cmd := exec.CommandContext(ctx, n.program, append([]string{"--data-dir", n.dir, "--json", "--yes"}, args...)...)
	cmd.Env = clean(os.Environ())
	dieWithParent(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	decodeErr := json.Unmarshal(stdout.Bytes(), answer)
	if runErr != nil {
		return &verbError{fmt.Sprintf("%s: tes %s: %s", n.name, args[0], bytes.TrimSpace(stderr.Bytes())), runErr}
	}
	return decodeErr
}

// verbError is a verb that exited with another code than 0; its JSON, if any, was still read.
type verbError struct {
	text string
	err  error
}

func (e *verbError) Error() string { return e.text }
func (e *verbError) Unwrap() error { return e.err }

// isPartly tells whether the verb did what it could: exit code 3.
func isPartly(err error) bool {
	var e *exec.ExitError
	return errors.As(err, &e) && e.ExitCode() == 3
}

// isUnknown tells whether the node has nothing of the tessera: exit code 10.
func isUnknown(err error) bool {
	var e *exec.ExitError
	return errors.As(err, &e) && e.ExitCode() == 10
}

// status is what the demo reads of `tes status ID --json`.
type status struct {
	Fragments struct{ Data int }
	Holders   []struct {
		Node      string
		Fragments []int
	}
}

func (n *node) status(ctx context.Context, id string) (s status, err error) {
	err = n.ask(ctx, &s, "status", id)
	return s, err
}

// of gives the fragments of one holder.
func (s status) of(node string) []int {
	for _, h := range s.Holders {
		if h.Node == node {
			return h.Fragments
		}
	}
	return nil
}

// loopbackIsWide tells whether every address of 127.0.0.0/8 is this computer, as on Linux.
func loopbackIsWide() bool {
	c, err := net.ListenPacket("udp", "127.0.77.1:0")
	if err != nil {
		return false
	}
	return c.Close() == nil
}
