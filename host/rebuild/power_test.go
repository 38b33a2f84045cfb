package rebuild

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
)

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultRebuild

// TestEveryCallFails lets every single call of a rebuild fail once with each error of a disk. Either the
// rebuild fails, and is to be done again, or all is there but for what a document says that it could not
// read, which is known to be damaged then. The files are not touched.
func TestEveryCallFails(t *testing.T) {
	disk := crashfs.New(crashfs.Options{})
	r := newRoomOn(t, disk)
	p := r.publish(stranger(t), "theirs")
	r.put(p.shards[0])
	r.put(p.shards[1])
	r.receipt(holders.RecordGiven, p, 0, r.who)
	h := r.put([]byte("here"))
	m, err := tessera.Seal(tessera.FileList{{Path: "here", Hash: h, Size: 4, ModTime: time.Unix(1, 0)}}, "mine", time.Unix(2, 0), r.who.Owner)
	must(t, err)
	must(t, r.manifests.Write(m.ID(), sidecar.Manifest, m.Bytes()))
	files := len(disk.Files())
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for at, failed := 1, true; failed; at++ {
			disk.FailAt(at, failure)
			c, report, err := r.rebuild()
			call := disk.Failed()
			disk.FailAt(0, nil)
			if failed = call != ""; failed {
				cases++
			}
			switch {
			case err != nil && (!failed || !errors.Is(err, failure)):
				t.Fatalf("%q fails: %v", call, err)
			case err == nil:
				r.isAllThere(call, c, report, h, m)
			}
		}
	}
	if len(disk.Files()) != files {
		t.Errorf("%d files, were %d", len(disk.Files()), files)
	}
	faultSize.Executed(t, cases, "failed calls of a rebuild")
}

// isAllThere tells whether an index knows everything, or what it could not read.
func (r *room) isAllThere(call string, c *catalog.Catalog, report Report, h digest.Hash, m *tessera.Manifest) {
	r.t.Helper()
	bad := 0
	view(r.t, c, func(tx *catalog.Tx) error {
		for _, err := range tx.BadDocuments() {
			must(r.t, err)
			bad++
		}
		if _, err := tx.Tessera(m.ID()); err != nil {
			r.t.Errorf("%q failed: the own tessera: %v", call, err)
		}
		return nil
	})
	if bad != report.Unreadable || bad == 0 && (report.Fragments != 2 || report.Plans != 1 || report.Missing != 0) {
		r.t.Errorf("%q failed: %+v, %d bad documents", call, report, bad)
	}
	needed, err := c.Needed(h)
	must(r.t, err)
	if !needed && bad == 0 {
		r.t.Errorf("%q failed: a file is not needed", call)
	}
}
