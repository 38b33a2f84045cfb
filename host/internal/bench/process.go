package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// child is a process of this same program. It ends when its standard input does, so also when the
// bench is killed.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Reader
	log    string
	exited chan struct{}
}

// spawn starts a child.
func (l *lab) spawn(name string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: name, log: l.path(name + ".log"), exited: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(self, args...)
	c.cmd.Env = own(os.Environ())
	c.cmd.Stderr = log
	dieWithParent(c.cmd)
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.stdout, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // how it ended is read from its log
	}()
	l.children = append(l.children, c)
	return c, nil
}

// own drops settings of this project, which are meant for another node.
func own(env []string) (kept []string) {
	for _, e := range env {
		if !strings.HasPrefix(e, "TESSERAS_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// stopAll ends children, all at once, and waits until they are gone.
func stopAll(children []*child) {
	for _, c := range children {
		_ = c.stdin.Close() // the word to stop
	}
	patience := time.After(15 * time.Second)
	for _, c := range children {
		select {
		case <-c.exited:
		case <-patience:
			patience = time.After(0)
			_ = c.cmd.Process.Kill()
			<-c.exited
		}
	}
}

// stop ends one child and forgets it.
func (l *lab) stop(c *child) {
	stopAll([]*child{c})
	for i, other := range l.children {
		if other == c {
			l.children = append(l.children[:i], l.children[i+1:]...)
			return
		}
	}
}

// lastWords is the end of a child's log.
func (c *child) lastWords() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-500):]))
}

// await polls until done says so or the child ends.
func (c *child) await(ctx context.Context, what string, done func() (bool, error)) error {
	const limit = 60 * time.Second
	deadline := time.Now().Add(limit)
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: waited %s for %s: %w: %s", c.name, limit, what, err, c.lastWords())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.exited:
			return fmt.Errorf("%s ended: %s", c.name, c.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// untilOrphaned gives a context that ends when the parent closes standard input or dies.
func untilOrphaned(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // any end of it will do
	}()
	return ctx
}
