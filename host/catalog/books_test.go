package catalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// TestTotalsFollowEveryChange adds, drops and collects at random: the totals are always what counting
// gives, and States says of each object what Needed says.
func TestTotalsFollowEveryChange(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := openMemory(t)
		hashes := []digest.Hash{hash(1), hash(2), hash(3)}
		for range rapid.IntRange(1, 60).Draw(r, "operations") {
			h := rapid.SampledFrom(hashes).Draw(r, "object")
			size, at := int64(h[0])+1, byte(rapid.IntRange(0, 3).Draw(r, "tessera"))
			err := c.Update(func(tx *Tx) error {
				switch rapid.IntRange(0, 4).Draw(r, "what") {
				case 0:
					_, err := tx.AddFragment(FragmentRef{Tessera: id(at), Index: int(h[0] % 3), Hash: h, Size: size})
					return unless(err, ErrConflict)
				case 1:
					return tx.AddBlobRef(BlobRef{Tessera: id(at), Memory: h, Name: "x", Hash: h, Size: size})
				case 2:
					_, err := tx.DropFragment(id(at), int(h[0]%3))
					return unless(err, ErrNotFound)
				case 3:
					_, _, err := tx.DropBlobRefs(id(at), 10)
					return err
				default:
					_, err := tx.DropObject(h)
					return err
				}
			})
			must(t, err)
			checkTotals(t, c)
		}
	})
}

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func checkTotals(t *testing.T, c *Catalog) {
	t.Helper()
	view(t, c, func(tx *Tx) error {
		got, err := tx.Totals()
		must(t, err)
		want, err := tx.count()
		same(t, got, want)
		var objects []digest.Hash
		for s, err := range tx.States(digest.Hash{}) {
			must(t, err)
			needed, err := tx.Needed(s.Hash)
			must(t, err)
			same(t, s.Needed, needed)
			objects = append(objects, s.Hash)
		}
		same(t, int64(len(objects)), got.Objects)
		return err
	})
}

// TestAnIndexWithoutBooksIsCounted opens an index that has none yet.
func TestAnIndexWithoutBooksIsCounted(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	update(t, c, func(tx *Tx) error {
		_, err := tx.AddFragment(FragmentRef{Tessera: id(1), Hash: hash(1), Size: 7})
		return err
	})
	must(t, c.kv.apply([]change{{key: metaKey(metaBooks), del: true}}))
	must(t, c.Close())
	must(t, os.Remove(filepath.Join(dir, committedName)))
	c = openTemp(t, dir, Options{})
	view(t, c, func(tx *Tx) error {
		got, err := tx.Totals()
		same(t, got, Totals{Objects: 1, Bytes: 7, Fragments: 1, FragmentBytes: 7})
		return err
	})
}

// TestALogThatLostItsEndIsDetected damages the log of an index whose process was killed: whatever is
// flipped, cut or zeroed, the index is refused or has every row.
func TestALogThatLostItsEndIsDetected(t *testing.T) {
	dir, rows, faults := t.TempDir(), 40, suite.RotIndexLog.Cases()
	killed := t.TempDir()
	c := openTemp(t, dir, Options{})
	for i := range rows {
		update(t, c, func(tx *Tx) error { return tx.PutTessera(Tessera{ID: id(byte(i)), Title: fmt.Sprint("tessera ", i)}) })
	}
	must(t, os.CopyFS(killed, os.DirFS(dir))) // as a killed process leaves it
	must(t, c.Close())
	logs, err := filepath.Glob(filepath.Join(killed, "*.mem"))
	must(t, err)
	if len(logs) != 1 {
		t.Fatalf("logs %v", logs)
	}
	whole, err := os.ReadFile(logs[0])
	must(t, err)
	end := len(whole)
	for end > 0 && whole[end-1] == 0 {
		end--
	}
	rng := rand.New(rand.NewPCG(suite.Seed(t), 0))
	refused := 0
	for i := range faults {
		at := rng.IntN(end)
		switch i {
		case 0:
			at = end - 1 // in the last entry, which looks like the torn end of a write
		case 1:
			at = 25 // in the first one: nothing is left
		}
		b := slices.Clone(whole)
		switch i % 3 {
		case 0:
			b[at] ^= 1 << rng.IntN(8)
		case 1:
			b = b[:at]
		default:
			clear(b[at:min(at+512, end)])
		}
		into := t.TempDir()
		must(t, os.CopyFS(into, os.DirFS(killed)))
		must(t, os.WriteFile(filepath.Join(into, filepath.Base(logs[0])), b, 0o600))
		if opensWhole(t, into, rows) {
			continue
		}
		refused++
	}
	t.Logf("%d of the faults in a log of %d bytes refused", refused, end)
	suite.RotIndexLog.Executed(t, faults, "faults in the log of an index")
	if refused < faults*3/4 { // a few may hit what says nothing
		t.Errorf("only %d of %d were refused", refused, faults)
	}
	if !opensWhole(t, killed, rows) {
		t.Error("an index whose process was killed is refused")
	}
}

// opensWhole tells whether an index opens; it must then have all its rows.
func opensWhole(t *testing.T, dir string, rows int) bool {
	t.Helper()
	c, err := Open(dir, Options{Ballast: -1})
	if err != nil {
		wantError(t, err, ErrDamaged)
		return false
	}
	defer closeQuietly(t, c)
	view(t, c, func(tx *Tx) error {
		list, err := all(tx.Tesseras())
		if len(list) != rows {
			t.Errorf("opened with %d of %d rows", len(list), rows)
		}
		return err
	})
	return true
}

func TestClearBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	if !c.Fresh() {
		t.Error("an index that was not there is not fresh")
	}
	update(t, c, func(tx *Tx) error { return tx.PutTessera(Tessera{ID: id(1)}) })
	wantError(t, Clear(dir, Options{LockWait: -1}), ErrInUse)
	must(t, c.Close())
	c = openTemp(t, dir, Options{})
	if c.Fresh() {
		t.Error("an index that was there is fresh")
	}
	must(t, c.Close())
	must(t, os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("rotten"), 0o600))
	must(t, Clear(dir, Options{}))
	c = openTemp(t, dir, Options{})
	list := []Tessera(nil)
	view(t, c, func(tx *Tx) (err error) { list, err = all(tx.Tesseras()); return err })
	if !c.Fresh() || len(list) != 0 {
		t.Errorf("cleared, it has %d rows", len(list))
	}
}

func TestDamageGoesWithTheNeedOrWhenItIsMadeGood(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		ref := FragmentRef{Tessera: id(1), Index: 2, Hash: hash(1), Size: 7}
		add := func(tx *Tx) error { _, err := tx.AddFragment(ref); return err }
		damaged := func() (n int) {
			view(t, c, func(tx *Tx) error {
				list, err := all(tx.Damages())
				n = len(list)
				some, err2 := tx.AnyDamage()
				same(t, some, n > 0)
				return errors.Join(err, err2)
			})
			return n
		}
		update(t, c, add)
		update(t, c, func(tx *Tx) error {
			return errors.Join(
				tx.AddBlobRef(BlobRef{Tessera: id(3), Memory: hash(1), Name: "a", Hash: hash(1), Size: 7}),
				tx.AddBlobRef(BlobRef{Tessera: id(3), Memory: hash(1), Name: "b", Hash: hash(1), Size: 7}))
		})
		update(t, c, func(tx *Tx) error { return tx.PutDamage(Damage{Hash: hash(1), Found: noon, Lost: true}) })
		view(t, c, func(tx *Tx) error {
			d, err := tx.Damage(hash(1))
			same(t, d, Damage{hash(1), noon, true})
			uses, err2 := tx.Uses(hash(1))
			if len(uses) != 3 || uses[0].Name != "a" || uses[1].Name != "b" || !uses[2].Fragment || uses[2].Index != 2 {
				t.Errorf("uses %+v", uses)
			}
			return errors.Join(err, err2)
		})
		update(t, c, func(tx *Tx) error {
			was, err := tx.Healed(hash(1))
			same(t, was, true)
			return err
		})
		same(t, damaged(), 0)

		update(t, c, func(tx *Tx) error { return tx.PutDamage(Damage{Hash: hash(1), Found: noon}) })
		update(t, c, func(tx *Tx) error { // somebody brings it anew
			return tx.AddBlobRef(BlobRef{Tessera: id(4), Memory: hash(1), Name: "a", Hash: hash(1), Size: 7})
		})
		same(t, damaged(), 0)

		update(t, c, func(tx *Tx) error { return tx.PutDamage(Damage{Hash: hash(1), Found: noon}) })
		update(t, c, func(tx *Tx) error {
			_, err := tx.DropFragment(id(1), 2)
			_, _, err2 := tx.DropBlobRefs(id(3), 10)
			return errors.Join(err, err2)
		})
		same(t, damaged(), 1)
		update(t, c, func(tx *Tx) error { _, _, err := tx.DropBlobRefs(id(4), 10); return err })
		same(t, damaged(), 0)
	})
}
