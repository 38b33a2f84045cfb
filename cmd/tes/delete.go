package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) deleteVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:               "delete ID",
		Aliases:           []string{"rm"},
		Short:             "Delete a tessera, here and at its holders",
		Long:              "Delete a tessera: here at once, at its holders when they are told. The signed deletion is kept and is final.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.delete(ctx, args[0]) })
}

func (a *app) delete(ctx context.Context, id string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := client.Status(ctx, id)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("Delete %s (%s, %s) for good?", title(s.Title), short(s.ID), size(s.SizeBytes))
	if err := a.confirm(ctx, question); err != nil {
		return err
	}
	d, err := client.Delete(ctx, s.ID.String())
	if err != nil {
		return err
	}
	return a.print(d, func(w io.Writer) {
		row(w, fmt.Sprintf("deleted %s, %s freed", short(d.ID), size(d.FreedBytes)))
	})
}
