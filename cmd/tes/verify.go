package main

import (
	"context"
	"fmt"
	"io"

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
	if !r.OK {
		return localapi.Fail(localapi.CodeFailed, "the network can give it back: "+a.command("tes fetch")+" "+v.ID.String()+" DIR",
			fmt.Errorf("%s: %s", short(v.ID), count(len(v.Damage), "damaged part")))
	}
	return nil
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
