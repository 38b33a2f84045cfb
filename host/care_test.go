package host_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

func (m *member) scrubs() localapi.Scrubbed {
	m.v.t.Helper()
	s, err := m.Scrub(m.v.t.Context(), noProgress)
	if err != nil {
		m.v.t.Fatal(err)
	}
	return s
}

func (m *member) sweeps(o localapi.GCOptions) localapi.Swept {
	m.v.t.Helper()
	s, err := m.GC(m.v.t.Context(), o)
	if err != nil {
		m.v.t.Fatal(err)
	}
	return s
}

// object is where the file of a hash lies.
func (m *member) object(h digest.Hash) string { return filepath.Join(m.dir, cas.Path(h)) }

// TestAFlippedByteIsNamedAndHealed flips one byte of every object file there is, one after another: at
// the owner a scrub names the file, at a holder the fragment, and a repair makes it good from peers.
func TestAFlippedByteIsNamedAndHealed(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	original := folder(t, medium)
	made := create(t, owner, original)
	owner.publish(made.ID)
	for _, path := range owner.objects() {
		if len(read(t, path)) == 0 {
			continue
		}
		hit := owner.isHealed(t, path, made.ID)
		if !bytes.Equal(read(t, filepath.Join(original, string(hit.Path))), read(t, path)) {
			t.Errorf("%q was named for another file", hit.Path)
		}
	}
	holder := v.holdersOf(made.ID)[1]
	for _, f := range holder.held(made.ID) {
		hit := holder.isHealed(t, holder.object(f.Hash), made.ID)
		if hit.Fragment == nil || *hit.Fragment != f.Index {
			t.Errorf("fragment %d was named %+v", f.Index, hit.Damage)
		}
	}
	owner.healthy()
}

// isHealed damages an object and gives how a scrub named it, once it is whole again.
func (m *member) isHealed(t *testing.T, path string, id sdk.TesseraID) localapi.Hit {
	t.Helper()
	whole := read(t, path)
	spoil(t, path, flip)
	s := m.scrubs()
	if s.Corrupt != 1 || len(s.Damage) != 1 || s.Damage[0].ID != id || s.Objects != len(m.objects())+1 {
		t.Fatalf("the scrub found %+v among %d files", s, len(m.objects()))
	}
	if aside, _ := filepath.Glob(filepath.Join(m.dir, "quarantine", "*", filepath.Base(path))); len(aside) != 1 || bytes.Equal(read(t, aside[0]), whole) {
		t.Errorf("put aside: %v", aside)
	}
	if st := m.status(id); st.Health != "corrupt_local" || len(st.Damage) != 1 {
		t.Errorf("status %+v", st)
	}
	if again := m.scrubs(); again.Corrupt != 1 || len(again.Damage) != 1 {
		t.Errorf("a second scrub forgot it: %+v", again)
	}
	report := m.repair(sdk.TesseraID{})
	if report.CorruptHealed != 1 || report.Failed != 0 {
		t.Errorf("repair %+v", report)
	}
	if !bytes.Equal(read(t, path), whole) {
		t.Error("it came back otherwise")
	}
	if after := m.scrubs(); after.Corrupt != 0 || len(after.Damage) != 0 {
		t.Errorf("after the repair: %+v", after)
	}
	if st := m.status(id); st.Health == "corrupt_local" || len(st.Damage) != 0 {
		t.Errorf("status after the repair %+v", st)
	}
	return s.Damage[0]
}

// TestTheCycleFindsAndHealsByItself loses an object and flips another: nobody types anything.
func TestTheCycleFindsAndHealsByItself(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made, whole := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.publish(whole.ID)
	often := func(c *config.Config) {
		c.Replication.RepairInterval = config.Duration(200 * time.Millisecond)
		c.Maintenance.ScrubPeriod = config.Duration(time.Millisecond)
	}
	holder := v.holdersOf(made.ID)[0]
	flipped := holder.object(holder.held(made.ID)[0].Hash)
	lost := holder.object(holder.held(made.ID)[1].Hash)
	before, beforeLost := read(t, flipped), read(t, lost)
	holder.restart(often)
	spoil(t, flipped, flip)
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holder to find and heal its damage", func() bool {
		a, err := os.ReadFile(flipped)
		b, err2 := os.ReadFile(lost)
		return err == nil && err2 == nil && bytes.Equal(a, before) && bytes.Equal(b, beforeLost)
	})

	copyOf := v.holdersOf(whole.ID)[0] // a whole copy comes from another holder
	path := copyOf.object(copyOf.held(whole.ID)[0].Hash)
	spoil(t, path, cut)
	copyOf.isWhole(t)
}

// isWhole scrubs, repairs and scrubs again.
func (m *member) isWhole(t *testing.T) {
	t.Helper()
	if s := m.scrubs(); s.Corrupt != 1 {
		t.Errorf("scrub %+v", s)
	}
	if r := m.repair(sdk.TesseraID{}); r.CorruptHealed != 1 {
		t.Errorf("repair %+v", r)
	}
	if s := m.scrubs(); s.Corrupt != 0 {
		t.Errorf("scrub %+v", s)
	}
}

// TestWhatVerifyFindsIsWrittenDown flips a file and loses another: tes verify names them, from then on the
// status does too, and a repair makes them good.
func TestWhatVerifyFindsIsWrittenDown(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	files := owner.objects()
	whole := [][]byte{read(t, files[0]), read(t, files[1])}
	spoil(t, files[0], flip)
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	if v, err := owner.Verify(t.Context(), made.ID, noProgress); err != nil || len(v.Damage) != 2 {
		t.Errorf("verify %+v, %v", v, err)
	}
	if st := owner.status(made.ID); st.Health != "corrupt_local" || len(st.Damage) != 2 {
		t.Errorf("status %+v", st)
	}
	if r := owner.repair(made.ID); r.CorruptHealed != 2 {
		t.Errorf("repair %+v", r)
	}
	if !bytes.Equal(read(t, files[0]), whole[0]) || !bytes.Equal(read(t, files[1]), whole[1]) {
		t.Error("they came back otherwise")
	}
	if st := owner.status(made.ID); st.Health == "corrupt_local" {
		t.Errorf("status after the repair %+v", st)
	}
}

// TestADamagedFragmentIsNotAttested asks a holder that knows of damage: it does not claim to hold what
// it has lost, and is given it again when the owner repairs before it has healed itself.
func TestADamagedFragmentIsNotAttested(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[2]
	refs := holder.held(made.ID)
	for _, f := range refs {
		spoil(t, holder.object(f.Hash), flip)
	}
	if s := holder.scrubs(); s.Corrupt != len(refs) {
		t.Errorf("scrub %+v", s)
	}
	report := owner.repair(made.ID)
	if report.RebuiltFragments != len(refs) || report.Failed != 0 {
		t.Errorf("repair %+v, want %d fragments rebuilt", report, len(refs))
	}
	owner.healthy()
	if again := holder.repair(sdk.TesseraID{}); again.Failed != 0 {
		t.Errorf("the holder heals %+v", again)
	}
	if s := holder.scrubs(); s.Corrupt != 0 {
		t.Errorf("scrub %+v", s)
	}
	charged := holder.account(owner.owner()).StoredForThem
	var kept uint64
	for _, f := range holder.held(made.ID) {
		kept += uint64(f.Size)
	}
	if charged != kept {
		t.Errorf("charged %d for %d bytes", charged, kept)
	}
}

func TestWhatWasNeverPublishedCannotBeHealed(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 1)
	made := create(t, owner, folder(t, small))
	for _, path := range owner.objects() {
		if len(read(t, path)) > 2000 {
			spoil(t, path, flip)
		}
	}
	if s := owner.scrubs(); s.Corrupt != 1 || s.Damage[0].Path != "photo.jpg" || s.Damage[0].Title != "a title" {
		t.Errorf("scrub %+v", s)
	}
	report := owner.repair(sdk.TesseraID{})
	if report.Failed != 1 || report.Failures[0].ID != made.ID || report.CorruptHealed != 0 {
		t.Errorf("repair %+v", report)
	}
}

func TestScrubIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	v, _ := newVillage(t, 0)
	eager := func(c *config.Config) { c.Maintenance.ScrubPeriod = config.Duration(time.Millisecond) }
	m := v.add(eager)
	create(t, m, folder(t, small))
	ask := func(m *member, action localapi.ScrubAction) localapi.ScrubStatus {
		st, err := m.ScrubControl(t.Context(), action)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	round := func(m *member) {
		m.round()
	}
	if st := ask(m, localapi.ScrubPause); st.State != localapi.ScrubPaused || st.TotalObjects != 3 || st.TotalBytes != 1<<20+1000 {
		t.Errorf("paused: %+v", st)
	}
	round(m)
	m = m.restart(eager)
	round(m)
	if st := ask(m, localapi.ScrubLook); st.State != localapi.ScrubPaused || st.Objects != 0 {
		t.Errorf("read while paused, after a restart: %+v", st)
	}
	ask(m, localapi.ScrubResume)
	round(m)
	if st := ask(m, localapi.ScrubLook); st.State != localapi.ScrubWaiting || st.Objects != 3 || st.Finished.IsZero() {
		t.Errorf("resumed: %+v", st)
	}
	// with the default period a round reads a share only, unless it is told to read everything
	m = m.restart()
	ask(m, localapi.ScrubStart)
	v.eventually("everything to be read", func() bool {
		round(m)
		st := ask(m, localapi.ScrubLook)
		return st.State == localapi.ScrubWaiting && st.Objects == 3
	})
	if _, err := m.ScrubControl(t.Context(), "dance"); localapi.CodeOf(err) != localapi.CodeUsage {
		t.Errorf("an unknown action: %v", err)
	}
}

func TestScrubPeriodSaysHowMuchARoundReads(t *testing.T) {
	t.Parallel()
	v, _ := newVillage(t, 0)
	for days, want := range map[int]int{1: 40, 2: 20, 10: 4} {
		m := v.add(func(c *config.Config) {
			c.Maintenance.ScrubPeriod = config.Duration(time.Duration(days) * 24 * time.Hour)
			c.Replication.RepairInterval = config.Duration(24 * time.Hour)
		})
		sizes := map[string]int{}
		for i := range 40 {
			sizes[string(rune('a'+i))] = 1000
		}
		create(t, m, folder(t, sizes))
		m.round()
		st, err := m.ScrubControl(t.Context(), localapi.ScrubLook)
		if err != nil || st.Objects < want || st.Objects > want+1 {
			t.Errorf("of 40 objects in %d days the first round read %d, %v", days, st.Objects, err)
		}
	}
}

func TestScrubRateBoundsTheReading(t *testing.T) {
	t.Parallel()
	v, _ := newVillage(t, 0)
	const rate, bytes = 4 << 20, 2 << 20
	m := v.add(func(c *config.Config) { c.Maintenance.ScrubRate = rate })
	create(t, m, folder(t, map[string]int{"a": bytes}))
	begun := time.Now()
	m.scrubs()
	// the first half second's worth comes at once
	if took := time.Since(begun); took < (bytes-512<<10)*time.Second/rate/2 {
		t.Errorf("%d bytes at %d a second took %s", bytes, rate, took)
	}
}

func TestGCOfANode(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	create(t, owner, folder(t, small))
	stored := len(owner.objects())
	h := digest.Of([]byte("nobody needs it"))
	orphan := owner.object(h)
	if err := errors.Join(os.MkdirAll(filepath.Dir(orphan), 0o700), os.WriteFile(orphan, []byte("nobody needs it"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if s := owner.sweeps(localapi.GCOptions{Grace: -1}); s.OrphansRemoved != 0 || s.SkippedYoung != 1 {
		t.Errorf("young: %+v", s)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(orphan, old, old); err != nil {
		t.Fatal(err)
	}
	want := localapi.Swept{OrphansRemoved: 1, BytesFreed: 15, DryRun: true}
	if s := owner.sweeps(localapi.GCOptions{DryRun: true, Grace: -1}); s != want {
		t.Errorf("dry run %+v", s)
	}
	owner = owner.restart(func(c *config.Config) { c.Replication.RepairInterval = config.Duration(200 * time.Millisecond) })
	v.eventually("the cycle to do it too", func() bool { return !slices.Contains(owner.objects(), orphan) })
	if len(owner.objects()) != stored {
		t.Errorf("%d objects are left", len(owner.objects()))
	}
}

// TestBesideAnUnreadableDocumentNothingIsRemoved damages a manifest: what nobody seems to need moves to
// the trash.
func TestBesideAnUnreadableDocumentNothingIsRemoved(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 0)
	made := create(t, owner, folder(t, small))
	spoil(t, filepath.Join(owner.dir, "tesseras", made.ID.String()[:2], made.ID.String()+".tessera"), cut)
	h := digest.Of([]byte("who knows"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(owner.object(h)), 0o700), os.WriteFile(owner.object(h), []byte("who knows"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := owner.sweeps(localapi.GCOptions{Grace: 0})
	if s.OrphansRemoved != 1 || s.Trashed != 1 || s.BytesFreed != 0 || s.Doubt == "" {
		t.Errorf("swept %+v", s)
	}
	if aside, _ := filepath.Glob(filepath.Join(owner.dir, "trash", "*", h.String()+".blob")); len(aside) != 1 {
		t.Errorf("in the trash: %v", aside)
	}
}

// TestBesideDamagedReferencesNothingIsRemoved damages what was noted of an old layout: what nobody seems to
// need moves to the trash.
func TestBesideDamagedReferencesNothingIsRemoved(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 0)
	id := sdk.TesseraID(digest.Of([]byte("of another time")))
	lay(t, filepath.Join(owner.dir, "fragments", id.String(), "007.shard"), "a shard")
	owner = owner.restart()
	h := digest.Of([]byte("who knows"))
	lay(t, owner.object(h), "who knows")
	if s := owner.sweeps(localapi.GCOptions{Grace: 0}); s.OrphansRemoved != 1 || s.Trashed != 0 || s.Doubt != "" {
		t.Errorf("beside what can be read: swept %+v", s)
	}
	lay(t, owner.object(h), "who knows")
	spoil(t, filepath.Join(owner.dir, "legacy", id.String()[:2], id.String()+".refs"), cut)
	s := owner.sweeps(localapi.GCOptions{Grace: 0})
	if s.OrphansRemoved != 1 || s.Trashed != 1 || s.BytesFreed != 0 || s.Doubt == "" {
		t.Errorf("swept %+v", s)
	}
	if aside, _ := filepath.Glob(filepath.Join(owner.dir, "trash", "*", h.String()+".blob")); len(aside) != 1 {
		t.Errorf("in the trash: %v", aside)
	}
}

// lay writes a file and the folders to it.
func lay(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestTheBooksSayWhatIsOnTheDisk compares the totals of every node with its files, after all that can
// change them.
func TestTheBooksSayWhatIsOnTheDisk(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	first, second := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	v.balanced("after create")
	owner.publish(first.ID)
	owner.publish(second.ID)
	v.balanced("after publish")
	v.holdersOf(first.ID)[0].loses(first.ID)
	owner.repair(sdk.TesseraID{})
	for _, m := range v.nodes {
		m.sweeps(localapi.GCOptions{Grace: 0})
	}
	v.balanced("after repair")
	if _, err := owner.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holders to forget", func() bool { return v.placed(first.ID) == 0 })
	v.eventually("the files to go", func() bool { return v.released() == 0 && v.differing() == 0 })
}

// released counts the objects whose files are still to be removed.
func (v *village) released() (n int) {
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		m.has(func(tx *catalog.Tx) bool {
			for range tx.Released(digest.Hash{}) {
				n++
			}
			return true
		})
	}
	return n
}

// balanced checks the books of every running node.
func (v *village) balanced(when string) {
	v.t.Helper()
	if n := v.differing(); n != 0 {
		v.t.Errorf("%s: the books of %d nodes differ from their disks", when, n)
	}
}

func (v *village) differing() (n int) {
	v.t.Helper()
	for _, m := range v.nodes {
		var want catalog.Totals
		if m.stopped {
			continue
		}
		for _, path := range m.objects() {
			want.Objects++
			want.Bytes += int64(len(read(v.t, path)))
		}
		var got catalog.Totals
		err := m.View(func(tx *catalog.Tx) error {
			for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
				if err != nil {
					return err
				}
				want.Fragments++
				want.FragmentBytes += f.Size
			}
			var err error
			got, err = tx.Totals()
			return err
		})
		if err != nil {
			v.t.Fatal(err)
		}
		if got != want {
			v.t.Logf("%s says %+v and has %+v", m.dir, got, want)
			n++
		}
	}
	return n
}
