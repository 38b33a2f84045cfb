package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// diffOptions are the flags of tes policy diff.
type diffOptions struct {
	since durationFlag
	as    string
	role  string
	set   []string
	most  int
}

func (a *app) policyDiffVerb() *cobra.Command {
	o := diffOptions{since: durationFlag{value: 30 * 24 * time.Hour}}
	cmd := a.does(&cobra.Command{
		Use:   "diff FILE",
		Short: "Say what a policy would have decided otherwise",
		Long: "Asks a policy every question that was decided here since a time, and tells what would have come of its\n" +
			"answers. Nothing is changed. FILE is a WASM module, or exec:PROGRAM.",
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error { return a.policyDiff(ctx, args[0], o) })
	f := cmd.Flags()
	f.Var(&o.since, "since", "how far back, such as 12h or 30d (default 30d)")
	f.StringVar(&o.as, "as", "", "guard or decider, for a policy that may be both (default decider)")
	f.StringVar(&o.role, "role", "", "only placement, reciprocity or repair")
	f.StringArrayVar(&o.set, "set", nil, "setting of the policy as `KEY=VALUE`; several for a list")
	f.IntVar(&o.most, "most", 20, "`N` differences to show; 0 is all that are known")
	return cmd
}

func (a *app) policyDiff(ctx context.Context, file string, o diffOptions) error {
	settings, err := settingsOf(o.set)
	if err != nil {
		return err
	}
	p, err := loadPolicy(ctx, file, policyName(file), settings, a.log())
	if err != nil {
		return err
	}
	defer p.Close()
	part, roles, err := o.place(p)
	if err != nil {
		return err
	}
	var broke error
	report, err := decisions.Diff(ctx, a.since(ctx, time.Now().Add(-o.since.value), &broke), p, part, roles...)
	if err = errors.Join(err, broke); err != nil {
		return err
	}
	return a.printDiff(p, part, report, o.most)
}

// place is the part and the roles in which the policy is asked.
func (o diffOptions) place(p loadedPolicy) (policy.Part, []sdk.Role, error) {
	parts, roles := partsOf(p.Description()), policytest.Roles(p.Description())
	part := parts[len(parts)-1] // a decider, if it may be one
	if o.as != "" {
		if part = policy.Part(o.as); !slices.Contains(parts, part) {
			return "", nil, localapi.Fail(localapi.CodeUsage, "leave --as out", fmt.Errorf("--as %s: by its description it is no %s", o.as, o.as))
		}
	}
	if o.role != "" {
		if !slices.Contains(roles, sdk.Role(o.role)) {
			return "", nil, localapi.Fail(localapi.CodeUsage, "leave --role out", fmt.Errorf("--role %s: by its description it answers no such questions", o.role))
		}
		roles = []sdk.Role{sdk.Role(o.role)}
	}
	return part, roles, nil
}

// differenceJSON is one decision that would have been another.
type differenceJSON struct {
	Decision string          `json:"decision"`
	Time     localapi.Moment `json:"time"`
	Role     sdk.Role        `json:"role"`
	Tessera  string          `json:"tessera"` // "" where it is about several
	Before   string          `json:"before"`
	After    string          `json:"after"`
	Moved    int             `json:"moved"`
}

func (a *app) printDiff(p loadedPolicy, part policy.Part, r *decisions.Report, most int) error {
	out := struct {
		Policy      string           `json:"policy"`
		Part        policy.Part      `json:"part"`
		Asked       int              `json:"asked"`
		Same        int              `json:"same"`
		Different   int              `json:"different"`
		Passed      int              `json:"passed"`
		Failed      int              `json:"failed"`
		Skipped     int              `json:"skipped"`
		Failure     string           `json:"failure,omitempty"`
		Differences []differenceJSON `json:"differences"`
	}{p.Description().GetName(), part, r.Asked, r.Same, r.Different, r.Passed, r.Failed, r.Skipped, "", []differenceJSON{}}
	if r.Failure != nil {
		out.Failure = r.Failure.Error()
	}
	for _, d := range r.Differences {
		x := differenceJSON{d.Decision, localapi.Moment{Time: d.Time}, d.Role, "", d.Before, d.After, d.Moved}
		if !d.Tessera.IsZero() {
			x.Tessera = d.Tessera.String()
		}
		out.Differences = append(out.Differences, x)
	}
	err := a.print(out, func(w io.Writer) {
		row(w, fmt.Sprintf("%s as %s: %s asked, %d the same, %d different, %d without an opinion, %d failed, %d that cannot be compared",
			out.Policy, part, count(r.Asked, "question"), r.Same, r.Different, r.Passed, r.Failed, r.Skipped))
		for i, d := range out.Differences {
			if most > 0 && i == most {
				row(w, fmt.Sprintf("... and %d more: --most 0", len(out.Differences)-i))
				break
			}
			row(w, fmt.Sprintf("%s %s, %s: %d would be otherwise", d.Decision, d.Role, day(d.Time), d.Moved))
			row(w, "  was: "+d.Before)
			row(w, "  would be: "+d.After)
		}
	})
	if err == nil && r.Failed > 0 {
		err = localapi.Fail(localapi.CodeFailed, "tes policy test FILE finds what is wrong with it", fmt.Errorf("%s failed; the first: %w", count(r.Failed, "answer"), r.Failure))
	}
	return err
}
