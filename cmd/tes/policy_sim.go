package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/sim"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// simOptions are the flags of tes policy sim.
type simOptions struct {
	sim.Config
	years          float64
	churn, offline percentFlag
	away, interval durationFlag
	code, shard    string
	as             string
	set            []string
}

func (a *app) policySimVerb() *cobra.Command {
	o := simOptions{
		churn: percentFlag{20}, offline: percentFlag{10},
		away: durationFlag{value: 8 * time.Hour}, interval: durationFlag{value: 24 * time.Hour},
	}
	cmd := a.does(&cobra.Command{
		Use:   "sim [FILE]",
		Short: "Simulate a network over years under a policy, beside the default",
		Long: "Simulates peers that come, are away and leave, and has the node's own placement and repair look after\n" +
			"tesseras among them: what is lost, what repair costs, how evenly the load is spread. Without FILE only the\n" +
			"default policies are simulated. FILE is a WASM module, or exec:PROGRAM. The same seed gives the same run.",
		Args: cobra.MaximumNArgs(1),
	}, func(ctx context.Context, args []string) error {
		file := ""
		if len(args) > 0 {
			file = args[0]
		}
		return a.policySim(ctx, file, o)
	})
	f := cmd.Flags()
	f.IntVar(&o.Peers, "peers", 1000, "`N` peers alive at any time")
	f.Float64Var(&o.years, "years", 10, "`N` years to simulate")
	f.IntVar(&o.Tesseras, "tesseras", 100, "`N` tesseras to look after")
	f.Var(&o.churn, "churn", "share of the peers that leave for good within a year, in percent (default 20)")
	f.Var(&o.offline, "offline", "share of the time that a peer is away, in percent (default 10)")
	f.Var(&o.away, "away", "how long a peer is away at a time, on average (default 8h)")
	f.Var(&o.interval, "interval", "time between two looks at every tessera (default 24h)")
	f.StringVar(&o.code, "code", "16+8", "fragments of a tessera: those that rebuild it, and the others")
	f.StringVar(&o.shard, "shard", "1MiB", "`SIZE` of a fragment")
	f.IntVar(&o.Replicas, "replicas", 7, "`N` distinct peers that are asked for")
	f.IntVar(&o.Subnet, "per-subnet", 2, "`N` peers of one subnet that may hold a tessera; 0 is no cap")
	f.IntVar(&o.PerNet, "peers-in-subnet", 2, "`N` peers in each subnet")
	f.IntVar(&o.Known, "known", 200, "`N` nearest peers that are candidates for a tessera")
	f.Uint64Var(&o.Seed, "seed", 1, "`N` that chance comes from")
	f.StringVar(&o.as, "as", "", "guard or decider, for a policy that may be both (default decider)")
	f.StringArrayVar(&o.set, "set", nil, "setting of the policy as `KEY=VALUE`; several for a list")
	return cmd
}

// config is what the flags say.
func (o simOptions) config() (sim.Config, error) {
	c := o.Config
	c.Duration = time.Duration(o.years * float64(sim.Year))
	c.AFR, c.Offline, c.Away, c.Interval = o.churn.share(), o.offline.share(), o.away.value, o.interval.value
	if c.Subnet == 0 {
		c.Subnet = -1
	}
	if c.Seed == 0 {
		return c, localapi.Fail(localapi.CodeUsage, "", errors.New("--seed 0: want a number above 0"))
	}
	data, parity, ok := strings.Cut(o.code, "+")
	k, err := strconv.Atoi(data)
	m, err2 := strconv.Atoi(parity)
	if !ok || err != nil || err2 != nil || k < 1 || m < 0 {
		return c, localapi.Fail(localapi.CodeUsage, "write it as 16+8", fmt.Errorf("--code %s: want two numbers", o.code))
	}
	c.Data, c.Parity = k, m
	shard, err := config.ParseSize(o.shard)
	if err != nil {
		return c, localapi.Fail(localapi.CodeUsage, "", fmt.Errorf("--shard %s: %w", o.shard, err))
	}
	c.Shard = int64(shard)
	return c, nil
}

// side is one of the two that are simulated.
type side struct {
	Policy string     `json:"policy"`
	Result sim.Result `json:"result"`

	chain policy.Config
	err   error
}

func (a *app) policySim(ctx context.Context, file string, o simOptions) error {
	c, err := o.config()
	if err != nil {
		return err
	}
	sides := []*side{{Policy: plugins.DefaultName}}
	if file != "" {
		s, done, err := a.simulated(ctx, file, o)
		if err != nil {
			return err
		}
		defer done()
		sides = append(sides, s)
	}
	began := time.Now()
	meter := a.meter()
	err = simulate(ctx, sides, c, meter)
	meter.close()
	if errors.Is(err, sim.ErrConfig) {
		err = localapi.Fail(localapi.CodeUsage, "tes policy sim --help tells what can be set", err)
	}
	if err != nil {
		return err
	}
	a.note("simulated in %v", time.Since(began).Round(time.Millisecond))
	return a.printSim(sides, o)
}

// simulated is a policy from a file at its place before the defaults.
func (a *app) simulated(ctx context.Context, file string, o simOptions) (s *side, done func(), err error) {
	settings, err := settingsOf(o.set)
	if err != nil {
		return nil, nil, err
	}
	p, err := loadPolicy(ctx, file, policyName(file), settings, a.log())
	if err != nil {
		return nil, nil, err
	}
	shut := func() { _ = p.Close() } // it was only tried
	defer func() {
		if err != nil {
			shut()
		}
	}()
	part, roles, err := diffOptions{as: o.as}.place(p)
	if err != nil {
		return nil, nil, err
	}
	s = &side{Policy: p.Description().GetName()}
	for role, chain := range map[sdk.Role]*policy.Chain{sdk.RolePlacement: &s.chain.Placement, sdk.RoleRepair: &s.chain.Repair} {
		switch {
		case !slices.Contains(roles, role):
		case part == policy.PartGuard:
			chain.Guards = []policy.Guard{{Policy: shared{p}}}
		default:
			chain.Deciders = []policy.Policy{shared{p}}
		}
	}
	if len(s.chain.Placement.Guards)+len(s.chain.Placement.Deciders)+len(s.chain.Repair.Guards)+len(s.chain.Repair.Deciders) == 0 {
		return nil, nil, localapi.Fail(localapi.CodeUsage, "tes policy test tries it", fmt.Errorf("%s neither places nor repairs: there is nothing to simulate", s.Policy))
	}
	return s, shut, nil
}

// shared is a policy that outlives the engine it is asked by.
type shared struct{ policy.Policy }

// simulate runs both sides at the same time, each with an engine and a clock of its own.
func simulate(ctx context.Context, sides []*side, c sim.Config, m *meter) error {
	var mu sync.Mutex
	var done sync.WaitGroup
	shares := make([]float64, len(sides))
	for i, s := range sides {
		done.Go(func() {
			clock := sim.NewClock()
			e := sim.NewEngine(clock, s.chain)
			s.Result, s.err = sim.Run(ctx, e, clock, c, func(share float64) {
				mu.Lock()
				defer mu.Unlock()
				shares[i] = share
				m.report(localapi.Progress{Stage: "years pass", Done: int64(1000 * slices.Min(shares)), Total: 1000, Unit: "per mille"})
			})
			s.err = errors.Join(s.err, e.Close())
		})
	}
	done.Wait()
	var errs []error
	for _, s := range sides {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

func (a *app) printSim(sides []*side, o simOptions) error {
	out := struct {
		Peers   int     `json:"peers"`
		Years   float64 `json:"years"`
		Churn   float64 `json:"churn"`
		Offline float64 `json:"offline"`
		Code    string  `json:"code"`
		Seed    uint64  `json:"seed"`
		Sides   []*side `json:"sides"`
	}{o.Peers, o.years, o.churn.percent / 100, o.offline.percent / 100, o.code, o.Seed, sides}
	return a.print(out, func(w io.Writer) {
		line := func(what string, cell func(sim.Result) string) {
			cells := []string{what}
			for _, s := range sides {
				cells = append(cells, cell(s.Result))
			}
			row(w, cells...)
		}
		row(w, fmt.Sprintf("%d peers, %.0f %% leave within a year, each is away %.0f %% of the time; %d tesseras of %s fragments, looked at every %v",
			o.Peers, o.churn.percent, o.offline.percent, o.Tesseras, o.code, config.Duration(o.interval.value)))
		row(w)
		names := []string{""}
		for _, s := range sides {
			names = append(names, s.Policy)
		}
		row(w, names...)
		line("lost", func(r sim.Result) string { return fmt.Sprintf("%d in %.0f tessera-years", r.Lost, r.TesseraYears) })
		line("loss of a tessera", func(r sim.Result) string { return fmt.Sprintf("%.3g %% a year", 100*r.LossPerYear) })
		line("not to be had just then", func(r sim.Result) string { return fmt.Sprintf("%.3g %% of the looks", 100*r.Unavailable) })
		line("repair traffic", func(r sim.Result) string {
			return fmt.Sprintf("%s, %.2f times what is stored, each year", size(r.RepairBytes), r.RepairPerYear)
		})
		line("fragments rebuilt", func(r sim.Result) string { return fmt.Sprint(r.Rebuilt) })
		line("surplus copies", func(r sim.Result) string { return fmt.Sprintf("%.0f %%", 100*r.Surplus) })
		line("survives any", func(r sim.Result) string {
			return fmt.Sprintf("%.1f peers on average, %d at worst", r.MeanMargin, r.ThinnestMargin)
		})
		line("peers of a tessera", func(r sim.Result) string { return fmt.Sprintf("%.1f that answer", r.PeersPerTessera) })
		line("imbalance", func(r sim.Result) string { return fmt.Sprintf("the fullest peer has %.2f times the mean", r.Imbalance) })
		line("questions", func(r sim.Result) string { return fmt.Sprintf("%d asked, %d deferred", r.Questions, r.Refused) })
	})
}

// percentFlag is a share as people write it: "20" or "20%".
type percentFlag struct{ percent float64 }

// share is 0 to 1; no share at all is negative, as sim.Config has it.
func (p *percentFlag) share() float64 {
	if p.percent == 0 {
		return -1
	}
	return p.percent / 100
}

func (p *percentFlag) String() string { return "" }

// Set reads the flag.
func (p *percentFlag) Set(s string) (err error) {
	p.percent, err = strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err == nil && (p.percent < 0 || p.percent >= 100) {
		err = errors.New("want 0 to less than 100")
	}
	return err
}

// Type names the kind of value.
func (p *percentFlag) Type() string { return "percent" }
