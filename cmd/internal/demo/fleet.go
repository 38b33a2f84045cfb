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
	config  string // file of every node and every verb, so that nothing of the person's own counts
	spread  bool   // every node gets an address in a subnet of its own
	nodes   []*node
}

// node is one process.
type node struct {
	program string
	name    string
	dir     string
	config  string
	logFile string
	id      string
	addr    string
	cmd     *exec.Cmd
	exited  chan struct{}
	once    sync.Once
}

// impatient is how nodes are configured here: a real one looks after itself every 24 h and asks every
// holder for more proofs.
const impatient = `[replication]
replicas = %d
repair_interval = "%s"
repair_jitter = "500ms"
proofs_per_holder = 2
`

// roundsApart is how often nodes look after themselves. In a round everybody asks everybody, and all of
// them share this machine: what a round costs it grows with the square of their number.
func roundsApart(holders int) time.Duration {
	const few, often = 12, 2 * time.Second
	return max(often, often*time.Duration(holders*holders)/(few*few))
}

// wantedReplicas is how many peers a tessera is to be on, where there are so many.
const wantedReplicas = 7

// configure writes the configuration for so many holders.
func (f *fleet) configure(holders int) error {
	return os.WriteFile(f.config, fmt.Appendf(nil, impatient, min(holders, wantedReplicas), roundsApart(holders)), 0o600)
}

// start launches a node and waits until it serves.
func (f *fleet) start(ctx context.Context, name, bootstrap string) (*node, error) {
	n, err := f.launch(name, bootstrap)
	if err != nil {
		return nil, err
	}
	return n, n.awaitReady(ctx)
}

// launch starts a node's process and does not wait for it.
func (f *fleet) launch(name, bootstrap string) (*node, error) {
	ip := "127.0.0.1"
	if f.spread {
		ip = fmt.Sprintf("127.0.%d.1", len(f.nodes)+1)
	}
	n := &node{
		program: f.program,
		name:    name,
		dir:     filepath.Join(f.base, name),
		config:  f.config,
		logFile: filepath.Join(f.base, name+".log"),
		exited:  make(chan struct{}),
	}
	args := []string{"node", "--config", n.config, "--data-dir", n.dir, "--listen", net.JoinHostPort(ip, "0")}
	if bootstrap != "" {
		args = append(args, "--bootstrap", bootstrap)
	}
	log, err := os.Create(n.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.cmd = exec.Command(n.program, args...)
	n.cmd.Env = clean(os.Environ())
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
	cmd := exec.CommandContext(ctx, n.program, append([]string{"--config", n.config, "--data-dir", n.dir, "--json", "--yes"}, args...)...)
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
		return n.failed(args[0], stderr.Bytes(), runErr)
	}
	return decodeErr
}

// failed says what a verb said that exited with another code than 0.
func (n *node) failed(verb string, stderr []byte, err error) error {
	var said struct{ Error, Hint string }
	if json.Unmarshal(stderr, &said) != nil || said.Error == "" {
		said.Error = fmt.Sprintf("tes %s: %s", verb, bytes.TrimSpace(stderr))
	}
	return &verbError{n.name + ": " + said.Error, said.Hint, err}
}

// verbError is a verb that exited with another code than 0; its JSON, if any, was still read.
type verbError struct {
	text, hint string
	err        error
}

// advised is an error with a hint, of the demo itself.
func advised(hint, format string, args ...any) error {
	return &verbError{fmt.Sprintf(format, args...), hint, nil}
}

func (e *verbError) Error() string { return e.text }
func (e *verbError) Unwrap() error { return e.err }

// Hint says what the person can do; it may be "".
func (e *verbError) Hint() string { return e.hint }

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
	Tier      string
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
