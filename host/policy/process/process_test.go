package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
)

const (
	// grace is what a call may take beyond its deadline.
	grace = 100 * time.Millisecond
	// ample is the deadline of what ends by itself, on however busy a machine.
	ample = time.Minute
)

// load runs a guest in a folder with a short name.
func load(t testing.TB, path string, change func(*Config)) (*Policy, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	config := Config{Name: "guest", Dir: dir, Limits: Limits{Start: ample, Call: ample, Backoff: 10 * time.Millisecond}}
	if change != nil {
		change(&config)
	}
	p, err := Load(t.Context(), path, config)
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func mustLoad(t testing.TB, kind string) *Policy {
	t.Helper()
	p, err := load(t, programOf(t, kind), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProgramsThatAreNotLoaded is the first half of the museum.
func TestProgramsThatAreNotLoaded(t *testing.T) {
	soon := func(c *Config) { c.Limits.Start = 300 * time.Millisecond }
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		path   string
		change func(*Config)
		want   error
		text   string
	}{
		{"missing file", "/nowhere/law", nil, os.ErrNotExist, "/nowhere/law"},
		{"folder", t.TempDir(), nil, ErrProgram, "no file"},
		{"not executable", plain, nil, ErrProgram, "may not be executed"},
		{"wrong digest", programOf(t, "honest"), func(c *Config) { c.SHA256 = strings.Repeat("0", 64) }, ErrDigest, "its sha256 is"},
		{"too large", programOf(t, "honest"), func(c *Config) { c.Limits.Program = 5 }, ErrProgram, "more than 5 bytes"},
		{"exits at start", programOf(t, "exits at start"), nil, ErrProgram, "exit status 7"},
		{"says nothing", programOf(t, "says nothing"), soon, ErrProgram, "timeout"},
		{"says garbage", programOf(t, "says garbage"), nil, ErrProgram, "Unrecognized"},
		{"listens elsewhere", programOf(t, "listens elsewhere"), nil, ErrProgram, "not in its folder"},
		{"no handshake beyond the line", programOf(t, "no handshake beyond the line"), soon, ErrProgram, ""},
		{"hangs in describe", programOf(t, "hangs in describe"), func(c *Config) { c.Limits.Start = 3 * time.Second }, ErrProgram, "describe"},
		{"describes nothing", programOf(t, "describes nothing"), nil, vet.ErrDescription, ""},
		{"refuses its settings", programOf(t, "refuses its settings"), nil, vet.ErrSettings, "speed: not today"},
		{"unknown setting", programOf(t, "mean"), func(c *Config) { c.Settings = map[string]any{"sped": 1} }, vet.ErrSettings, "sped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.path, tt.change)
			if err == nil {
				t.Fatal("it was loaded")
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

// TestProgramsThatFail is the second half: they harm when they are asked. The call ends in time, and
// soon the same policy answers again.
func TestProgramsThatFail(t *testing.T) {
	tests := []struct {
		kind    string
		want    error // nil: it depends on which limit is reached first
		text    string
		survive bool // the process may go on
	}{
		{"hangs", context.DeadlineExceeded, "", false},
		{"hangs and ignores signals", context.DeadlineExceeded, "", false},
		{"stops itself", context.DeadlineExceeded, "", false},
		{"replies late", context.DeadlineExceeded, "", false},
		{"exits", ErrProgram, "gone", false},
		{"panics", ErrProgram, "gone", false},
		{"floods its log", nil, "", false},
		{"floods without a line", nil, "", false},
		{"answers too much", ErrProgram, "more than", true},
		{"answers nothing", ErrProgram, "empty", true},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			deadline := 200 * time.Millisecond
			if errors.Is(tt.want, ErrProgram) {
				deadline = ample // it ends by itself
			}
			p := mustLoad(t, tt.kind)
			late := time.Hour
			for try := 0; try < 20 && late > grace; try++ { // the machine may have other things to do
				pid, restarts := p.Status().PID, p.Status().Restarts
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				start := time.Now()
				_, err := p.Ask(ctx, sdk.RolePlacement, nil)
				late = min(late, time.Since(start)-deadline)
				cancel()
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%v, want %v with %q", err, tt.want, tt.text)
				}
				answersAgain(t, p)
				if s := p.Status(); (s.PID == pid) != tt.survive || (s.Restarts > restarts) == tt.survive {
					t.Errorf("before process %d, now %+v", pid, s)
				}
			}
			if late > grace {
				t.Errorf("the calls ended %v after their deadline", late)
			}
		})
	}
}

// answersAgain waits for a program that is being started again.
func answersAgain(t *testing.T, p *Policy) {
	t.Helper()
	var err error
	for start := time.Now(); time.Since(start) < ample; time.Sleep(10 * time.Millisecond) {
		if _, err = p.Ask(t.Context(), sdk.RoleRepair, nil); err == nil {
			return
		}
	}
	t.Errorf("it does not answer again: %v", err)
}

// TestSwappedCopy changes the program behind the host's back, and kills it so that it would be started
// again.
func TestSwappedCopy(t *testing.T) {
	p := mustLoad(t, "honest")
	if err := os.Remove(p.room.program()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.room.program(), []byte("#!/bin/sh\nsleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.current.kill()
	var err error
	for start := time.Now(); !errors.Is(err, ErrDigest) && time.Since(start) < ample; time.Sleep(time.Millisecond) {
		_, err = p.Ask(t.Context(), sdk.RolePlacement, nil)
	}
	if !errors.Is(err, ErrDown) || !errors.Is(err, ErrDigest) {
		t.Errorf("%v", err)
	}
	if s := p.Status(); s.PID != 0 || !errors.Is(s.Failure, ErrDigest) {
		t.Errorf("%+v", s)
	}
}

// TestChangedProgram: the operator's file may change; what was loaded goes on until it is loaded anew.
func TestChangedProgram(t *testing.T) {
	path := programOf(t, "honest")
	p, err := load(t, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.current.kill()
	answersAgain(t, p)
}

// TestGrandchildrenEndToo: what the program started goes with it.
func TestGrandchildrenEndToo(t *testing.T) {
	p := mustLoad(t, "leaves a child")
	b, err := p.Ask(t.Context(), sdk.RolePlacement, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r sdk.PlaceResponse
	if err := r.UnmarshalVT(b); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(r.Reason)
	if err != nil || !alive(pid) {
		t.Fatalf("%q: %v", r.Reason, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	goes(t, pid)
}

func goes(t *testing.T, pid int) {
	t.Helper()
	for start := time.Now(); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > ample {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// TestNoOrphans kills a host so that it can do nothing about it: the program ends, and the next host
// clears its room.
func TestNoOrphans(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tp-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := programOf(t, "honest")
	host := exec.Command(self)
	host.Env = append(os.Environ(), hostVariable+"="+path, "TESSERAS_TEST_DIR="+dir)
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(pid) {
		t.Fatalf("%q: %v", line, err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // killed
	goes(t, pid)
	left := func() int {
		rooms, err := filepath.Glob(filepath.Join(dir, roomPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(rooms)
	}
	if left() != 1 {
		t.Errorf("%d rooms left", left())
	}
	p, err := Load(t.Context(), path, Config{Name: "next", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if left() != 1 {
		t.Errorf("%d rooms, one is in use", left())
	}
	if err := p.Close(); err != nil || left() != 0 {
		t.Errorf("%d rooms, %v", left(), err)
	}
}

func TestLogOfAProgram(t *testing.T) {
	var log lockedBuffer
	p, err := load(t, programOf(t, "talks"), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(t.Context(), sdk.RolePlacement, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{`level=INFO msg=placing policy=guest runtime=process`, `level=ERROR msg="something ?[31m red"`}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		text := log.String()
		if strings.Contains(text, want[0]) && strings.Contains(text, want[1]) {
			return
		}
		if time.Since(start) > ample {
			t.Fatalf("the log has\n%s", text)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestQuestionsAtOnce(t *testing.T) {
	p := mustLoad(t, "honest")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if b, err := p.Ask(t.Context(), sdk.RoleReciprocity, []byte{0xff}); err != nil || len(b) == 0 {
				t.Errorf("%x, %v", b, err)
			}
		})
	}
	wg.Wait()
	if _, err := p.Ask(t.Context(), "cooking", nil); !errors.Is(err, sdk.ErrRole) {
		t.Errorf("another role: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(t.Context(), sdk.RolePlacement, nil); !errors.Is(err, ErrDown) {
		t.Errorf("after Close: %v", err)
	}
	if p.Name() != "guest" || p.Runtime() != "process" || len(p.Digest()) != 64 || p.Description().Name != "spread+fair-share+thinnest-first" {
		t.Errorf("%s, %s, %s, %v", p.Name(), p.Runtime(), p.Digest(), p.Description())
	}
}
