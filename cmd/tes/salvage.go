package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/salvage"
)

func (a *app) salvageVerb() *cobra.Command {
	var to string
	var verifyOnly bool
	cmd := a.does(&cobra.Command{
		Use:   "salvage DIR... --to OUT",
		Short: "Rebuild what copied data directories still allow",
		Long: "Rebuild tesseras from copied data directories, or from what is left of them, without a node, keys or\n" +
			"network. Every file below each DIR is read; where it lies and what it is called does not matter. Each\n" +
			"tessera gets a folder in OUT, named by its id, when every byte of it was found right. Where that cannot\n" +
			"be, its intact files go to ID-incomplete. Nothing below DIR is changed.",
		Args: cobra.MinimumNArgs(1),
		PreRunE: func(*cobra.Command, []string) error {
			if to == "" && !verifyOnly {
				return errors.New("salvage: say where to with --to, or --verify-only")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}, func(ctx context.Context, args []string) error {
		if verifyOnly {
			to = ""
		}
		return a.salvage(ctx, args, to)
	})
	cmd.Flags().StringVar(&to, "to", "", "the `FOLDER` to write to")
	cmd.Flags().BoolVar(&verifyOnly, "verify-only", false, "write nothing, say what could be saved")
	return cmd
}

func (a *app) salvage(ctx context.Context, folders []string, to string) error {
	meter := a.meter()
	r, err := salvage.Run(ctx, folders, salvage.Options{
		To: to, Logger: a.log(),
		Progress: func(read int64) {
			meter.report(localapi.Progress{Stage: "reading", Done: read, Total: read, Unit: localapi.Bytes})
		},
	})
	meter.close()
	if errors.Is(err, salvage.ErrNoFolder) {
		return localapi.Fail(localapi.CodeNotFound, "name folders that are there", err)
	}
	if err != nil {
		return err
	}
	if err := a.print(r, func(w io.Writer) { tellSalvage(w, r, to == "") }); err != nil {
		return err
	}
	return salvageVerdict(r)
}

// salvageVerdict says whether all was saved, a part, or nothing.
func salvageVerdict(r *salvage.Report) error {
	more := "name more copied data directories, from other holders"
	switch {
	case len(r.Saved)+len(r.Partly) == 0 && len(r.Deleted) > 0 && len(r.Lost) == 0:
		return nil
	case len(r.Saved)+len(r.Partly) == 0:
		return localapi.Fail(localapi.CodeCannotRestore, more, fmt.Errorf("nothing could be saved: %s known, %s read",
			count(len(r.Lost), "tessera"), count(r.Files, "file")))
	case !r.Complete():
		return localapi.Fail(localapi.CodePartly, more, fmt.Errorf("%s only in part, %s not at all",
			count(len(r.Partly), "tessera"), count(len(r.Lost), "tessera")))
	}
	return nil
}

func tellSalvage(w io.Writer, r *salvage.Report, verifyOnly bool) {
	for _, t := range r.Saved {
		tellSaved(w, t, verifyOnly)
	}
	for _, t := range r.Partly {
		tellSaved(w, t, verifyOnly)
		for _, m := range t.Missing {
			row(w, "  missing", printable(localapi.Name(m.Path)), m.Why)
		}
	}
	for _, t := range r.Lost {
		row(w, "lost", short(t.ID), title(localapi.Name(t.Title)), t.Why)
	}
	for _, t := range r.Deleted {
		row(w, "deleted", short(t.ID), title(localapi.Name(t.Title)), t.Why)
	}
	for _, u := range r.Unplanned {
		row(w, "unplanned", short(u.Tessera), fmt.Sprintf("fragment %d", u.Index), printable(localapi.Name(u.Path)))
	}
	for _, d := range r.Damaged {
		row(w, "damaged", printable(localapi.Name(d.Path)), d.Why)
	}
	row(w, fmt.Sprintf("%s read, %s", count(r.Files, "file"), size(r.Bytes)))
}

func tellSaved(w io.Writer, t salvage.Saved, verifyOnly bool) {
	what := "saved"
	switch {
	case t.Already:
		what = "there already"
	case verifyOnly:
		what = "can be saved"
	}
	if len(t.Missing) > 0 {
		what += " in part"
	}
	row(w, what, short(t.ID), title(localapi.Name(t.Title)), count(t.Files, "file")+", "+size(t.Bytes), "from "+orDash(t.From), printable(localapi.Name(t.Dir)))
}
