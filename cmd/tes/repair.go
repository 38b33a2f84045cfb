package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) repairVerb() *cobra.Command {
	plan := a.does(&cobra.Command{
		Use:   "plan",
		Short: "Say what a repair would do, and why",
		Args:  cobra.NoArgs,
	}, a.repairPlan)
	run := a.does(&cobra.Command{
		Use:               "run [ID]",
		Short:             "Repair one tessera or all of them now, not at the node's next round",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error {
		id := ""
		if len(args) > 0 {
			id = args[0]
		}
		return a.repairRun(ctx, id)
	})
	return family(&cobra.Command{Use: "repair", Short: "Rebuild what holders have lost"}, plan, run)
}

func (a *app) repairPlan(ctx context.Context, _ []string) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	steps, err := client.RepairPlan(ctx)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		a.note("nothing to repair")
	}
	r := struct {
		Plan []localapi.RepairStep `json:"plan"`
	}{list(steps)}
	return a.print(r, func(w io.Writer) {
		if len(steps) > 0 {
			row(w, "ID", "HEALTH", "DEFICIT", "SURVIVES", "DO", "WHY", "TITLE")
		}
		for _, s := range steps {
			row(w, short(s.ID), s.Health, fmt.Sprint(s.Deficit), count(s.SurvivesPeers, "peer"), orDash(s.Action), orDash(s.Why), title(s.Title))
		}
	})
}

func (a *app) repairRun(ctx context.Context, id string) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	meter := a.meter()
	r, err := client.RepairRun(ctx, id, meter.report)
	meter.close()
	if err != nil {
		return err
	}
	r.Failures = list(r.Failures)
	err = a.print(r, func(w io.Writer) {
		row(w, fmt.Sprintf("%d checked, %d healthy, %d repaired, %s rebuilt, %d healed here, %d failed",
			r.Checked, r.Healthy, r.Repaired, count(r.RebuiltFragments, "fragment"), r.CorruptHealed, r.Failed))
		for _, f := range r.Failures {
			row(w, "failed", short(f.ID), f.Why)
		}
	})
	if err == nil && r.Failed > 0 {
		err = localapi.Fail(localapi.CodePartly, "the node tries again at its next round", fmt.Errorf("%s could not be repaired now", count(r.Failed, "tessera")))
	}
	return err
}
