package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"

	"github.com/tesseras/tesseras/host/policy/wasm"
)

// The hidden subcommands, with which the program starts itself.
const (
	nodeCommand = "node-child"
	peerCommand = "raw-child"
)

func main() {
	wasm.MaybeCompileChild()
	if isPolicyChild() {
		bePolicies()
		return
	}
	if err := start(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start is the bench, or one of its children.
func start(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case nodeCommand:
			return runNode(ctx, args[1:])
		case peerCommand:
			return runRawPeer(ctx, args[1:])
		}
	}
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	return run(ctx, o, os.Stdout)
}

// options are what a person may choose.
type options struct {
	size    int64 // bytes of a step
	rounds  int
	quick   bool
	match   *regexp.Regexp
	json    string // file; "" = none
	profile string // folder; "" = none
	dir     string // where the temporary folder goes; "" = the system's
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	size := f.Int64("size", 256, "`MiB` that a step handles")
	match := f.String("run", "", "only the steps whose name matches this `REGEXP`")
	f.BoolVar(&o.quick, "quick", false, "small sizes, one round, no memory: to see that it works")
	f.IntVar(&o.rounds, "rounds", 0, "`ROUNDS` of each step (default 5)")
	f.StringVar(&o.json, "json", "", "write the figures to this `FILE` too")
	f.StringVar(&o.profile, "profile", "", "write CPU profiles to this `DIR`")
	f.StringVar(&o.dir, "dir", "", "put data on the disk of this `DIR` (default the system's temporary folder)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || *size < 1 || *size > 1024 {
		return o, fmt.Errorf("want no arguments, and a size of 1 to 1024 MiB")
	}
	o.size = *size * mib
	if o.quick {
		o.size = min(o.size, quickSize)
	}
	if o.rounds <= 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 1
		}
	}
	var err error
	o.match, err = regexp.Compile(*match)
	return o, err
}

// run measures what was asked for and prints it.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	stop, err := l.profileSelf()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	report := newReport(out, o.quick)
	fmt.Fprintf(out, "%d CPUs, %s, %s/%s, best of %d rounds\n\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, o.rounds)
	for _, s := range steps(l) {
		if !o.match.MatchString(s.name) {
			continue
		}
		rows, err := s.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, r := range rows {
			report.add(r)
		}
	}
	report.parts()
	if o.json == "" {
		return nil
	}
	return report.writeJSON(o.json)
}

// step is what -run chooses among. Most give one row.
type step struct {
	name    string
	measure func(context.Context) ([]row, error)
}

// steps are all there are, in the order of the table.
func steps(l *lab) (all []step) {
	all = append(all, codecSteps(l)...)
	all = append(all, storeSteps(l)...)
	all = append(all, createSteps(l)...)
	all = append(all, survivalSteps(l)...)
	all = append(all, roundSteps(l)...)
	// what follows the fetch leaves nodes in the others' tables that are no more
	all = append(all, publishStep(l), fetchStep(l), rpcStep(l))
	all = append(all, policySteps(l)...)
	if !l.quick {
		all = append(all, memoryStep(l))
	}
	return all
}
