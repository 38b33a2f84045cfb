package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/vfs"
)

const (
	envChild = "TESSERAS_TEST_LEGACY_CHILD"
	envDie   = "TESSERAS_TEST_LEGACY_DIE" // at which point, counted from the first; 0 is never
)

// killSize is how many processes TestKill kills while they bring over an old tree.
var killSize = suite.KillLegacy

// TestKill kills processes that bring over an old tree, at the points named in the code and at any
// moment, each going on from what the one before left, and finds everything over at the end.
func TestKill(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	kills := 0
	for kills < killSize.Cases() {
		dir, tree := t.TempDir(), newOldTree(rnd, 12, 60)
		disk, err := vfs.OpenDir(dir)
		must(t, err)
		for name, content := range tree {
			must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		ended := false
		for !ended && kills < killSize.Cases() {
			point, after := 1+rnd.IntN(40), time.Duration(0)
			if rnd.IntN(2) == 0 {
				point, after = 0, time.Duration(rnd.IntN(100))*time.Millisecond
			}
			if ended = runChild(t, dir, point, after); !ended {
				kills++
			}
		}
		rows, err := catalog.Open(filepath.Join(dir, "index"), catalog.Options{Ballast: -1})
		must(t, err)
		r, err := migrate(disk, rows, Config{})
		must(t, err)
		if want := tree.report(); !ended && r != want {
			t.Errorf("report %+v, want %+v", r, want)
		}
		must(t, tree.over(disk, rows))
		must(t, errors.Join(rows.Close(), disk.Close()))
	}
	killSize.Executed(t, kills, "processes killed while they brought over an old tree")
}

// runChild runs a child until it dies, and tells whether it ended before that.
func runChild(t *testing.T, dir string, point int, after time.Duration) (ended bool) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.Command(exe)
	var out bytes.Buffer
	c.Stdout = &out
	c.Env = append(os.Environ(), envChild+"="+dir, envDie+"="+strconv.Itoa(point))
	must(t, c.Start())
	if point == 0 {
		timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		defer timer.Stop()
	}
	err = c.Wait()
	if err == nil {
		return true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended otherwise: %v %s", err, out.String())
	}
	return false
}

// child brings over what is in a data directory until it dies.
func child(dir string) error {
	die, err := strconv.ParseInt(os.Getenv(envDie), 10, 64)
	if err != nil {
		return err
	}
	rows, err := catalog.Open(filepath.Join(dir, "index"), catalog.Options{Ballast: -1})
	if err != nil {
		return err
	}
	disk, err := vfs.OpenDir(dir)
	if err != nil {
		return err
	}
	var points atomic.Int64
	r, err := migrate(disk, rows, Config{Reached: func(string) {
		if points.Add(1) == die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	fmt.Println(r)
	return errors.Join(err, rows.Close())
}
