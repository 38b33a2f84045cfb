package scrub

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"syscall"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Documents are the plain files beside the objects.
type Documents interface {
	// All reads every document there is or should be, verifies it and gives what it found.
	All(ctx context.Context) iter.Seq2[Document, error]
	// Restored is told that a document which was known to be damaged reads as it should again, before that
	// is taken back: the index may have been built without it.
	Restored(ctx context.Context, d Document) error
}

// Document is what was found of a document.
type Document struct {
	Tessera sdk.TesseraID // zero for the journal
	Kind    string        // as the catalog names it
	Bytes   int64         // read
	Problem error         // nil when it is what it should be
}

// name tells one document from the others.
type name struct {
	tessera sdk.TesseraID
	kind    string
}

func (d Document) name() name { return name{d.Tessera, d.Kind} }

// documents reads every document. What was known against one that is whole now, or is gone with what it
// was needed for, is taken back.
func (s *Service) documents(ctx context.Context, paced bool) (r Report, err error) {
	known, err := s.badDocuments()
	if err != nil {
		return r, err
	}
	pace := s.pace(ctx, paced)
	for d, err := range s.Documents.All(ctx) {
		if err == nil {
			err = pace.pass(int(d.Bytes))
		}
		if err != nil {
			return r, err
		}
		was := known[d.name()]
		delete(known, d.name())
		one, err := s.document(ctx, d, was)
		r.add(one)
		if err != nil {
			return r, err
		}
	}
	for gone := range known {
		if err := s.acquit(gone); err != nil {
			return r, err
		}
	}
	return r, ctx.Err()
}

// document writes down what was found of one document. was tells that it was known to be damaged.
func (s *Service) document(ctx context.Context, d Document, was bool) (Report, error) {
	switch {
	case d.Problem == nil && !was:
		return Report{}, nil
	case d.Problem == nil:
		if err := s.Documents.Restored(ctx, d); err != nil {
			return Report{}, err
		}
		return Report{Healed: 1}, s.acquit(d.name())
	case passing(d.Problem):
		s.Log.Warn("a document cannot be looked at", "tessera", d.Tessera.Short(), "document", d.Kind, "err", d.Problem)
		return Report{}, nil
	}
	return Report{Corrupt: 1}, s.Accuse(d)
}

// passing tells what only went wrong today from what the disk gives wrong, or not at all.
func passing(err error) bool {
	var disk *fs.PathError
	return errors.As(err, &disk) && !errors.Is(err, syscall.EIO) && !errors.Is(err, fs.ErrNotExist)
}

// Accuse writes down that a document is damaged, for those who find that out in other ways.
func (s *Service) Accuse(d Document) error {
	if err := s.Objects.Mounted(); err != nil {
		return err // the disk is gone, which says nothing of what is on it
	}
	s.Log.Error("a document is damaged", "tessera", d.Tessera.Short(), "document", d.Kind, "err", d.Problem)
	return s.Catalog.Reclaim(func(tx *catalog.Tx) error {
		return tx.PutBadDocument(catalog.BadDocument{Tessera: d.Tessera, Kind: d.Kind, Found: s.Now(), Problem: d.Problem.Error()})
	})
}

// acquit takes back what was known against a document.
func (s *Service) acquit(n name) error {
	return s.Catalog.Reclaim(func(tx *catalog.Tx) error { return tx.DropBadDocument(n.tessera, n.kind) })
}

func (s *Service) badDocuments() (known map[name]bool, err error) {
	known = map[name]bool{}
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for d, err := range tx.BadDocuments() {
			if err != nil {
				return err
			}
			known[name{d.Tessera, d.Kind}] = true
		}
		return nil
	})
	return known, err
}
