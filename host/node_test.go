package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// village is a network of whole nodes in this process, on loopback, each in a subnet of its own.
type village struct {
	t     *testing.T
	nodes []*member
}

// member is a node that runs.
type member struct {
	*host.Node
	dir  string
	stop func()
}

func (v *village) add(tune func(*config.Config)) *member {
	v.t.Helper()
	return v.addAt(v.t.TempDir(), tune)
}

func (v *village) addAt(dir string, tune func(*config.Config)) *member {
	v.t.Helper()
	cfg := config.Default()
	cfg.Network.Listen = fmt.Sprintf("127.0.%d.1:0", len(v.nodes)+1)
	cfg.Network.PowBits = 4
	cfg.Storage.MinFree = 0
	cfg.Replication.RepairInterval, cfg.Replication.RepairJitter = config.Duration(time.Hour), 0
	if len(v.nodes) > 0 {
		cfg.Network.Bootstrap = []string{v.nodes[0].Addr().String()}
	}
	if tune != nil {
		tune(&cfg)
	}
	n, err := host.Open(v.t.Context(), &cfg, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	m := &member{Node: n, dir: dir}
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, n.Close()); err != nil {
			v.t.Errorf("stop %s: %v", dir, err)
		}
	}
	v.t.Cleanup(m.stop)
	v.nodes = append(v.nodes, m)
	return m
}

// holders starts n nodes that hold for others and waits until each knows all.
func (v *village) holders(n int) {
	v.t.Helper()
	for range n {
		v.add(nil)
	}
}

func (v *village) meet(m *member, peers int) {
	v.t.Helper()
	v.eventually("a node to meet its peers", func() bool {
		known, err := m.Peers(v.t.Context())
		return err == nil && len(known) >= peers
	})
}

func (v *village) eventually(what string, done func() bool) {
	v.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatalf("waited too long for %s", what)
		}
	}
}

func noProgress(localapi.Progress) {}

// folder writes files of random bytes and returns where they are.
func folder(t *testing.T, sizes map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.NewChaCha8([32]byte{1})
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		content := make([]byte, sizes[name])
		_, _ = rng.Read(content)
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// create gives a folder to a node as the command line does.
func create(t *testing.T, n localapi.Backend, dir string) localapi.Created {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err := tessera.Scan(t.Context(), root, tessera.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(tessera.WriteFolder(t.Context(), w, root, "a title", found.Entries)) }()
	made, err := n.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// fetch restores a tessera from the network and compares it with the original folder.
func fetch(t *testing.T, n localapi.Backend, id sdk.TesseraID, original string) localapi.Packed {
	t.Helper()
	packed, err := n.Fetch(t.Context(), id, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(t.TempDir(), "restored")
	r, w := io.Pipe()
	go func() { w.CloseWithError(packed.Write(w)) }()
	if _, err := tessera.UnpackTo(t.Context(), r, dest, tessera.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	same(t, original, dest)
	return packed
}

func same(t *testing.T, want, got string) {
	t.Helper()
	err := filepath.WalkDir(want, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, errA := os.ReadFile(path)
		b, errB := os.ReadFile(filepath.Join(got, rel))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return fmt.Errorf("%s differs: %w", rel, errors.Join(errA, errB))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFolderSurvivesItsOwnerAndAThirdOfItsPeers(t *testing.T) {
	v := &village{t: t}
	v.holders(12)
	owner := v.add(nil)
	v.meet(owner, 12)

	original := folder(t, map[string]int{"photo.jpg": 3 << 20, "sound/song.wav": 2 << 20, "words.txt": 1000, "empty": 0})
	made := create(t, owner, original)
	published, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{Wait: true, Timeout: 30 * time.Second}, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	if published.Tier != "medium" || published.Fragments != 24 || published.Placed != 24 || published.Peers != 12 || published.SurvivesPeers != 4 {
		t.Errorf("published %+v", published)
	}

	for _, m := range v.nodes[1:5] {
		m.stop()
	}
	report, err := owner.RepairRun(t.Context(), made.ID, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	if report.Checked != 1 || report.RebuiltFragments != 8 || report.Failed != 0 {
		t.Errorf("repair %+v, want the eight fragments of four dead holders rebuilt", report)
	}
	status, err := owner.Status(t.Context(), made.ID)
	if err != nil || status.Health != "healthy" || status.Deficit != 0 {
		t.Errorf("status %+v, %v", status, err)
	}

	owner.stop()
	if err := os.RemoveAll(owner.dir); err != nil {
		t.Fatal(err)
	}
	heir := v.add(nil)
	v.meet(heir, 8)
	packed := fetch(t, heir, made.ID, original)
	if len(packed.Sources) == 0 {
		t.Error("nobody is named who served")
	}
}
