package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// village is a network of whole nodes in this process, on loopback, each in a subnet of its own.
type village struct {
	t     *testing.T
	nodes []*member
	seats int // addresses given out

	ownPolicies bool // every node loads the default policies for itself, unless options say otherwise

	options []host.Option                               // of every node that is added
	bind    func(listen string) (net.PacketConn, error) // where nodes are in memory, opens their sockets
}

// member is a node that runs.
type member struct {
	*host.Node
	v       *village
	dir     string
	stop    func()
	stopped bool
}

// powBits is the proof of work in the village: enough to be checked, cheap to make.
const powBits = 4

// newVillage starts n nodes that hold for others and an owner that knows them all.
func newVillage(t *testing.T, n int, tune ...func(*config.Config)) (*village, *member) {
	t.Helper()
	v := &village{t: t}
	return v, v.settled(n, tune...)
}

// settled starts n nodes that hold for others, and an owner that knows them all.
func (v *village) settled(n int, tune ...func(*config.Config)) (owner *member) {
	v.t.Helper()
	for range n {
		v.add()
	}
	owner = v.add(tune...)
	v.meet(owner, n)
	return owner
}

func (v *village) add(tune ...func(*config.Config)) *member {
	v.t.Helper()
	return v.addAt(v.t.TempDir(), tune...)
}

// seat is an address in a subnet of its own.
func (v *village) seat() string {
	v.seats++
	if v.bind != nil { // nobody gives out ports there
		return fmt.Sprintf("11.2.%d.1:4433", v.seats)
	}
	return fmt.Sprintf("127.0.%d.1:0", v.seats)
}

func (v *village) config(tune ...func(*config.Config)) *config.Config {
	cfg := config.Default()
	cfg.Network.Listen = v.seat()
	cfg.Network.PowBits = powBits
	cfg.Storage.MinFree = 0
	cfg.Storage.LockWait = 0
	cfg.Replication.RepairInterval, cfg.Replication.RepairJitter = config.Duration(time.Hour), 0
	for _, m := range slices.Backward(v.nodes) {
		if !m.stopped {
			cfg.Network.Bootstrap = []string{m.Addr().String()}
		}
	}
	for _, f := range tune {
		f(&cfg)
	}
	return &cfg
}

// log shows what nodes have to say when a test fails.
func (v *village) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(v.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// addAt starts a node on a data directory.
func (v *village) addAt(dir string, tune ...func(*config.Config)) *member {
	v.t.Helper()
	return v.addThrough(func(fs vfs.FS) vfs.FS { return fs }, dir, tune...)
}

// addThrough is addAt for a node whose disk is seen through a seam.
func (v *village) addThrough(seam func(vfs.FS) vfs.FS, dir string, tune ...func(*config.Config)) *member {
	v.t.Helper()
	n, err := host.OpenThrough(v.t.Context(), v.config(tune...), dir, v.log(), seam, append(v.policies(), v.options...)...)
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	m := &member{Node: n, v: v, dir: dir}
	m.stop = func() {
		if m.stopped {
			return
		}
		m.stopped = true
		cancel()
		if err := errors.Join(<-done, n.Close()); err != nil {
			v.t.Errorf("stop %s: %v", dir, err)
		}
	}
	v.t.Cleanup(m.stop)
	v.nodes = append(v.nodes, m)
	return m
}

// shared are the default policies of most villages, loaded once for all of them; TestMain closes them.
type shared struct {
	once     sync.Once
	defaults *host.Defaults
	err      error
}

var common shared

// policies has a node share the default policies, unless the test is about them, and wait for any policy as
// long as a busy machine needs.
func (v *village) policies() []host.Option {
	v.t.Helper()
	unhurried := host.WithDeadlines(policy.Deadlines{Place: time.Minute, Admit: time.Minute, Repair: time.Minute})
	if v.ownPolicies {
		return []host.Option{unhurried}
	}
	common.once.Do(func() {
		common.defaults, common.err = host.LoadDefaults(context.Background(), slog.New(slog.DiscardHandler))
	})
	if common.err != nil {
		v.t.Fatal(common.err)
	}
	return []host.Option{unhurried, host.WithDefaults(common.defaults)}
}

func (s *shared) close() {
	if s.defaults != nil {
		_ = s.defaults.Close()
	}
}

// restart stops a node and starts it again on its data directory, at another address.
func (m *member) restart(tune ...func(*config.Config)) *member {
	m.v.t.Helper()
	m.stop()
	return m.v.addAt(m.dir, tune...)
}

func (m *member) id() sdk.NodeID {
	m.v.t.Helper()
	who, err := m.Identity(m.v.t.Context())
	if err != nil {
		m.v.t.Fatal(err)
	}
	return who.Node
}

// publish waits until a tessera is at its target.
func (m *member) publish(id sdk.TesseraID) localapi.Published {
	m.v.t.Helper()
	p, err := m.Publish(m.v.t.Context(), id, localapi.PublishOptions{Wait: true, Timeout: time.Minute}, noProgress)
	if err != nil {
		m.v.t.Fatal(err)
	}
	return p
}

func (m *member) repair(id sdk.TesseraID) localapi.RepairReport {
	m.v.t.Helper()
	report, err := m.RepairRun(m.v.t.Context(), id, noProgress)
	if err != nil {
		m.v.t.Fatal(err)
	}
	return report
}

func (m *member) status(id sdk.TesseraID) localapi.Status {
	m.v.t.Helper()
	s, err := m.Status(m.v.t.Context(), id)
	if err != nil {
		m.v.t.Fatal(err)
	}
	return s
}

// held lists the fragments a node keeps of a tessera.
func (m *member) held(id sdk.TesseraID) (refs []catalog.FragmentRef) {
	m.v.t.Helper()
	err := m.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(id) {
			if err != nil {
				return err
			}
			refs = append(refs, f)
		}
		return nil
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
	return refs
}

// holdersOf lists the running nodes that keep fragments of a tessera.
func (v *village) holdersOf(id sdk.TesseraID) (out []*member) {
	v.t.Helper()
	for _, m := range v.nodes {
		if !m.stopped && len(m.held(id)) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// bootstrapAt lets a node begin with another than the first one.
func bootstrapAt(m *member) func(*config.Config) {
	return func(c *config.Config) { c.Network.Bootstrap = []string{m.Addr().String()} }
}

// plan is where a node keeps the plan of a tessera.
func (m *member) plan(id sdk.TesseraID) string { return m.document(id, ".plan") }

func (m *member) document(id sdk.TesseraID, ext string) string {
	return filepath.Join(m.dir, "plans", id.String()[:2], id.String()+ext)
}

func (v *village) meet(m *member, peers int) {
	v.t.Helper()
	v.eventually("a node to meet its peers", func() bool {
		known, err := m.Peers(v.t.Context())
		return err == nil && len(known) >= peers
	})
}

// healthy waits until the owner sees everything at its target, with no verb of ours.
func (m *member) healthy() {
	m.v.t.Helper()
	m.v.eventually("everything to be at its target", func() bool {
		all, err := m.List(m.v.t.Context())
		return err == nil && !slices.ContainsFunc(all, func(s localapi.Summary) bool { return s.Health != "healthy" })
	})
}

func (v *village) eventually(what string, done func() bool) {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatalf("waited too long for %s", what)
		}
	}
}

// round runs a maintenance round now.
func (m *member) round() {
	m.v.t.Helper()
	if err := m.Round(m.v.t.Context()); err != nil {
		m.v.t.Fatal(err)
	}
}

func noProgress(localapi.Progress) {}

// sizes of a folder that is coded as whole copies, and of one that is coded 16+8.
var (
	small  = map[string]int{"photo.jpg": 1 << 20, "words.txt": 1000, "empty": 0}
	medium = map[string]int{"photo.jpg": 3 << 20, "sound/song.wav": 2 << 20, "words.txt": 1000, "empty": 0}
)

// folder writes files of random bytes and returns where they are.
func folder(t *testing.T, sizes map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.NewChaCha8(digest.Of([]byte(t.Name() + filepath.Base(dir)))) // other bytes each time, the same in each run
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

// streamed is a folder as the command line gives it to a node.
func streamed(t *testing.T, dir string) io.Reader {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	t.Cleanup(func() { _ = errors.Join(r.Close(), root.Close()) })
	found, err := tessera.Scan(t.Context(), root, tessera.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { w.CloseWithError(tessera.WriteFolder(t.Context(), w, root, "a title", found.Entries)) }()
	return r
}

func create(t *testing.T, n localapi.Backend, dir string) localapi.Created {
	t.Helper()
	made, err := n.Create(t.Context(), streamed(t, dir))
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

// served lists who a restore came from, and counts the fragments.
func served(p localapi.Packed) (who []sdk.NodeID, fragments int) {
	for _, s := range p.Sources {
		who = append(who, s.Node)
		fragments += len(s.Fragments)
	}
	return who, fragments
}

// same compares the files of two folders, both ways.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := contents(t, want), contents(t, got)
	if !maps.EqualFunc(a, b, bytes.Equal) {
		t.Errorf("restored %v, want %v, byte for byte", slices.Sorted(maps.Keys(b)), slices.Sorted(maps.Keys(a)))
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
