package host_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/internal/invariants"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// thrashes is how many networks of whole nodes are thrown about.
var thrashes = suite.ThrashNodes

// TestThrash (G15), in virtual time: 24 whole nodes with real indexes and disks, on a network in memory that
// loses packets, are thrown about. They are cut off and stopped, with their disks kept or gone for good, fall
// silent for a while, are parted in two, and lose objects under their indexes; the owner of one tessera is
// the first to be lost. Nobody says a word to those who are left. Whenever it stops, everything is at its
// target within three intervals, for one of which whoever is silent for the first time may be waited for, and all invariants hold; in the end every tessera is restored on an empty
// machine, byte for byte, and the index of every node is what its files give.
func TestThrash(t *testing.T) {
	t.Parallel()
	seed := suite.Seed(t)
	runs := 0
	for ; runs < thrashes.Cases() && !t.Failed(); runs++ {
		synctest.Test(t, func(t *testing.T) {
			newThrash(t, rand.New(rand.NewPCG(seed, uint64(runs)))).run()
		})
	}
	thrashes.Executed(t, runs, "networks of whole nodes thrown about")
}

// thrash is a network that is thrown about.
type thrash struct {
	*village
	weather *weather
	rng     *rand.Rand
	kept    []*preserved
	away    []*member       // stopped, with their disks kept
	silent  []netip.Addr    // until the storm is over
	shaken  map[string]bool // data directories of those that were away or silent before
	harm    invariants.Harm
}

// preserved is a tessera that everybody looks after.
type preserved struct {
	id     sdk.TesseraID
	folder string
	owner  *member // nil when it is gone
	plan   *fragment.FragmentPlan
	least  int // copies, or distinct fragments, without which nothing more is taken away
}

const (
	thrashed = 24          // nodes
	lull     = time.Minute // their repair interval
)

func newThrash(t *testing.T, rng *rand.Rand) *thrash {
	t.Helper()
	w := &weather{rng: rng}
	x := &thrash{village: w.village(t), weather: w, rng: rng, shaken: map[string]bool{}}
	for range thrashed {
		x.start(t.TempDir())
	}
	for _, m := range x.nodes {
		x.meet(m, thrashed-1)
	}
	x.preserve(x.nodes[0], map[string]int{"a.jpg": 4 << 20, "b.txt": 10}, 18)
	x.preserve(x.nodes[1], map[string]int{"letter.txt": 1000}, 3)
	return x
}

// start starts a node on a data directory, with a disk that does not take the time to sync.
func (x *thrash) start(dir string) *member {
	x.t.Helper()
	return x.addThrough(func(disk vfs.FS) vfs.FS { return hasty{disk} }, dir, func(c *config.Config) {
		c.Replication.RepairInterval = config.Duration(lull)
		c.Replication.ProofsPerHolder = 2
	})
}

// preserve publishes a tessera and waits until it is at its target.
func (x *thrash) preserve(owner *member, sizes map[string]int, least int) {
	x.t.Helper()
	dir := folder(x.t, sizes)
	id := create(x.t, owner, dir).ID
	owner.publish(id)
	x.kept = append(x.kept, &preserved{id: id, folder: dir, owner: owner, plan: parsePlan(x.t, read(x.t, owner.plan(id))), least: least})
}

// run lets storms pass, looks after each, and restores everything.
func (x *thrash) run() {
	x.t.Helper()
	storms := [][]func(*thrash) string{
		{(*thrash).ownerIsLost, (*thrash).diskIsLost, (*thrash).stops, (*thrash).fallsSilent},
		{(*thrash).diskIsLost, (*thrash).diskIsLost, (*thrash).losesObject, (*thrash).stops, (*thrash).parts},
	}
	if suite.Race() {
		storms = storms[:1]
	}
	for storm, faults := range storms {
		x.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		for day := range slices.Chunk(faults, 2) {
			x.weather.set(0.05, nil, false)
			for _, fault := range day {
				x.t.Logf("storm %d: %s", storm, fault(x))
			}
			x.passes(lull)
		}
		x.settles(storm)
		x.check(storm)
	}
	x.passes(lull)
	if err := x.wanting(); err != nil {
		x.t.Errorf("an interval of calm later: %v", err)
	}
	x.restores()
}

// passes lets time pass in which nobody but the nodes themselves takes anything away.
func (x *thrash) passes(d time.Duration) {
	x.t.Helper()
	var before []invariants.Copies
	for _, p := range x.kept {
		before = append(before, invariants.Find(p.plan, x.disks()))
	}
	time.Sleep(d)
	for i, p := range x.kept {
		if err := invariants.Find(p.plan, x.disks()).Lost(before[i]); err != nil {
			x.t.Error(err)
		}
	}
}

// disks lists the data directories of those who run, and of those who are to come back.
func (x *thrash) disks() (dirs []string) {
	for _, m := range append(x.living(), x.away...) {
		dirs = append(dirs, m.dir)
	}
	return dirs
}

// settles ends a storm: who was away comes back, and within three intervals everything is at its target.
func (x *thrash) settles(storm int) {
	x.t.Helper()
	x.weather.set(0, nil, false)
	for _, at := range x.silent {
		x.weather.silence(at, false)
	}
	for _, m := range x.away {
		x.start(m.dir)
	}
	x.silent, x.away = nil, nil
	calm := time.Now()
	for wrong := x.wanting(); wrong != nil; wrong = x.wanting() {
		if time.Since(calm) > 3*lull {
			x.t.Fatalf("three intervals after storm %d: %v", storm, wrong)
		}
		time.Sleep(5 * time.Second)
	}
	x.t.Logf("storm %d: at target %s after it, on %d nodes", storm, time.Since(calm), len(x.living()))
}

// wanting tells what is not at its target.
func (x *thrash) wanting() error {
	for _, p := range x.kept {
		if err := x.find(p).Target(min(p.plan.Total()*max(p.plan.Copies, 1), config.Default().Replication.Replicas)); err != nil {
			return err
		}
		if p.owner == nil {
			continue
		}
		if s := p.owner.status(p.id); s.Health != "healthy" {
			return fmt.Errorf("the owner of %s says %s, deficit %d", p.id.Short(), s.Health, s.Deficit)
		}
	}
	return nil
}

// check looks whether everything holds that must hold at any time.
func (x *thrash) check(storm int) {
	x.t.Helper()
	synctest.Wait()
	var nodes []invariants.Node
	for _, m := range x.living() {
		nodes = append(nodes, m.seen())
	}
	if err := invariants.Check(nodes, &x.harm); err != nil {
		x.t.Errorf("after storm %d:\n%v", storm, err)
	}
	for _, p := range x.kept {
		if n := x.find(p).Total(); p.plan.Copies == 1 && n > 2*p.plan.Total() {
			x.t.Errorf("after storm %d there are %d copies of the %d fragments of %s", storm, n, p.plan.Total(), p.id.Short())
		}
	}
}

// seen is a node as its invariants are looked at.
func (m *member) seen() invariants.Node {
	m.v.t.Helper()
	return invariants.Node{
		Key: m.Contact().Key, Owner: m.owner(), Dir: m.dir, View: m.View, Records: m.Journal().Records(),
		Connections: m.PoolStats().Size, MaxConnections: config.Default().Performance.MaxConnections,
	}
}

// restores brings every tessera to an empty machine, then compares the index of every node with what its
// files give.
func (x *thrash) restores() {
	x.t.Helper()
	heir := x.start(x.t.TempDir())
	x.meet(heir, thrashed/2)
	for _, p := range x.kept {
		fetch(x.t, heir, p.id, p.folder)
	}
	for i, m := range x.living() {
		m.stop()
		if err := invariants.Spooled(m.dir); err != nil {
			x.t.Errorf("node %d: %v", i, err)
		}
		before := m.offline(x.t)
		if err := os.RemoveAll(filepath.Join(m.dir, "index")); err != nil {
			x.t.Fatal(err)
		}
		compare(x.t, fmt.Sprintf("node %d", i), lasting(before), lasting(m.offline(x.t)))
	}
}

// lasting leaves out of the rows of an index what the next round finds out anew: who else holds what, since
// when a tessera is not at its target, and which plans were verified; and when it was that damage was found.
func lasting(rows map[string]string) map[string]string {
	for key := range rows {
		switch {
		case strings.HasPrefix(key, "holder "), key[0] == 'k':
			delete(rows, key)
		case key[0] == 'p':
			rows[key] = ""
		case key[0] == 'd':
			rows[key] = rows[key][len(rows[key])-2:] // whether the object is missing
		}
	}
	return rows
}

// living lists the nodes that run.
func (x *thrash) living() []*member {
	return slices.DeleteFunc(slices.Clone(x.nodes), func(m *member) bool { return m.stopped })
}

// find looks for a tessera on the disks of those who run, but for some.
func (x *thrash) find(p *preserved, but ...*member) invariants.Copies {
	var dirs []string
	for _, m := range x.living() {
		if !slices.Contains(but, m) {
			dirs = append(dirs, m.dir)
		}
	}
	return invariants.Find(p.plan, dirs)
}

// victim draws a node that runs and is fit, owns nothing, was never away, and without which everything can
// still be rebuilt from the others that run. Who came back before is waited for longer, and that is another
// matter.
func (x *thrash) victim(fit ...func(*member) bool) *member {
	x.t.Helper()
	all := x.living()
	for _, i := range x.rng.Perm(len(all)) {
		m := all[i]
		if x.shaken[m.dir] || slices.ContainsFunc(x.kept, func(p *preserved) bool { return p.owner == m }) {
			continue
		}
		if x.expendable(m) && !slices.ContainsFunc(fit, func(is func(*member) bool) bool { return !is(m) }) {
			return m
		}
	}
	x.t.Fatal("there is nobody without whom the others could go on")
	return nil
}

func (x *thrash) expendable(m *member) bool {
	for _, p := range x.kept {
		left := x.find(p, m)
		if n := left.Distinct(); p.plan.Copies == 1 && n < p.least || p.plan.Copies > 1 && left.Most() < p.least {
			return false
		}
	}
	return true
}

// dies cuts a node off and stops it: what it would say to its end nobody hears.
func (x *thrash) dies(m *member) {
	x.weather.silence(m.Contact().Addr.Addr(), true)
	m.stop()
	x.shaken[m.dir] = true
}

// loses is that a node and its disk are gone. An empty one takes its place.
func (x *thrash) loses(m *member) {
	x.t.Helper()
	x.dies(m)
	if err := os.RemoveAll(m.dir); err != nil {
		x.t.Fatal(err)
	}
	x.start(x.t.TempDir())
}

// The faults. Each tells what it did.

func (x *thrash) ownerIsLost() string {
	p := x.kept[0]
	x.loses(p.owner)
	p.owner = nil
	return "the owner is lost"
}

func (x *thrash) diskIsLost() string {
	m := x.victim()
	fragments := 0
	for _, p := range x.kept {
		fragments += len(m.held(p.id))
	}
	x.loses(m)
	return fmt.Sprintf("a disk is lost with %d fragments", fragments)
}

func (x *thrash) stops() string {
	m := x.victim()
	x.dies(m)
	x.away = append(x.away, m)
	return "a node stops"
}

func (x *thrash) fallsSilent() string {
	m := x.victim()
	at := m.Contact().Addr.Addr()
	x.weather.silence(at, true)
	x.silent, x.shaken[m.dir] = append(x.silent, at), true
	return "a node falls silent"
}

func (x *thrash) parts() string {
	left := map[netip.Addr]bool{}
	for _, m := range x.living() {
		left[m.Contact().Addr.Addr()] = x.rng.IntN(2) == 0
	}
	x.weather.set(0.05, left, x.rng.IntN(2) == 0)
	return "the network is parted in two for an interval"
}

// losesObject takes an object away under the index of a node that has a fragment in it.
func (x *thrash) losesObject() string {
	p := x.kept[0]
	m := x.victim(func(m *member) bool { return len(m.held(p.id)) > 0 })
	f := m.held(p.id)[0]
	x.harm.Note(m.Contact().Key, f.Hash)
	if err := os.Remove(filepath.Join(m.dir, cas.Path(f.Hash))); err != nil {
		x.t.Fatal(err)
	}
	return fmt.Sprintf("fragment %d is gone under its holder", f.Index)
}
