package host_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
)

// Bounds of a data directory with a million small objects. Time depends on the machine, so its bounds
// are far off.
const (
	manyMemory = 200 << 20 // bytes on top of the configured caches
	manyTime   = 20 * time.Minute
	manyReopen = 20 * time.Second
)

// manyObjects is the size of TestManySmallObjects.
var manyObjects = suite.ManyObjects

// TestManySmallObjects rebuilds the index of a data directory with very many small objects, opens it
// again, and sweeps and scrubs it, in bounded memory.
func TestManySmallObjects(t *testing.T) {
	dir, n := t.TempDir(), manyObjects.Cases()
	cfg := config.Default()
	cfg.Network.PowBits, cfg.Storage.MinFree = powBits, 0
	fillDisk(t, dir, n)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))

	peak := watchMemory(t)
	open := func() (localapi.Backend, func()) {
		b, done, err := host.OpenLocal(t.Context(), &cfg, dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return b, func() {
			if err := done.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	begun := time.Now()
	_, done := open()
	rebuilt := time.Since(begun)
	done()
	begun = time.Now()
	b, done := open()
	reopened := time.Since(begun)

	begun = time.Now()
	swept, err := b.GC(t.Context(), localapi.GCOptions{Grace: 0})
	if err != nil || swept.OrphansRemoved != 1 || swept.Missing != 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	sweep := time.Since(begun)
	begun = time.Now()
	scrubbed, err := b.Scrub(t.Context(), noProgress)
	if err != nil || scrubbed.Objects != n || scrubbed.Corrupt != 0 {
		t.Errorf("scrubbed %+v, %v", scrubbed, err)
	}
	scrub := time.Since(begun)
	done()
	used := peak()
	t.Logf("%d objects: rebuild %s, reopen %s, sweep %s, scrub %s, peak %d MiB", n, rebuilt, reopened, sweep, scrub, used>>20)
	if bound := int64(manyMemory) + int64(cfg.Performance.IndexCache); used > bound {
		t.Errorf("it took %d MiB, more than %d", used>>20, bound>>20)
	}
	if rebuilt+sweep > manyTime || reopened > manyReopen {
		t.Errorf("rebuild and sweep took %s, opening again %s", rebuilt+sweep, reopened)
	}
}

// fillDisk writes objects and the manifests that need them as a node would have, and one orphan.
func fillDisk(t *testing.T, dir string, n int) {
	t.Helper()
	who, err := identity.LoadOrCreate(filepath.Join(dir, "identity"), powBits)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := vfs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	for first := range 256 {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, cas.Path(digest.Hash{byte(first)}))), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	shelf, err := sidecar.Open(fsys, sidecar.Tesseras)
	if err != nil {
		t.Fatal(err)
	}
	var list tessera.FileList
	for i := range n + 1 {
		content := binary.BigEndian.AppendUint64(nil, uint64(i))
		h := digest.Of(content)
		if err := os.WriteFile(filepath.Join(dir, cas.Path(h)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == n {
			break // the orphan
		}
		list = append(list, tessera.Entry{Path: fmt.Sprintf("f%08d", i), Hash: h, Size: int64(len(content)), ModTime: time.Unix(1, 0)})
		if len(list) == tessera.MaxFiles || i == n-1 {
			m, err := tessera.Seal(list, fmt.Sprint("tessera ", i), time.Unix(2, 0), who.Owner)
			if err != nil {
				t.Fatal(err)
			}
			if err := shelf.Write(m.ID(), sidecar.Manifest, m.Bytes()); err != nil {
				t.Fatal(err)
			}
			list = list[:0]
		}
	}
}

// watchMemory samples the memory of this process that no file backs, until the result is called.
func watchMemory(t *testing.T) (peak func() int64) {
	t.Helper()
	base := anonymous()
	ctx, stop := context.WithCancel(t.Context())
	var most int64
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			most = max(most, anonymous())
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() int64 {
		stop()
		watching.Wait()
		return most - base
	}
}

// anonymous is RssAnon in bytes, 0 where the system does not tell.
func anonymous() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
