package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) fetchVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:               "fetch ID DIR",
		Short:             "Restore a tessera from the network into a new folder",
		Long:              "Restore a tessera into a new folder, from the network alone if need be. The folder appears when every\nbyte was found to be as its owner signed it. What was fetched before an interruption is not fetched again.",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.fetch(ctx, args[0], args[1]) })
}

func (a *app) fetch(ctx context.Context, id, dir string) error {
	if err := named(dir); err != nil {
		return err
	}
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	meter := a.meter()
	defer meter.close()
	body, err := client.Fetch(ctx, id, meter.report)
	if err != nil {
		return err
	}
	defer body.Close()
	r, err := unpack(ctx, meter, body, dir, false)
	if err != nil {
		return err
	}
	meter.close()
	return a.tellWritten(r)
}
