package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) scrubVerb() *cobra.Command {
	cmd := a.does(&cobra.Command{
		Use:   "scrub",
		Short: "Read every object on this disk and name what is damaged",
		Args:  cobra.NoArgs,
	}, func(ctx context.Context, _ []string) error { return a.scrub(ctx) })
	for _, v := range []struct {
		action localapi.ScrubAction
		short  string
	}{
		{localapi.ScrubStart, "Let the node read everything in the background, now"},
		{localapi.ScrubPause, "Keep the node from reading in the background, until resume"},
		{localapi.ScrubResume, "Let the node go on reading in the background"},
		{localapi.ScrubLook, "Say how far it has come, and what is damaged"},
	} {
		cmd.AddCommand(a.does(&cobra.Command{Use: string(v.action), Short: v.short, Args: cobra.NoArgs},
			func(ctx context.Context, _ []string) error { return a.scrubControl(ctx, v.action) }))
	}
	return cmd
}

func (a *app) scrub(ctx context.Context) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	meter := a.meter()
	s, err := client.Scrub(ctx, meter.report)
	meter.close()
	if err != nil {
		return err
	}
	s.Damage = list(s.Damage)
	err = a.print(s, func(w io.Writer) {
		row(w, fmt.Sprintf("%s read, %s: %d damaged, %d healed", count(s.Objects, "object"), size(s.Bytes), s.Corrupt, s.Healed))
		humanHits(w, s.Damage)
	})
	if err == nil && s.Corrupt > 0 {
		err = localapi.Fail(localapi.CodeFailed, "peers can give it back: "+a.command("tes repair run"),
			fmt.Errorf("%s damaged", count(s.Corrupt, "object")))
	}
	return err
}

func (a *app) scrubControl(ctx context.Context, action localapi.ScrubAction) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := client.ScrubControl(ctx, action)
	if err != nil {
		return err
	}
	s.Damage = list(s.Damage)
	return a.print(s, func(w io.Writer) {
		row(w, "state", s.State)
		row(w, "read", fmt.Sprintf("%d of %s, %s of %s", s.Objects, count(s.TotalObjects, "object"), size(s.Bytes), size(s.TotalBytes)))
		row(w, "found", fmt.Sprintf("%d damaged, %d healed", s.Corrupt, s.Healed))
		row(w, "begun", day(s.Started))
		row(w, "last finished", day(s.Finished))
		if !s.Next.IsZero() {
			row(w, "next", day(s.Next))
		}
		humanHits(w, s.Damage)
	})
}

func humanHits(w io.Writer, hits []localapi.Hit) {
	for _, h := range hits {
		if h.ID.IsZero() { // it is of no tessera
			row(w, "damaged", "", "", damaged(h.Damage))
			continue
		}
		row(w, "damaged", short(h.ID), title(h.Title), damaged(h.Damage))
	}
}
