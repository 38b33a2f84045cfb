package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// packer packs own tesseras. What it finds damaged on the way is written down like what a scrub finds, so
// that it shows in the status and is made good.
type packer struct{ *local }

var _ publish.Archive = packer{}

// Manifest implements publish.Archive.
func (p packer) Manifest(id sdk.TesseraID) (*tessera.Manifest, error) { return p.archive.Manifest(id) }

// Pack implements publish.Archive.
func (p packer) Pack(ctx context.Context, id sdk.TesseraID, w io.Writer) error {
	err := p.archive.Pack(ctx, id, w)
	if !errors.Is(err, archive.ErrDamaged) {
		return err
	}
	if lookErr := p.look(ctx, p.named(id, err)); lookErr != nil {
		p.log.Warn("what a damaged file is could not be written down", "tessera", id.Short(), "err", lookErr)
	}
	return err
}

// named gives the objects of the file that an error names, none where it names none.
func (l *local) named(id sdk.TesseraID, err error) (bad []digest.Hash) {
	var file *tessera.FileError
	if !errors.As(err, &file) {
		return nil
	}
	m, err := l.archive.Manifest(id)
	if err != nil {
		return nil
	}
	for _, e := range m.Entries {
		if e.Path == file.Path && !e.Folder {
			bad = append(bad, e.Hash)
		}
	}
	return bad
}

// listDamage is what is wrong with the document that lists the files of an own tessera, nothing where it is
// whole.
func (l *local) listDamage(id sdk.TesseraID) []localapi.Damage {
	_, err := l.archive.Manifest(id)
	if !errors.Is(err, archive.ErrDamaged) {
		return nil
	}
	return []localapi.Damage{{Problem: err.Error()}}
}

// about is explain for an error about one tessera.
func (l *local) about(id sdk.TesseraID, err error) error {
	switch {
	case errors.Is(err, archive.ErrNotFound):
		if gone := l.deleted(id); gone != nil {
			return explain(gone)
		}
		return explain(fmt.Errorf("%s: %w", id, archive.ErrNotFound))
	case errors.Is(err, archive.ErrDamaged):
		return localapi.Fail(localapi.CodeFailed, l.cure(id, err), err)
	}
	return explain(err)
}

// cure says what helps against damage of an own tessera.
func (l *local) cure(id sdk.TesseraID, err error) string {
	if _, missing := l.plan(id); missing != nil {
		return "tes verify " + id.Short() + " names every damaged part; it was never published, so no peer can give it back: create it again from its folder"
	}
	if errors.As(err, new(*tessera.FileError)) {
		return "tes repair run " + id.Short() + " gets it back from peers; tes verify names every damaged part"
	}
	return "tes fetch " + id.Short() + " DIR gets it back from peers"
}
