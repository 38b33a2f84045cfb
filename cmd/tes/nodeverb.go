package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
)

// nodeVerb is tesd within tes, so that tes alone can run a whole network of processes.
func (a *app) nodeVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "node",
		Short:  "Run a node, as tesd does",
		Hidden: true,
		Args:   cobra.NoArgs,
	}
	daemon.AddFlags(cmd.Flags())
	return a.does(cmd, func(ctx context.Context, _ []string) error {
		// It ends by a signal of its own understanding, so the one that interrupts a verb does not count.
		p := daemon.Process{Env: a.env, Stderr: a.stderr}
		o := daemon.Options{Config: a.configFlag, DataDir: a.dataDirFlag}
		return daemon.Run(context.WithoutCancel(ctx), p, o, cmd.Flags(), a.serve)
	})
}
