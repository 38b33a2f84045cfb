package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/cycle"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
)

// errDiskGone tells that the folder of the objects is not the one that the index speaks of: its disk is
// not mounted, or another one is in its place.
var errDiskGone = errors.New("the disk with the objects is not there")

// sentinelFile lies beside the objects and says which disk they are on. The index knows what it should
// say: an empty folder where a disk was is no loss of everything on it, and must not look like one.
const (
	sentinelFile = cas.Sentinel
	metaDisk     = "disk"
	sentinelSize = 26
)

// lookAgain is how long one look at the sentinel is believed.
const lookAgain = time.Second

// disk watches whether the objects' disk is there.
type disk struct {
	fs      vfs.FS
	catalog *catalog.Catalog
	log     *slog.Logger

	mu     sync.Mutex // guards below
	looked time.Time
	gone   error
}

// here gives nil while the disk is there, and errDiskGone, with what was found, while it is not.
func (d *disk) here() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.looked.IsZero() && time.Since(d.looked) < lookAgain {
		return d.gone
	}
	before, first := d.gone, d.looked.IsZero()
	d.gone, d.looked = d.look(), time.Now()
	switch {
	case d.gone != nil && (before == nil || first):
		d.log.Error("the objects are out of reach; this node answers maintenance until they are back", "err", d.gone)
	case d.gone == nil && before != nil:
		d.log.Info("the objects are back")
	}
	return d.gone
}

// look compares the sentinel with the index. A folder that never had one gets one; an index that knows of
// none believes the one that is there.
func (d *disk) look() error {
	var want []byte
	err := d.catalog.View(func(tx *catalog.Tx) (err error) {
		want, err = tx.Meta(metaDisk)
		return err
	})
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	have, err := d.read()
	switch {
	case len(want) > 0 && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is missing", errDiskGone, sentinelFile)
	case len(want) > 0 && err == nil && !bytes.Equal(want, have):
		return fmt.Errorf("%w: %s is another disk's", errDiskGone, sentinelFile)
	case len(want) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		if have, err = d.mark(); err != nil {
			return err
		}
	}
	return d.catalog.Reclaim(func(tx *catalog.Tx) error { return tx.PutMeta(metaDisk, have) })
}

func (d *disk) read() ([]byte, error) {
	f, err := d.fs.Open(sentinelFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, sentinelSize+1))
}

// mark writes a sentinel, durable before the index relies on it.
func (d *disk) mark() (id []byte, err error) {
	id = []byte(rand.Text())
	f, err := d.fs.Create(sentinelFile)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(id)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.fs.SyncDir(path.Dir(sentinelFile))
	}
	return id, err
}

// guard keeps a step of the maintenance cycle from running while the disk is gone: it would accuse, or
// delete, or repair what is not lost.
func (d *disk) guard(steps ...cycle.Step) []cycle.Step {
	for i, s := range steps {
		steps[i].Run = func(ctx context.Context) error {
			if err := d.here(); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			return s.Run(ctx)
		}
	}
	return steps
}

// front is the door that requests come through.
type front interface {
	Handle(wire.Kind, quicnet.Handler)
}

// behindDisk is a door at which every request is answered MAINTENANCE while the disk is gone: who asks
// learns that the node lives, and nothing about what it holds.
type behindDisk struct {
	front
	disk *disk
}

func (b behindDisk) Handle(kind wire.Kind, handle quicnet.Handler) {
	b.front.Handle(kind, func(ctx context.Context, from quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		if b.disk.here() != nil {
			return wire.Refuse(wire.Code_MAINTENANCE, "this node cannot look at its disk now").Later(time.Minute)
		}
		return handle(ctx, from, s, m)
	})
}
