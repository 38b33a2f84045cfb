package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) gcVerb() *cobra.Command {
	o := localapi.GCOptions{}
	grace := durationFlag{value: -1}
	cmd := a.does(&cobra.Command{
		Use:   "gc",
		Short: "Remove what nobody needs from the disk now, not at the node's next round",
		Args:  cobra.NoArgs,
	}, func(ctx context.Context, _ []string) error {
		o.Grace = grace.value
		return a.gc(ctx, o)
	})
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would go")
	cmd.Flags().Var(&grace, "grace", "how old a file must be that nothing needs, as a time `D` (default 1h)")
	return cmd
}

func (a *app) gc(ctx context.Context, o localapi.GCOptions) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := client.GC(ctx, o)
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) { humanSwept(w, s) })
}

func humanSwept(w io.Writer, s localapi.Swept) {
	removed := "removed"
	if s.DryRun {
		removed = "would be removed"
	}
	row(w, fmt.Sprintf("%s and %s without references %s, %s freed, %s too young to judge", count(s.OrphansRemoved, "orphan"),
		count(s.LeakedRefsRemoved, "row"), removed, size(s.BytesFreed), count(s.SkippedYoung, "file")))
	if s.Postponed != "" {
		row(w, "nothing was removed: "+s.Postponed+"; try again in an hour")
	}
	if s.Doubt != "" {
		row(w, fmt.Sprintf("%s moved to trash and kept for 30 days: %s", count(s.Trashed, "orphan"), s.Doubt))
	}
	if s.Missing > 0 {
		row(w, fmt.Sprintf("%s needed and missing; tes scrub names them, tes repair run brings them back", count(s.Missing, "object")))
	}
}
