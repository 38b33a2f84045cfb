package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) verifyVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:               "verify ID",
		Short:             "Check the signature and every byte of a tessera here",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.verify(ctx, args[0]) })
}

// verified is the result of verify.
type verified struct {
	localapi.Verified
	OK bool `json:"ok"`
}

func (a *app) verify(ctx context.Context, id string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	meter := a.meter()
	v, err := client.Verify(ctx, id, meter.report)
	meter.close()
	if err != nil {
		return err
	}
	r := verified{v, len(v.Damage) == 0}
	if err := a.print(r, r.human); err != nil {
		return err
	}
	if r.OK {
		return nil
	}
	err = fmt.Errorf("%s: %s", short(v.ID), count(len(v.Damage), "damaged part"))
	return localapi.Fail(localapi.CodeFailed, a.cure(ctx, client, v), err)
}

// cure says what helps against damage: peers, where the tessera was published.
func (a *app) cure(ctx context.Context, client *localapi.Client, v localapi.Verified) string {
	s, err := client.Status(ctx, v.ID.String())
	switch {
	case err != nil || s.Fragments.Total == 0:
		return "it was never published, so no peer can give it back: create it again from its folder"
	case slices.ContainsFunc(v.Damage, func(d localapi.Damage) bool { return d.Path == "" }):
		return "the network can give it back: " + a.command("tes fetch") + " " + v.ID.String() + " DIR"
	}
	return "the network can give it back: " + a.command("tes repair run") + " " + v.ID.String()
}

func (r verified) human(w io.Writer) {
	for _, d := range r.Damage {
		row(w, "damaged", damaged(d))
	}
	if r.OK {
		row(w, fmt.Sprintf("%s is whole: the signature and every byte of %s, %s", short(r.ID), count(r.Files, "file"), size(r.SizeBytes)))
	}
}

func damaged(d localapi.Damage) string {
	switch {
	case d.Path != "":
		return printable(d.Path) + ": " + d.Problem
	case d.Fragment != nil:
		return fmt.Sprintf("fragment %d: %s", *d.Fragment, d.Problem)
	}
	return d.Problem
}
