package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// offline opens the data directory of a stopped node as the command line does, and gives every row of
// its index by its key. Left out is what passes: where a round or a scrub stands, which peers were met,
// what they proved, and the times of the last sign of life, which the next round renews.
func (m *member) offline(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := host.Offline(t.Context(), m.v.config(), m.dir, m.v.log(), func(tx *catalog.Tx) error {
		for r, err := range tx.Rows() {
			if err != nil {
				return err
			}
			if kind := r.Key[0]; kind != 'm' && kind != 'n' && kind != 'a' {
				out[string(r.Key)] = fmt.Sprintf("%x", r.Value)
			}
		}
		totals, err := tx.Totals()
		if err != nil {
			return err
		}
		out["totals"] = fmt.Sprint(totals)
		return withoutTimes(tx, out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withoutTimes puts rows that hold such times as text without them.
func withoutTimes(tx *catalog.Tx, out map[string]string) error {
	for key := range out {
		if strings.IndexByte("ofh", key[0]) >= 0 {
			delete(out, key)
		}
	}
	for o, err := range tx.Objects([32]byte{}) {
		if err != nil {
			return err
		}
		out["object "+o.Hash.String()] = fmt.Sprint(o.Size)
	}
	for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
		if err != nil {
			return err
		}
		out[fmt.Sprint("fragment ", f.Tessera, f.Index)] = fmt.Sprint(f.Hash, f.Size, f.Stored.IsZero())
	}
	for h, err := range tx.Holders() {
		if err != nil {
			return err
		}
		var fragments []int
		for _, f := range h.Fragments {
			fragments = append(fragments, f.Index)
		}
		out[fmt.Sprint("holder ", h.Tessera, h.Key)] = fmt.Sprint(h.Nonce, h.Addr, h.Owner, fragments, h.LastSeen.IsZero())
	}
	return nil
}

// TestTheIndexComesBackFromTheFilesBesideIt throws the index of every node away after a life in which
// fragments were lost, rebuilt and deleted: row by row it comes back as it was (I3).
func TestTheIndexComesBackFromTheFilesBesideIt(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	originals := []string{folder(t, medium), folder(t, small), folder(t, small)}
	var made []localapi.Created
	for _, dir := range originals {
		made = append(made, create(t, owner, dir))
	}
	made = append(made, create(t, owner, originals[2])) // shares every file and is never published
	for _, c := range made[:3] {
		owner.publish(c.ID)
	}
	gone := v.holdersOf(made[0].ID)[3] // what it had goes to others
	gone.stop()
	if report := owner.repair(made[0].ID); report.RebuiltFragments != 3 {
		t.Errorf("repair %+v", report)
	}
	if _, err := owner.Delete(t.Context(), made[2].ID); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holders to forget", func() bool { return v.placed(made[2].ID) == 0 && v.released() == 0 })
	owner.round()

	for i, m := range slices.Clone(v.nodes) {
		if m.stopped {
			continue
		}
		m.stop()
		before := m.offline(t)
		if err := os.RemoveAll(filepath.Join(m.dir, "index")); err != nil {
			t.Fatal(err)
		}
		after := m.offline(t)
		compare(t, fmt.Sprintf("node %d", i), before, after)
	}
	owner = v.addAt(owner.dir)
	for _, m := range slices.Clone(v.nodes[:8]) {
		back := v.addAt(m.dir)
		v.eventually("the owner to meet a holder where it is now", func() bool { return owner.knows(back) })
	}
	if report := owner.repair(sdk.TesseraID{}); report.RebuiltFragments != 0 || report.Healthy != 2 {
		t.Errorf("repair %+v", report)
	}
	for i, c := range made {
		if i == 2 {
			continue
		}
		checked, err := owner.Verify(t.Context(), c.ID, noProgress)
		if err != nil || len(checked.Damage) != 0 {
			t.Errorf("verify: %+v, %v", checked, err)
		}
	}
	if s := owner.sweeps(localapi.GCOptions{Grace: 0}); s.OrphansRemoved+s.LeakedRefsRemoved+s.Missing != 0 {
		t.Errorf("swept %+v", s)
	}
	fetch(t, v.nodes[len(v.nodes)-1], made[0].ID, originals[0])
}

func compare(t *testing.T, when string, want, got map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			t.Errorf("%s: row %q is %q, was %q", when, key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, was := want[key]; !was {
			t.Errorf("%s: row %q is new: %q", when, key, got[key])
		}
	}
}

// TestADamagedIndexIsRebuiltAndNeverTrusted damages the index of a node in every way there is. The
// command line alone, with no daemon, brings it back as it was.
func TestADamagedIndexIsRebuiltAndNeverTrusted(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	killed := t.TempDir() // as a killed process leaves it
	if err := os.CopyFS(killed, os.DirFS(filepath.Join(owner.dir, "index"))); err != nil {
		t.Fatal(err)
	}
	owner.stop()
	index := filepath.Join(owner.dir, "index")
	want := owner.offline(t)
	closed := t.TempDir()
	if err := os.CopyFS(closed, os.DirFS(index)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   string
		damage func(t *testing.T, dir string)
	}{
		"nothing left":      {closed, func(t *testing.T, dir string) { remove(t, dir, "*") }},
		"no manifest":       {closed, func(t *testing.T, dir string) { remove(t, dir, "MANIFEST") }},
		"a bad manifest":    {closed, func(t *testing.T, dir string) { spoilEach(t, dir, "MANIFEST", flip) }},
		"no tables":         {closed, func(t *testing.T, dir string) { remove(t, dir, "*.sst") }},
		"a flipped table":   {closed, func(t *testing.T, dir string) { spoilEach(t, dir, "*.sst", flip) }},
		"a shortened table": {closed, func(t *testing.T, dir string) { spoilEach(t, dir, "*.sst", cut) }},
		"no log":            {killed, func(t *testing.T, dir string) { remove(t, dir, "*.mem") }},
		"a log that is cut": {killed, func(t *testing.T, dir string) { spoilEach(t, dir, "*.mem", half) }},
		"a flipped log":     {killed, func(t *testing.T, dir string) { spoilEach(t, dir, "*.mem", flipWritten) }},
		"one only begun": {closed, func(t *testing.T, dir string) {
			remove(t, dir, "*")
			c, err := catalog.Open(dir, catalog.Options{Ballast: -1})
			if err == nil {
				err = c.Close() // the process was killed before it rebuilt anything
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
		"of an older form": {closed, func(t *testing.T, dir string) {
			c, err := catalog.Open(dir, catalog.Options{Ballast: -1})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Update(func(tx *catalog.Tx) error { return tx.DropMeta("index_form") }) // the first did not say
			if err := errors.Join(err, c.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		"a rebuild that failed": {closed, func(*testing.T, string) {}},
	} {
		if err := os.RemoveAll(index); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(index, os.DirFS(c.from)); err != nil {
			t.Fatal(err)
		}
		c.damage(t, index)
		if name == "a rebuild that failed" {
			host.HalfRebuilt(t, index)
		}
		compare(t, name, want, owner.offline(t))
		if again := owner.offline(t); len(again) != len(want) {
			t.Errorf("%s: opened again it has %d rows of %d", name, len(again), len(want))
		}
	}
	owner = v.addAt(owner.dir)
	for _, m := range v.nodes[:7] {
		v.eventually("the owner to meet a holder", func() bool { return owner.knows(m) })
	}
	if report := owner.repair(made.ID); report.Healthy != 1 {
		t.Errorf("repair %+v", report)
	}
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			t.Fatal(err)
		}
	}
}

func spoilEach(t *testing.T, dir, pattern string, fault func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	for _, f := range files {
		spoil(t, f, fault)
	}
}

// half keeps the first half of what was written, without what follows it.
func half(b []byte) []byte { return b[:len(bytes.TrimRight(b, "\x00"))/2] }

// flipWritten flips a bit in the middle of what was written.
func flipWritten(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(bytes.TrimRight(b, "\x00"))/2] ^= 4
	return b
}

// TestAJournalWithATornTailIsFine cuts the last write of the journal short, as a power cut does, and
// throws the index away.
func TestAJournalWithATornTailIsFine(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.stop()
	want := owner.offline(t)
	logs, err := filepath.Glob(filepath.Join(owner.dir, "journal", "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("%v, %v", logs, err)
	}
	spoil(t, logs[0], func(b []byte) []byte { return append(b, 0, 0, 1, 0, 9, 9, 9, 9, 1, 'h', 'a', 'l', 'f') })
	if err := os.RemoveAll(filepath.Join(owner.dir, "index")); err != nil {
		t.Fatal(err)
	}
	compare(t, "after a torn write", want, owner.offline(t))
	v.addAt(owner.dir)
}

// knows tells whether a node has met another at its address of today.
func (m *member) knows(other *member) bool {
	peers, err := m.Peers(m.v.t.Context())
	return err == nil && slices.ContainsFunc(peers, func(p localapi.Peer) bool {
		return p.Node == other.id() && p.Addr == other.Addr().String()
	})
}

// TestARebuildLosesNothingToADamagedDocument damages the plan of a holder and the journal of another
// before their indexes are gone: what the rest tells comes back, and nothing is removed.
func TestARebuildLosesNothingToADamagedDocument(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	byReceipt, byPlan := v.nodes[0], v.nodes[1]
	for m, harm := range map[*member]func() string{
		byReceipt: func() string { return byReceipt.plan(made.ID) },
		byPlan:    func() string { return filepath.Join(byPlan.dir, "journal", "00000001.log") },
	} {
		refs := m.held(made.ID)
		files := m.objects()
		charged := m.account(owner.owner()).StoredForThem
		m.stop()
		spoil(t, harm(), func(b []byte) []byte { return flip(b[:len(b)*2/3]) })
		if err := os.RemoveAll(filepath.Join(m.dir, "index")); err != nil {
			t.Fatal(err)
		}
		back := v.addAt(m.dir)
		if got := back.held(made.ID); len(got) != len(refs) {
			t.Errorf("of %d fragments %d are known", len(refs), len(got))
		}
		if got := back.account(owner.owner()).StoredForThem; got != charged {
			t.Errorf("charged %d, was %d", got, charged)
		}
		if s := back.sweeps(localapi.GCOptions{Grace: 0}); s.OrphansRemoved != 0 || s.Missing != 0 {
			t.Errorf("swept %+v", s)
		}
		if !slices.Equal(back.objects(), files) {
			t.Errorf("%d of %d files are left", len(back.objects()), len(files))
		}
	}
}

// TestALostObjectIsDamageAfterARebuild loses an object and the index: the receipt tells that it is
// needed, and a repair brings it back.
func TestALostObjectIsDamageAfterARebuild(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.nodes[0]
	lost := holder.object(holder.held(made.ID)[0].Hash)
	whole := read(t, lost)
	holder.stop()
	if err := os.RemoveAll(filepath.Join(holder.dir, "index")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	holder = v.addAt(holder.dir)
	v.meet(holder, 8)
	holder.repair(sdk.TesseraID{})
	v.eventually("the lost fragment to come back", func() bool {
		b, err := os.ReadFile(lost)
		return err == nil && bytes.Equal(b, whole)
	})
	if s := holder.scrubs(); s.Corrupt != 0 {
		t.Errorf("scrub %+v", s)
	}
}

// TestDamageOfOwnFilesOutlivesTheIndex flips a file of a tessera that no peer has. It is damaged before and
// after the index is rebuilt.
func TestDamageOfOwnFilesOutlivesTheIndex(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	made := create(t, owner, folder(t, small))
	spoil(t, owner.objects()[0], flip)
	if s := owner.scrubs(); s.Corrupt != 1 {
		t.Errorf("scrub %+v", s)
	}
	before := owner.status(made.ID)
	owner.stop()
	if err := os.RemoveAll(filepath.Join(owner.dir, "index")); err != nil {
		t.Fatal(err)
	}
	owner = v.addAt(owner.dir)
	after := owner.status(made.ID)
	if before.Health != "corrupt_local" || after.Health != before.Health || len(after.Damage) != 1 || after.Damage[0].Path != before.Damage[0].Path {
		t.Errorf("%+v, was %+v", after, before)
	}
}
