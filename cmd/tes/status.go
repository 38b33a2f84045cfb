package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) statusVerb() *cobra.Command {
	watch, interval := false, durationFlag{value: 2 * time.Second}
	cmd := a.does(&cobra.Command{
		Use:               "status [ID]",
		Short:             "Say how safe a tessera is, or how this node stands",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error {
		look := a.nodeStatus
		if len(args) > 0 {
			look = func(ctx context.Context, c *localapi.Client) error { return a.status(ctx, c, args[0]) }
		}
		client, err := a.existing(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		if watch {
			return a.watch(ctx, client, max(interval.value, 100*time.Millisecond), look)
		}
		return look(ctx, client)
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "look again and again, until Ctrl-C")
	cmd.Flags().Var(&interval, "interval", "time `D` between two looks with --watch (default 2s)")
	return cmd
}

// watch looks again and again. On a terminal each look takes the place of the one before.
func (a *app) watch(ctx context.Context, client *localapi.Client, every time.Duration, look func(context.Context, *localapi.Client) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if a.stdoutTerminal && !a.json {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[2J")
		}
		if err := look(ctx, client); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *app) nodeStatus(ctx context.Context, client *localapi.Client) error {
	n, err := client.NodeStatus(ctx)
	if err != nil {
		return err
	}
	return a.print(n, func(w io.Writer) {
		row(w, "node", n.Node.String())
		if client.Daemon {
			row(w, "address", n.Addr)
			row(w, "peers", fmt.Sprint(n.Peers))
		} else {
			row(w, "address", "not running")
		}
		row(w, "my tesseras", fmt.Sprint(n.Tesseras))
		row(w, "kept for others", fmt.Sprintf("%s, %s", count(n.FragmentsHeld, "fragment"), size(n.BytesHeld)))
		row(w, "free", size(n.FreeBytes))
		humanUnplanned(w, n)
	})
}

// humanUnplanned lists what is kept here though nothing says how it goes together.
func humanUnplanned(w io.Writer, n localapi.NodeStatus) {
	total := n.UnplannedTotal
	if total.Tesseras == 0 {
		return
	}
	row(w, "unplanned", fmt.Sprintf("%s without plan, %s without manifest, of %s, %s",
		count(total.Fragments, "fragment"), count(total.Files, "file"), count(total.Tesseras, "tessera"), size(total.SizeBytes)))
	row(w)
	row(w, "UNPLANNED", "SIZE", "FILES", "FRAGMENTS")
	for _, u := range n.Unplanned {
		row(w, short(u.ID), size(u.SizeBytes), fmt.Sprint(u.Files), ranges(u.Fragments))
	}
	if more := total.Tesseras - len(n.Unplanned); more > 0 {
		row(w, fmt.Sprintf("and %d more", more))
	}
}

func (a *app) status(ctx context.Context, client *localapi.Client, id string) error {
	s, err := client.Status(ctx, id)
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) { humanStatus(w, s) })
}

func humanStatus(w io.Writer, s localapi.Status) {
	row(w, "id", s.ID.String())
	row(w, "title", title(s.Title))
	row(w, "size", size(s.SizeBytes)+", "+orDash(s.Tier))
	row(w, "health", sentence(s))
	if s.Fragments.Total > 0 {
		row(w, "fragments", fmt.Sprintf("%d of %d held, %d proven; any %d restore it",
			s.Fragments.Held, s.Fragments.Total, s.Fragments.Proven, s.Fragments.Data))
	}
	for _, d := range s.Damage {
		row(w, "damaged", damaged(d))
	}
	for _, n := range s.Notes {
		row(w, "note", n)
	}
	if len(s.Holders) == 0 {
		return
	}
	row(w)
	row(w, "HOLDER", "ADDRESS", "PROVEN", "FRAGMENTS")
	for _, h := range s.Holders {
		if h.Self {
			row(w, short(h.Node), "this node", "-", ranges(h.Fragments))
			continue
		}
		cells := []string{short(h.Node), orDash(h.Addr), ago(h.LastProven), ranges(h.Fragments)}
		if h.Note != "" {
			cells = append(cells, h.Note)
		}
		row(w, cells...)
	}
}

// sentence says in words what a tessera survives, and since when that is known.
func sentence(s localapi.Status) string {
	if len(s.Holders) == 0 || s.Fragments.Total == 0 {
		return s.Health
	}
	proven := "not proven yet"
	if last := lastProven(s.Holders); !last.IsZero() {
		proven = "last proven " + ago(last)
	}
	return fmt.Sprintf("%s; survives any %s or any %s; %s", s.Health,
		count(s.Survives.Peers, "peer"), count(s.Survives.Subnets, "network"), proven)
}

func lastProven(holders []localapi.Holder) (last localapi.Moment) {
	for _, h := range holders {
		if h.LastProven.After(last.Time) {
			last = h.LastProven
		}
	}
	return last
}

// ranges writes 1, 2, 3, 7 as 1-3, 7.
func ranges(numbers []int) string {
	numbers = slices.Sorted(slices.Values(numbers))
	var parts []string
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		part := fmt.Sprint(numbers[i])
		if end > i {
			part += fmt.Sprintf("-%d", numbers[end])
		}
		parts = append(parts, part)
		i = end + 1
	}
	return orDash(strings.Join(parts, ", "))
}
