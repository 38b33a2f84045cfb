package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

func (a *app) exportVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "export ID DIR",
		Short: "Write a tessera here as a plain folder, with its documents",
		Long: "Write a tessera as a plain folder that can be read without this software. The folder _tessera in it\n" +
			"has the signed documents and a text that says how to read them.",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.export(ctx, args[0], args[1]) })
}

// written is the result of export and fetch.
type written struct {
	ID        sdk.TesseraID     `json:"id"`
	Dir       string            `json:"dir"`
	Files     int               `json:"files"`
	SizeBytes int64             `json:"size_bytes"`
	Sources   []localapi.Source `json:"sources,omitempty"` // the holders it came from
}

func (a *app) export(ctx context.Context, id, dir string) error {
	if err := named(dir); err != nil {
		return err
	}
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	body, err := client.Packed(ctx, id)
	if err != nil {
		return err
	}
	defer body.Close()
	meter := a.meter()
	defer meter.close()
	r, err := unpack(ctx, meter, body, dir, true)
	if err != nil {
		return err
	}
	meter.close()
	return a.tellWritten(r)
}

// unpack makes a folder of a packed tar. The folder appears when every byte was found right.
func unpack(ctx context.Context, m *meter, body *localapi.Body, dir string, documents bool) (written, error) {
	tar := m.counter("writing", body.Size).reader(body)
	manifest, err := tessera.UnpackTo(ctx, tar, dir, tessera.UnpackOptions{ID: body.ID, Documents: documents})
	var said *localapi.Error
	switch {
	case errors.As(err, &said):
		return written{}, said // by the node, which has named what was wrong
	case errors.Is(err, tessera.ErrDestination):
		return written{}, localapi.Fail(localapi.CodeFailed, "name a folder that is not there yet, or an empty one", err)
	case errors.Is(err, tessera.ErrCollision):
		return written{}, localapi.Fail(localapi.CodeFailed, "choose a folder on a disk that tells upper from lower case", err)
	case err != nil:
		return written{}, unwritten(dir, err)
	}
	h := manifest.Head
	return written{ID: body.ID, Dir: dir, Files: h.Files, SizeBytes: h.Bytes, Sources: body.Sources}, nil
}

// unwritten says why a folder could not be made where it was to be.
func unwritten(dir string, err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		hint = "a part of that path is a file: name a folder in another place"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		hint = "name a folder in a place where this user may write"
	default:
		return err
	}
	return localapi.Fail(localapi.CodeFailed, hint, fmt.Errorf("write %s: %w", dir, path.Err))
}

func (a *app) tellWritten(r written) error {
	return a.print(r, func(w io.Writer) {
		row(w, count(r.Files, "file")+", "+size(r.SizeBytes)+", every byte as its owner signed it, in "+printable(localapi.Name(r.Dir)))
		if n := len(r.Sources); n > 0 {
			row(w, "restored from "+count(n, "holder"))
		}
	})
}
