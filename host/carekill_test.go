package host_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
)

// careDir names the data directory that this binary looks after until it is killed, and runs no tests.
const careDir = "CARE_OF_A_TEST"

// careKills is how often TestKilledWhileItLooksAfterItself kills.
var careKills = suite.KillCare

// careConfig is that of both, the process that is killed and the one that looks.
func careConfig() *config.Config {
	cfg := config.Default()
	cfg.Network.PowBits, cfg.Storage.MinFree = powBits, 0
	return &cfg
}

// beCareful opens a data directory, sweeps and scrubs it, and closes it, over and over.
func beCareful(dir string) int {
	fmt.Println("ready")
	for {
		if err := careOnce(dir); err != nil {
			fmt.Println(err)
			return 1
		}
	}
}

func careOnce(dir string) error {
	b, done, err := host.OpenLocal(context.Background(), careConfig(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := b.GC(context.Background(), localapi.GCOptions{Grace: 0}); err != nil {
			return err
		}
		if _, err := b.Scrub(context.Background(), noProgress); err != nil {
			return err
		}
	}
	return done.Close()
}

// TestKilledWhileItLooksAfterItself kills a process while it rebuilds an index, sweeps orphans and
// scrubs. Whatever the moment: what is needed is there, the index says what is on the disk, and the next
// process ends the work.
func TestKilledWhileItLooksAfterItself(t *testing.T) {
	t.Parallel()
	const objects = 500
	dir, kills := t.TempDir(), 0
	fillDisk(t, dir, objects)
	rng := rand.New(rand.NewPCG(suite.Seed(t), 0))
	for i := range careKills.Cases() {
		if i%2 == 0 { // the next process begins with a rebuild
			if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
				t.Fatal(err)
			}
		}
		strew(t, dir, i)
		killCaring(t, dir, time.Duration(rng.IntN(150))*time.Millisecond)
		b, done, err := host.OpenLocal(t.Context(), careConfig(), dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
		swept, err := b.GC(t.Context(), localapi.GCOptions{Grace: 0})
		if err != nil || swept.Missing != 0 || swept.LeakedRefsRemoved != 0 {
			t.Errorf("after kill %d: swept %+v, %v", i, swept, err)
		}
		all, err := b.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Health != localapi.HealthLocal {
			t.Errorf("after kill %d: %+v, %v", i, all, err)
		}
		if err := done.Close(); err != nil {
			t.Fatal(err)
		}
		checkDisk(t, dir, objects)
		if t.Failed() {
			t.Fatalf("kill %d", i)
		}
		kills++
	}
	careKills.Executed(t, kills, "kills of a node that looks after itself")
}

// strew adds orphans.
func strew(t *testing.T, dir string, round int) {
	t.Helper()
	for i := range 20 {
		content := binary.BigEndian.AppendUint64([]byte("orphan"), uint64(100*round+i))
		if err := os.WriteFile(filepath.Join(dir, cas.Path(digest.Of(content))), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// killCaring starts a process that looks after a data directory and kills it.
func killCaring(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), careDir+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() != "ready" {
			t.Errorf("the process says %s", lines.Text())
			continue
		}
		timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		defer timer.Stop()
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != -1 {
		t.Fatalf("the process ended by itself: %v", err)
	}
}

// checkDisk compares the objects on the disk with what the index says, and with how many there must be.
func checkDisk(t *testing.T, dir string, objects int) {
	t.Helper()
	err := host.Offline(t.Context(), careConfig(), dir, slog.New(slog.DiscardHandler), func(tx *catalog.Tx) error {
		totals, err := tx.Totals()
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "objects", "??", "*.blob"))
		if len(files) != objects || totals.Objects != int64(objects) || totals.Bytes != int64(8*objects) {
			t.Errorf("%d files, %+v in the index, want %d", len(files), totals, objects)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
