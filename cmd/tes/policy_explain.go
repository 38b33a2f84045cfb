package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/sdk"
)

func (a *app) policyExplainVerb() *cobra.Command {
	last := 3
	cmd := a.does(&cobra.Command{
		Use:   "explain ID|DECISION",
		Short: "Say why fragments are where they are, and who was passed over",
		Long: "Puts recorded decisions into words: who was asked and what they said, why each fragment went where it\n" +
			"went, and for each peer that got nothing why not. Of a tessera the latest placements are explained,\n" +
			"or its other decisions where there were none.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}, func(ctx context.Context, args []string) error { return a.policyExplain(ctx, args[0], last) })
	cmd.Flags().IntVar(&last, "last", last, "so many of the latest decisions about a tessera; 0 is all, of every kind")
	return cmd
}

func (a *app) policyExplain(ctx context.Context, about string, last int) error {
	r, err := a.recall(ctx, about)
	if err != nil {
		return err
	}
	chosen := latest(r.decisions, last)
	var out []explained
	var texts []*decisions.Explanation
	for _, d := range chosen {
		x, err := decisions.Explain(d, r.moves[d.ID])
		if err != nil {
			return err
		}
		x.Repairs = aboutOne(x.Repairs, about)
		texts = append(texts, x)
		out = append(out, explanationOf(x))
	}
	if left := len(r.decisions) - len(chosen); left > 0 {
		a.note("%s more about it are kept: --last 0", count(left, "decision"))
	}
	if a.json {
		return a.printJSON(struct {
			Decisions []explained `json:"decisions"`
			Kept      int         `json:"kept"`
		}{out, len(r.decisions)})
	}
	for i, x := range texts {
		if i > 0 {
			if _, err := io.WriteString(a.stdout, "\n"); err != nil {
				return err
			}
		}
		if _, err := x.WriteTo(a.stdout); err != nil {
			return err
		}
	}
	return nil
}

// latest chooses what is explained: the last placements, or the last of all where there are none.
func latest(all []policy.Decision, last int) []policy.Decision {
	if last <= 0 {
		return all
	}
	placements := slices.DeleteFunc(slices.Clone(all), func(d policy.Decision) bool { return d.Role != sdk.RolePlacement })
	if len(placements) > 0 {
		all = placements
	}
	return all[max(0, len(all)-last):]
}

// aboutOne keeps what was decided about a tessera that was asked about; all where none was.
func aboutOne(repairs []decisions.Repair, about string) []decisions.Repair {
	one := slices.DeleteFunc(slices.Clone(repairs), func(r decisions.Repair) bool {
		return !strings.HasPrefix(r.Tessera.String(), strings.ToLower(about))
	})
	if len(one) == 0 {
		return repairs
	}
	return one
}

// explained is an explanation as scripts read it.
type explained struct {
	Decision   string            `json:"decision"`
	Time       localapi.Moment   `json:"time"`
	Role       sdk.Role          `json:"role"`
	Subject    string            `json:"subject"`
	Outcome    policy.Outcome    `json:"outcome"`
	By         string            `json:"by"`
	Reason     string            `json:"reason"`
	Asked      []saidJSON        `json:"asked"`
	Placed     []placedJSON      `json:"placed,omitempty"`
	Unplaced   []unplacedJSON    `json:"unplaced,omitempty"`
	PassedOver []passedJSON      `json:"passed_over,omitempty"`
	Repairs    []repairDecisions `json:"repairs,omitempty"`
}

type saidJSON struct {
	Who     string         `json:"who"`
	Part    policy.Part    `json:"part"`
	Outcome policy.Outcome `json:"outcome"`
	Words   string         `json:"words"`
	TookMs  float64        `json:"took_ms"`
}

type placedJSON struct {
	Fragment uint32     `json:"fragment"`
	Peer     sdk.NodeID `json:"peer"`
	Network  string     `json:"network"`
	Why      string     `json:"why"`
	Moves    []moveJSON `json:"moves,omitempty"`
}

// moveJSON is a peer that did not take its fragment, and who was tried next, "" where nobody was left.
type moveJSON struct {
	From sdk.NodeID `json:"from"`
	To   string     `json:"to"`
}

type unplacedJSON struct {
	Fragment uint32 `json:"fragment"`
	Copies   int    `json:"copies"`
}

type passedJSON struct {
	Peer    sdk.NodeID   `json:"peer"`
	Network string       `json:"network"`
	Because []reasonJSON `json:"because"`
}

type reasonJSON struct {
	By  string `json:"by"`
	Why string `json:"why"`
}

type repairDecisions struct {
	Tessera sdk.TesseraID `json:"tessera"`
	Ordered bool          `json:"ordered"`
	Words   string        `json:"words"`
}

func explanationOf(x *decisions.Explanation) explained {
	out := explained{
		Decision: x.Decision, Time: localapi.Moment{Time: x.Time}, Role: x.Role, Subject: x.Subject, Outcome: x.Outcome, By: x.By, Reason: x.Reason,
		Asked: []saidJSON{},
	}
	for _, s := range x.Asked {
		out.Asked = append(out.Asked, saidJSON{s.Who, s.Part, s.Outcome, s.Words, float64(s.Took) / float64(time.Millisecond)})
	}
	for _, p := range x.Placed {
		placed := placedJSON{Fragment: p.Fragment, Peer: p.Peer, Network: p.Network, Why: p.Why}
		for _, m := range p.Moves {
			move := moveJSON{From: m.From}
			if !m.To.IsZero() {
				move.To = m.To.String()
			}
			placed.Moves = append(placed.Moves, move)
		}
		out.Placed = append(out.Placed, placed)
	}
	for _, u := range x.Unplaced {
		out.Unplaced = append(out.Unplaced, unplacedJSON(u))
	}
	for _, p := range x.PassedOver {
		passed := passedJSON{Peer: p.Peer, Network: p.Network}
		for _, b := range p.Because {
			passed.Because = append(passed.Because, reasonJSON(b))
		}
		out.PassedOver = append(out.PassedOver, passed)
	}
	for _, r := range x.Repairs {
		out.Repairs = append(out.Repairs, repairDecisions(r))
	}
	return out
}
