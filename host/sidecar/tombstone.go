package sidecar

import (
	"errors"
	"log/slog"

	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// MaxTombstone is the ceiling of a tombstone in bytes; they are all about 400.
const MaxTombstone = 4 << 10

// Buried tells whether a shelf keeps a tombstone of a tessera that its owner signed. Only that deletes:
// one that is rotten, or anybody else's, is told of and says nothing.
func (s *Shelf) Buried(id sdk.TesseraID, owner sdk.OwnerKey, log *slog.Logger) (bool, error) {
	doc, err := s.Read(id, Tombstone, MaxTombstone)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil && !errors.Is(err, ErrTooBig) {
		return false, err
	}
	if err == nil {
		err = checkTombstone(doc, id, owner)
	}
	if err != nil {
		log.Error("a tombstone is not the owner's, nothing is deleted for it", "tessera", id.Short(), "err", err)
	}
	return err == nil, nil
}

func checkTombstone(doc []byte, id sdk.TesseraID, owner sdk.OwnerKey) error {
	t, err := tessera.TombstoneOf(id, doc)
	if err != nil {
		return err
	}
	return t.Verify(owner)
}
