package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

var strayID = sdk.TesseraID(digest.Of([]byte("a tessera")))

// shard is where a fragment lies in the old layout.
func shard(index int) string {
	return fmt.Sprintf("%s/%s/%03d%s", FragmentsFolder, strayID, index, ShardExtension)
}

// reads tells which files are opened.
type reads struct {
	vfs.FS
	opened []string
}

// Open implements vfs.FS.
func (r *reads) Open(name string) (vfs.File, error) {
	r.opened = append(r.opened, name)
	return r.FS.Open(name)
}

// logged opens a data directory as a node does and gives what it said.
func logged(t testing.TB, disk vfs.FS, rows *catalog.Catalog, c Config) (Report, string) {
	t.Helper()
	h, err := openHome(disk, rows)
	must(t, err)
	var log bytes.Buffer
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	r, err := Open(t.Context(), h.Deps, c)
	must(t, err)
	return r, log.String()
}

func objectOf(content string) string { return cas.Path(digest.Of([]byte(content))) }

// TestWhatCameOverEarlierMayRot damages and loses objects that are over: a file that appears in the old
// layout later comes over all the same, and nothing else is read.
func TestWhatCameOverEarlierMayRot(t *testing.T) {
	tree := oldTree{shard(0): "rots", shard(1): "is lost", shard(2): "stays whole"}
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree.write(t, disk)
	_, err := migrate(disk, rows, Config{})
	must(t, err)
	must(t, disk.Damage(objectOf("rots"), func([]byte) []byte { return []byte("ROTS") }))
	must(t, disk.Remove(objectOf("is lost")))

	late := oldTree{shard(3): "late"}
	late.write(t, disk)
	watched := &reads{FS: disk}
	r, _ := logged(t, watched, rows, Config{})
	if want := 4; r.Fragments != want || r.Left != 0 {
		t.Errorf("report %+v, want %d fragments", r, want)
	}
	must(t, late.over(disk, rows))
	for _, name := range watched.opened {
		if strings.HasPrefix(name, "objects/") && strings.HasSuffix(name, ".blob") && name != objectOf("late") {
			t.Errorf("%s was read again", name)
		}
	}
}

// TestAnOldFileMakesItsObjectGood lays the file again that a damaged object came from.
func TestAnOldFileMakesItsObjectGood(t *testing.T) {
	tree := oldTree{shard(0): "rots", shard(1): "is lost"}
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree.write(t, disk)
	_, err := migrate(disk, rows, Config{})
	must(t, err)
	must(t, disk.Damage(objectOf("rots"), func([]byte) []byte { return []byte("ROTS") }))
	must(t, disk.Remove(objectOf("is lost")))
	must(t, rows.Update(func(tx *catalog.Tx) error {
		return errors.Join(
			tx.PutDamage(catalog.Damage{Hash: digest.Of([]byte("rots")), Found: time.Unix(1, 0)}),
			tx.PutDamage(catalog.Damage{Hash: digest.Of([]byte("is lost")), Found: time.Unix(1, 0), Lost: true}))
	}))
	tree.write(t, disk)
	_, err = migrate(disk, rows, Config{})
	must(t, errors.Join(err, tree.over(disk, rows)))
	must(t, rows.View(func(tx *catalog.Tx) error {
		damaged, err := tx.AnyDamage()
		if damaged {
			t.Error("the index says that it is still damaged")
		}
		return err
	}))
}

// TestWhatIsLeftStaysAndIsNoNews starts again and again beside a fragment that contradicts the one that
// came over.
func TestWhatIsLeftStaysAndIsNoNews(t *testing.T) {
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree := oldTree{shard(0): "the first"}
	tree.write(t, disk)
	const over = "the old layout was brought over"
	if _, log := logged(t, disk, rows, Config{}); !strings.Contains(log, over) {
		t.Errorf("said %s", log)
	}
	oldTree{shard(0): "another"}.write(t, disk)
	for range 2 {
		r, log := logged(t, disk, rows, Config{})
		if r.Left != 1 || strings.Contains(log, over) {
			t.Errorf("report %+v, said %s", r, log)
		}
		if got, err := disk.Content(shard(0)); err != nil || string(got) != "another" {
			t.Errorf("%q, %v is left", got, err)
		}
	}
	if h, err := openHome(disk, rows); err != nil || rows.View(func(tx *catalog.Tx) error { return referred(tx, shard(0), digest.Of([]byte("the first"))) }) != nil {
		t.Errorf("%v: the first is forgotten in %v", err, h)
	}
}

// TestADamagedDocumentKeepsTheOldFiles damages what was noted of a tessera: others come over, its own
// files wait.
func TestADamagedDocumentKeepsTheOldFiles(t *testing.T) {
	other := "fragments/" + strings.Repeat("ab", 32) + "/000.shard"
	for name, spoil := range map[string]func([]byte) []byte{
		"rotten":  func(doc []byte) []byte { return append([]byte("x"), doc[1:]...) },
		"empty":   func([]byte) []byte { return nil },
		"too big": func([]byte) []byte { return make([]byte, MaxDocument+1) },
	} {
		t.Run(name, func(t *testing.T) {
			disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
			oldTree{shard(0): "first"}.write(t, disk)
			_, err := migrate(disk, rows, Config{})
			must(t, err)
			doc := Folder + "/" + strayID.String()[:2] + "/" + strayID.String() + Extension
			must(t, disk.Damage(doc, spoil))
			before, err := disk.Content(doc)
			must(t, err)

			oldTree{shard(1): "second", other: "another's"}.write(t, disk)
			r, log := logged(t, disk, rows, Config{})
			if r.Left != 1 || r.Fragments != 1 || !strings.Contains(log, shard(1)) {
				t.Errorf("report %+v, said %s", r, log)
			}
			must(t, rows.View(func(tx *catalog.Tx) error { return referred(tx, other, digest.Of([]byte("another's"))) }))
			if got, err := disk.Content(shard(1)); err != nil || string(got) != "second" {
				t.Errorf("%q, %v is left", got, err)
			}
			if after, err := disk.Content(doc); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the document was written over: %v", err)
			}
		})
	}
}

// TestADamagedDocumentIsAskedAgain makes the index anew beside a document that cannot be read, and then
// puts that back.
func TestADamagedDocumentIsAskedAgain(t *testing.T) {
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	look := func(known, readable bool) {
		t.Helper()
		reason, err := Unreadable(t.Context(), disk)
		if err != nil || (reason == "") != readable {
			t.Errorf("unreadable is %q, %v", reason, err)
		}
		if got, err := Recalled(rows, disk); err != nil || got != known {
			t.Errorf("recalled %t, %v", got, err)
		}
	}
	look(true, true) // where there is no old layout there is nothing to know
	tree := oldTree{shard(0): "first"}
	tree.write(t, disk)
	_, err := migrate(disk, rows, Config{})
	must(t, err)
	look(true, true)

	doc := Folder + "/" + strayID.String()[:2] + "/" + strayID.String() + Extension
	whole, err := disk.Content(doc)
	must(t, err)
	must(t, disk.Damage(doc, func([]byte) []byte { return whole[:len(whole)-1] }))
	rows = newRows(t)
	_, err = migrate(disk, rows, Config{})
	must(t, err)
	look(false, false)
	must(t, disk.Damage(doc, func([]byte) []byte { return whole }))
	look(false, true)
	_, err = migrate(disk, rows, Config{})
	must(t, errors.Join(err, tree.over(disk, rows)))
	look(true, true)
}

// TestNoDocumentIsWrittenThatCannotBeRead lets a tessera have more files than a document holds.
func TestNoDocumentIsWrittenThatCannotBeRead(t *testing.T) {
	tree := oldTree{}
	for i := range 20 {
		tree[shard(i)] = fmt.Sprint("content ", i)
	}
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree.write(t, disk)
	r, log := logged(t, disk, rows, Config{MaxDocument: 500})
	if r.Left != len(tree) || r.Fragments != 0 || !strings.Contains(log, "at most 500") {
		t.Errorf("report %+v, said %s", r, log)
	}
	for name, content := range tree {
		if got, err := disk.Content(name); err != nil || string(got) != content {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err := migrate(disk, rows, Config{})
	must(t, errors.Join(err, tree.over(disk, rows)))
}
