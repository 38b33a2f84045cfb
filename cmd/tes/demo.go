package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/cmd/internal/demo"
	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) demoVerb() *cobra.Command {
	o := demo.Options{}
	cmd := a.does(&cobra.Command{
		Use:   "demo [PATH]",
		Short: "Watch a folder survive its owner and half the network",
		Long: "Run a small network on this computer, each node a process of its own: preserve PATH (or a sample), destroy\n" +
			"the owner, kill holders without warning in two waves, watch those who are left repair each time, restore\n" +
			"the folder on an empty node and compare it byte by byte. Nothing is left behind.",
		Args: cobra.MaximumNArgs(1),
	}, func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			o.Path = args[0]
		}
		return a.demo(ctx, o)
	})
	cmd.Flags().IntVar(&o.Nodes, "nodes", 12, "holders, beside the owner and the empty node")
	cmd.Flags().IntVar(&o.Kill, "kill", 4, "holders to kill in the first wave; the second is as large as what is left survives, and no larger")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "choose who is killed and what the sample holds (default: at random)")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the data directories behind")
	return cmd
}

func (a *app) demo(ctx context.Context, o demo.Options) (err error) {
	if err := o.Check(); err != nil {
		return localapi.Fail(localapi.CodeUsage, "tes demo --help", err)
	}
	if err := readable(o.Path); err != nil {
		return err
	}
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1_000_000) + 1
	}
	o.Log = a.stdout
	if a.json || a.quiet {
		o.Log = io.Discard
	}
	if a.json && a.verbose {
		o.Log = a.stderr
	}
	r, err := undisturbed(func() (demo.Result, error) { return demo.Run(ctx, o) })
	if err != nil {
		return err
	}
	if err := a.print(r, func(w io.Writer) {
		row(w, fmt.Sprintf("identical: %t (%d holders, %d killed, %d fragments rebuilt, %.1f s)", r.Identical, r.Nodes, r.Killed, r.RebuiltFragments, r.Seconds.Total))
	}); err != nil {
		return err
	}
	switch {
	case !r.Identical:
		return errors.New("the restored folder is not the original")
	case r.RebuiltFragments == 0:
		return localapi.Fail(localapi.CodeFailed, "run it again with --keep and read the logs", errors.New("nothing was rebuilt"))
	}
	return nil
}

// readable opens the folder to preserve; "" is the sample.
func readable(dir string) error {
	if dir == "" {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unopened(dir, err)
	}
	return root.Close()
}

// undisturbed runs a demo to its end, which the first signal brings about: another one would end the program
// while it still ends its nodes and removes their data directories.
func undisturbed(run func() (demo.Result, error)) (demo.Result, error) {
	more := make(chan os.Signal, 1)
	signal.Notify(more, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(more)
	return run()
}
