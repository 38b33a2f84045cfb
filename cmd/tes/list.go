package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) listVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List my tesseras",
		Args:    cobra.NoArgs,
	}, a.list)
}

// listed is the result of list.
type listed struct {
	Tesseras []localapi.Summary `json:"tesseras"`
}

func (a *app) list(ctx context.Context, _ []string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.List(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		a.note("no tesseras yet: %s DIR", a.command("tes create"))
	}
	return a.print(listed{list(all)}, func(w io.Writer) {
		if len(all) > 0 {
			row(w, "ID", "CREATED", "SIZE", "HEALTH", "TITLE")
		}
		for _, t := range all {
			row(w, short(t.ID), day(t.Created), size(t.SizeBytes), t.Health, title(t.Title))
		}
	})
}
