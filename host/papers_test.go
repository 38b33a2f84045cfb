package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// manifest is where a node keeps the manifest of a tessera.
func (m *member) manifest(id sdk.TesseraID) string {
	return filepath.Join(m.dir, "tesseras", id.String()[:2], id.String()+".tessera")
}

// harms are ways in which a document goes bad.
var harms = map[string]func(t *testing.T, path string){
	"flipped": func(t *testing.T, path string) { spoil(t, path, flip) },
	"cut":     func(t *testing.T, path string) { spoil(t, path, cut) },
	"gone": func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	},
}

// TestADamagedDocumentIsNamedAndHealed damages the manifest and the plan of an owner and the plan of a
// holder: a scrub names the tessera, and a repair brings the document back from peers.
func TestADamagedDocumentIsNamedAndHealed(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	for name, harm := range harms {
		for what, c := range map[string]struct {
			at   *member
			path string
		}{
			"manifest": {owner, owner.manifest(made.ID)},
			"plan":     {owner, owner.plan(made.ID)},
			"the plan": {holder, holder.plan(made.ID)},
		} {
			whole := read(t, c.path)
			harm(t, c.path)
			s := c.at.scrubs()
			if s.Corrupt != 1 || len(s.Damage) != 1 || s.Damage[0].ID != made.ID || !strings.Contains(s.Damage[0].Problem, "its "+what[strings.LastIndex(what, " ")+1:]) {
				t.Errorf("%s %s: the scrub found %+v", name, what, s)
			}
			if c.at == owner {
				if st := owner.status(made.ID); st.Health != "corrupt_local" || len(st.Damage) != 1 {
					t.Errorf("%s %s: status %+v", name, what, st)
				}
			}
			if r := c.at.repair(made.ID); r.CorruptHealed != 1 || r.Failed != 0 {
				t.Errorf("%s %s: repair %+v", name, what, r)
			}
			if b, err := os.ReadFile(c.path); err != nil || !bytes.Equal(b, whole) {
				t.Fatalf("%s %s: it came back otherwise, %v", name, what, err)
			}
			if s := c.at.scrubs(); s.Corrupt != 0 || len(s.Damage) != 0 {
				t.Errorf("%s %s: after the repair %+v", name, what, s)
			}
		}
	}
	owner.healthy()
}

// TestATesseraWhoseManifestIsDamagedStaysListed throws the index away beside a damaged manifest. The tessera
// is listed, as damaged; where peers have it, it comes back with all that the index had said of it.
func TestATesseraWhoseManifestIsDamagedStaysListed(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made, alone := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.stop()
	before := owner.offline(t)
	spoil(t, owner.manifest(made.ID), flip)
	spoil(t, owner.manifest(alone.ID), flip)
	whole := read(t, owner.manifest(alone.ID))
	if err := os.RemoveAll(filepath.Join(owner.dir, "index")); err != nil {
		t.Fatal(err)
	}
	owner = v.addAt(owner.dir)
	v.meet(owner, 7)
	all, err := owner.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("listed are %+v, %v", all, err)
	}
	for _, s := range all {
		if s.Health != "corrupt_local" || s.ID == made.ID && (s.Title != "a title" || s.SizeBytes != made.SizeBytes) {
			t.Errorf("listed is %+v", s)
		}
	}
	if r := owner.repair(sdk.TesseraID{}); r.CorruptHealed < 1 || len(r.Failures) != 1 || r.Failures[0].ID != alone.ID {
		t.Errorf("repair %+v", r)
	}
	if checked, err := owner.Verify(t.Context(), made.ID, noProgress); err != nil || len(checked.Damage) != 0 {
		t.Errorf("verify: %+v, %v", checked, err)
	}
	if s := owner.scrubs(); s.Corrupt != 1 || s.Damage[0].ID != alone.ID {
		t.Errorf("scrub %+v", s)
	}
	if err := os.WriteFile(owner.manifest(alone.ID), flip(whole), 0o600); err != nil { // from a backup
		t.Fatal(err)
	}
	if s := owner.scrubs(); s.Corrupt != 0 || s.Healed != 1 {
		t.Errorf("scrub %+v", s)
	}
	owner.stop()
	compare(t, "in the end", before, owner.offline(t))
}

// TestWhatIsReleasedBesideADamagedManifestIsKeptAWhile deletes a tessera that shares its files with one
// whose manifest the index could not read: they are not lost.
func TestWhatIsReleasedBesideADamagedManifestIsKeptAWhile(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	original := folder(t, small)
	first, second := create(t, owner, original), create(t, owner, original)
	files := owner.objects()
	owner.stop()
	spoil(t, owner.manifest(second.ID), cut)
	if err := os.RemoveAll(filepath.Join(owner.dir, "index")); err != nil {
		t.Fatal(err)
	}
	owner = v.addAt(owner.dir)
	if _, err := owner.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		aside, err := filepath.Glob(filepath.Join(owner.dir, "trash", "*", filepath.Base(path)))
		if err != nil || len(aside) != 1 {
			t.Errorf("%s is in the trash %d times, %v", filepath.Base(path), len(aside), err)
		}
	}
	if _, err := owner.Delete(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	third := create(t, owner, original)
	files = owner.objects()
	if _, err := owner.Delete(t.Context(), third.ID); err != nil {
		t.Fatal(err)
	}
	if left := owner.objects(); len(files) == 0 || len(left) != 0 {
		t.Errorf("without doubt %d of %d files are left", len(left), len(files))
	}
}

// TestADamagedJournalIsNamed flips a bit in the middle of the journal. That is of no tessera.
func TestADamagedJournalIsNamed(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.stop()
	spoil(t, filepath.Join(owner.dir, "journal", "00000001.log"), flip)
	owner = v.addAt(owner.dir)
	s := owner.scrubs()
	if s.Corrupt != 1 || len(s.Damage) != 1 || !s.Damage[0].ID.IsZero() || !strings.Contains(s.Damage[0].Problem, "the journal is damaged") {
		t.Errorf("scrub %+v", s)
	}
}

// TestVerifyWritesADamagedManifestDown has nobody but tes verify look.
func TestVerifyWritesADamagedManifestDown(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 0)
	made := create(t, owner, folder(t, small))
	spoil(t, owner.manifest(made.ID), flip)
	if checked, err := owner.Verify(t.Context(), made.ID, noProgress); err != nil || len(checked.Damage) != 1 {
		t.Errorf("verify: %+v, %v", checked, err)
	}
	if st, err := owner.ScrubControl(t.Context(), localapi.ScrubLook); err != nil || len(st.Damage) != 1 || st.Damage[0].ID != made.ID {
		t.Errorf("known are %+v, %v", st.Damage, err)
	}
	if st := owner.status(made.ID); st.Health != "corrupt_local" {
		t.Errorf("status %+v", st)
	}
}
