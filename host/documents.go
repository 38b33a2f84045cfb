package host

import (
	"errors"
	"io/fs"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/sdk"
)

// documents gives the services plans and tombstones as they lie beside the index.
type documents struct{ shelf *sidecar.Shelf }

// Plan reads a plan; a missing one is fs.ErrNotExist.
func (d documents) Plan(t sdk.TesseraID) ([]byte, error) {
	return d.read(t, sidecar.Plan, fragment.MaxPlan)
}

// PutPlan keeps a plan durably.
func (d documents) PutPlan(t sdk.TesseraID, text []byte) error {
	return d.shelf.Write(t, sidecar.Plan, text)
}

// DropPlan removes a plan.
func (d documents) DropPlan(t sdk.TesseraID) error { return d.shelf.Remove(t, sidecar.Plan) }

// Tombstone reads a tombstone; a missing one is fs.ErrNotExist.
func (d documents) Tombstone(t sdk.TesseraID) ([]byte, error) {
	return d.read(t, sidecar.Tombstone, sidecar.MaxTombstone)
}

// PutTombstone keeps a tombstone durably.
func (d documents) PutTombstone(t sdk.TesseraID, text []byte) error {
	return d.shelf.Write(t, sidecar.Tombstone, text)
}

func (d documents) read(t sdk.TesseraID, ext string, limit int64) ([]byte, error) {
	text, err := d.shelf.Read(t, ext, limit)
	if errors.Is(err, sidecar.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	return text, err
}
