package sweep

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/vfs"
)

const (
	envChild = "TESSERAS_TEST_SWEEP_CHILD"
	envDie   = "TESSERAS_TEST_SWEEP_DIE" // before which change of the disk, counted from the first; 0 is never
	contents = 12
)

// killSize is how many processes TestKill kills.
var killSize = suite.KillSweep

// TestMain is also the child that puts, releases and sweeps until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	suite.CollectLess()
	os.Exit(m.Run())
}

// TestKill kills processes that put, release and sweep, before a change of the disk or at any moment.
// What they acknowledged is there and intact when the next one opens, and a sweep leaves nothing else.
func TestKill(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	dir, needs := t.TempDir(), map[string]bool{}
	kills := 0
	for ; kills < killSize.Cases() && !t.Failed(); kills++ {
		point, after := 1+rnd.IntN(60), time.Duration(0)
		if rnd.IntN(2) == 0 {
			point, after = 0, time.Duration(rnd.IntN(40))*time.Millisecond
		}
		delete(needs, runChild(t, dir, point, after, needs)) // whoever opens next finds out
		if kills%3 == 0 {
			lookAfter(t, dir, needs)
		}
	}
	killSize.Executed(t, kills, "processes killed while they put, released and swept")
}

// runChild runs a child to its death. It takes down what was acknowledged, and gives the content of the
// operation that was under way.
func runChild(t *testing.T, dir string, point int, after time.Duration, needs map[string]bool) (unsure string) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), envChild+"="+dir, envDie+"="+strconv.Itoa(point))
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		verb, content, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "ready":
			if point == 0 {
				timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
				defer timer.Stop()
			}
		case "begin":
			unsure = content
		case "needed":
			needs[content], unsure = true, ""
		case "released":
			needs[content], unsure = false, ""
		case "intact": // what the child before had under way
			needs[content] = true
		default:
			t.Errorf("child: %s", lines.Text())
		}
	}
	err = c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended otherwise: %v", err)
	}
	return unsure
}

// lookAfter opens what a child left.
func lookAfter(t *testing.T, dir string, needs map[string]bool) {
	t.Helper()
	rows, err := catalog.Open(filepath.Join(dir, "index"), catalog.Options{Ballast: -1})
	must(t, err)
	defer rows.Close()
	disk, err := vfs.OpenDir(dir)
	must(t, err)
	defer disk.Close()
	sure := false
	s, err := openAt(disk, rows, &sure, NewSystemClock())
	must(t, err)
	for i := range contents {
		content := childContent(i)
		there, err := s.has(content)
		needed, known := needs[content]
		if !known { // it was under way when a process died
			needs[content] = there
		} else if needed && (err != nil || !there) {
			t.Errorf("%q was acknowledged: there %v, %v", content, there, err)
		}
	}
	if _, err := s.Run(t.Context(), Options{Grace: 0}); err != nil {
		t.Error(err)
	}
	for content, needed := range needs {
		if there, err := s.has(content); needed && (err != nil || !there) {
			t.Errorf("%q is gone after a sweep: %v", content, err)
		}
	}
	nothingElse(t, s, needs)
}

// nothingElse tells of files and rows that are left after a sweep and needed by nobody.
func nothingElse(t *testing.T, s *Service, needs map[string]bool) {
	t.Helper()
	wanted := map[digest.Hash]bool{}
	for content, needed := range needs {
		if needed {
			wanted[digest.Of([]byte(content))] = true
		}
	}
	must(t, s.Objects.Walk(t.Context(), func(f cas.Found) error {
		if f.Stray() || !wanted[f.Hash] {
			t.Errorf("%s is left after a sweep", f.Path)
		}
		return nil
	}))
	must(t, s.Catalog.View(func(tx *catalog.Tx) error {
		for o, err := range tx.States(digest.Hash{}) {
			must(t, err)
			if !o.Needed || !wanted[o.Hash] {
				t.Errorf("the row of %s is left after a sweep", o.Hash.Short())
			}
		}
		return nil
	}))
}

// has tells whether a content is needed, and reads it then.
func (s *Service) has(content string) (bool, error) {
	h := digest.Of([]byte(content))
	needed, err := s.Catalog.Needed(h)
	if err != nil || !needed {
		return false, err
	}
	r, err := s.Objects.Open(h, int64(len(content)))
	if err != nil {
		return true, err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return true, err
}

// child works until it dies.
func child(dir string) error {
	die, err := strconv.ParseInt(os.Getenv(envDie), 10, 64)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	rows, err := catalog.Open(filepath.Join(dir, "index"), catalog.Options{Ballast: -1})
	if err != nil {
		return err
	}
	disk, err := vfs.OpenDir(dir)
	if err != nil {
		return err
	}
	sure := false
	p := &power{rows: rows, needs: map[string]bool{}}
	if p.Service, err = openAt(&deadly{FS: disk, die: die}, rows, &sure, NewSystemClock()); err != nil {
		return err
	}
	for i := range contents {
		there, err := p.has(childContent(i))
		if err != nil {
			return fmt.Errorf("%q: %w", childContent(i), err)
		}
		if there {
			fmt.Println("intact", childContent(i))
		}
	}
	for {
		if err := p.childStep(); err != nil {
			return err
		}
	}
}

func childContent(i int) string { return fmt.Sprint("content-", i) + strings.Repeat(".", 700*i) }

func (p *power) childStep() error {
	content := childContent(rand.IntN(contents))
	switch rand.IntN(5) {
	case 0, 1:
		fmt.Println("begin", content)
		if err := p.put(content, true); err != nil {
			return err
		}
		fmt.Println("needed", content)
	case 2:
		fmt.Println("begin", content)
		if err := p.release(content); err != nil {
			return err
		}
		fmt.Println("released", content)
	case 3:
		if there, err := p.has(content); there || err != nil {
			return err
		}
		return p.put(content, false)
	case 4:
		_, err := p.Run(context.Background(), Options{Grace: 0})
		return err
	}
	return nil
}

// deadly is a disk before one of whose changes the process dies.
type deadly struct {
	vfs.FS
	changes atomic.Int64
	die     int64
}

func (d *deadly) step() {
	if d.changes.Add(1) == d.die {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d *deadly) Create(name string) (vfs.File, error) {
	d.step()
	return d.FS.Create(name)
}

func (d *deadly) Rename(from, to string) error {
	d.step()
	return d.FS.Rename(from, to)
}

func (d *deadly) Remove(name string) error {
	d.step()
	return d.FS.Remove(name)
}

func (d *deadly) SyncDir(name string) error {
	d.step()
	return d.FS.SyncDir(name)
}
