package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) showVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:               "show ID",
		Short:             "Show what a tessera holds",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.show(ctx, args[0]) })
}

// shown is the result of show.
type shown struct {
	localapi.Details
	Files   int `json:"files"`
	Folders int `json:"folders"` // the empty ones
}

func (a *app) show(ctx context.Context, id string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	d, err := client.Show(ctx, id)
	if err != nil {
		return err
	}
	r := shown{Details: d}
	for _, e := range d.Entries {
		if e.Folder {
			r.Folders++
		} else {
			r.Files++
		}
	}
	return a.print(r, r.human)
}

func (r shown) human(w io.Writer) {
	row(w, "id", r.ID.String())
	row(w, "title", title(r.Title))
	row(w, "owner", r.Owner.String())
	row(w, "created", day(r.Created))
	row(w, "size", size(r.SizeBytes)+" in "+count(r.Files, "file"))
	row(w, "health", r.Health)
	row(w, "tier", r.Tier+", "+size(r.PackedBytes)+" packed")
	row(w)
	row(w, "MODIFIED", "SIZE", "TYPE", "NAME")
	for _, e := range r.Entries {
		if e.Folder {
			row(w, day(e.Modified), "-", "folder", printable(e.Path)+"/")
			continue
		}
		row(w, day(e.Modified), size(e.SizeBytes), e.MediaType, printable(e.Path))
	}
}
