package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) publishVerb() *cobra.Command {
	var wait bool
	var timeout durationFlag
	cmd := a.does(&cobra.Command{
		Use:   "publish ID",
		Short: "Give the fragments of a tessera to peers",
		Long: "Give the fragments of a tessera to peers. With --wait the exit code is 0 only when every fragment is\n" +
			"at a holder, on enough distinct peers; 13 when that was not reached in time. The node goes on trying.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error {
		o := localapi.PublishOptions{Wait: wait || timeout.given, Timeout: timeout.value}
		return a.publish(ctx, args[0], o)
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is as safe as asked for")
	cmd.Flags().Var(&timeout, "wait-timeout", "wait no longer than `D`, such as 10m (default: no limit)")
	return cmd
}

func (a *app) publish(ctx context.Context, id string, o localapi.PublishOptions) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	meter := a.meter()
	p, err := client.Publish(ctx, id, o, meter.report)
	meter.close()
	if err != nil && localapi.CodeOf(err) != localapi.CodeBelowTarget {
		return err
	}
	if printErr := a.print(p, func(w io.Writer) { humanPublished(w, p) }); printErr != nil {
		return printErr
	}
	return err
}

func humanPublished(w io.Writer, p localapi.Published) {
	row(w, fmt.Sprintf("%s: %d of %d fragments (%s) on %s; any %s may vanish at once",
		short(p.ID), p.Placed, p.Fragments, p.Tier, count(p.Peers, "peer"), count(p.SurvivesPeers, "peer")))
	if !p.AtTarget {
		row(w, "not yet as safe as asked for: the node goes on trying")
	}
}

// durationFlag is a duration as the configuration has them, days included.
type durationFlag struct {
	value time.Duration
	given bool
}

func (d *durationFlag) String() string {
	if !d.given {
		return ""
	}
	return config.Duration(d.value).String()
}

// Set reads the flag.
func (d *durationFlag) Set(s string) error {
	v, err := config.ParseDuration(s)
	d.value, d.given = v.Std(), true
	return err
}

// Type names the kind of value.
func (d *durationFlag) Type() string { return "duration" }
