package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Created tells what Create made.
type Created struct {
	ID        sdk.TesseraID
	Title     string
	Created   time.Time
	Files     int
	SizeBytes int64 // sum of the files
	NewBytes  int64 // of them, what was not here before
}

// Create makes a tessera of a folder, which comes as the stream that tessera.WriteFolder writes. When
// it returns nil the tessera is visible, whole and on stable storage; otherwise nothing of it is.
//
// Memory stays bounded whatever the folder holds, but for the file list. The errors to decide on are
// those of tessera.ReadFolder and *cas.NoSpaceError.
func (a *Archive) Create(ctx context.Context, folder io.Reader) (Created, error) {
	made, err := a.create(ctx, folder)
	if err != nil {
		return Created{}, fmt.Errorf("create: %w", err)
	}
	a.log.Info("tessera created", "tessera", made.ID.Short(), "files", made.Files, "bytes", made.SizeBytes, "new_bytes", made.NewBytes)
	return made, nil
}

func (a *Archive) create(ctx context.Context, folder io.Reader) (Created, error) {
	if err := a.cas.Room(0); err != nil {
		return Created{}, err
	}
	batch := a.cas.Batch()
	made, err := a.fill(ctx, batch, folder)
	if err != nil {
		return Created{}, errors.Join(err, a.giveBack(ctx, batch))
	}
	batch.Close()
	return made, nil
}

// fill does all of create between the beginning and the end of its batch.
func (a *Archive) fill(ctx context.Context, batch *cas.Batch, folder io.Reader) (Created, error) {
	in := intake{batch: batch}
	title, err := tessera.ReadFolder(ctx, folder, func(e tessera.Entry, body io.Reader) error {
		return in.add(ctx, e, body)
	})
	if err != nil {
		return Created{}, err
	}
	m, err := tessera.Seal(in.list, title, a.now(), a.owner)
	if err != nil {
		return Created{}, err
	}
	a.cfg.reached(intentCreate + ": staged")
	if err := batch.Sync(); err != nil {
		return Created{}, err
	}
	if err := a.keep(ctx, m); err != nil {
		return Created{}, err
	}
	return Created{
		ID: m.ID(), Title: title, Created: m.Head.Created, Files: m.Head.Files,
		SizeBytes: m.Head.Bytes, NewBytes: in.newBytes,
	}, nil
}

// giveBack ends the batch of a creation that failed and removes what only that brought. It goes on
// when ctx is done, because that is why most creations fail.
func (a *Archive) giveBack(ctx context.Context, batch *cas.Batch) error {
	if err := batch.Discard(a.catalog.Needed); err != nil {
		return err
	}
	_, err := a.catalog.Collect(context.WithoutCancel(ctx), a.cas)
	return err
}

// intake gathers the file list of a folder while its files go into a batch.
type intake struct {
	batch    *cas.Batch
	list     tessera.FileList
	newBytes int64
}

func (in *intake) add(ctx context.Context, e tessera.Entry, body io.Reader) error {
	if !e.Folder {
		o, err := in.batch.Stage(ctx, body)
		if err != nil {
			return err
		}
		e.Hash, e.Size = o.Hash, o.Size
		if !o.Duplicate {
			in.newBytes += o.Size
		}
	}
	in.list = append(in.list, e)
	return nil
}

// keep makes a sealed tessera visible. Its objects are durable and pinned. A tessera of this id
// that is visible already is the same one.
func (a *Archive) keep(ctx context.Context, m *tessera.Manifest) error {
	id := m.ID()
	there, err := a.begin(id)
	if err != nil || there {
		return err
	}
	defer a.unclaim(id)
	a.cfg.reached(intentCreate + ": intent")
	if err := a.record(m); err != nil {
		// What cannot be taken back now, Recover takes back later: the intent stays.
		return errors.Join(err, a.drain(context.WithoutCancel(ctx), id, intentCreate))
	}
	a.cfg.reached(intentCreate + ": visible")
	return nil
}

// begin claims an id and writes the intent, unless a tessera of this id is there.
func (a *Archive) begin(id sdk.TesseraID) (there bool, err error) {
	deleted, err := a.plans.Has(id, sidecar.Tombstone)
	if err != nil {
		return false, err
	}
	if deleted {
		return false, fmt.Errorf("%s: %w", id.Short(), ErrDeleted)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.claimLocked(id) {
		return false, fmt.Errorf("%s: %w", id.Short(), ErrBusy)
	}
	err = a.catalog.Update(func(tx *catalog.Tx) error {
		_, err := tx.Tessera(id)
		if there = err == nil; there || !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		return tx.PutIntent(catalog.Intent{Tessera: id, Kind: intentCreate, Started: a.now()})
	})
	if err != nil || there {
		delete(a.busy, id)
	}
	return there, err
}

// record writes references, manifest and at last the visible row.
func (a *Archive) record(m *tessera.Manifest) error {
	id := m.ID()
	if err := a.refer(m); err != nil {
		return err
	}
	a.cfg.reached(intentCreate + ": references")
	if err := a.manifests.Write(id, sidecar.Manifest, m.Bytes()); err != nil {
		return err
	}
	a.cfg.reached(intentCreate + ": manifest")
	return a.catalog.Update(func(tx *catalog.Tx) error {
		if err := tx.PutTessera(row(m)); err != nil {
			return err
		}
		return tx.DropIntent(id, intentCreate)
	})
}

// refer writes the references to the files of a tessera.
func (a *Archive) refer(m *tessera.Manifest) error {
	id := m.ID()
	return catalog.UpdateEach(a.catalog, m.Entries, func(tx *catalog.Tx, e tessera.Entry) error {
		if e.Folder {
			return nil
		}
		return tx.AddBlobRef(catalog.BlobRef{Tessera: id, Memory: e.Hash, Name: e.Path, Hash: e.Hash, Size: e.Size})
	})
}

// row is what makes a tessera visible.
func row(m *tessera.Manifest) catalog.Tessera {
	return catalog.Tessera{
		ID: m.ID(), Title: m.Head.Title, Created: m.Head.Created, Files: m.Head.Files,
		Bytes: m.Head.Bytes, Packed: tessera.PackedSize(m),
	}
}
