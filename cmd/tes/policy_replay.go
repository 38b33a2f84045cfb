package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
)

func (a *app) policyReplayVerb() *cobra.Command {
	var file string
	var set []string
	cmd := a.does(&cobra.Command{
		Use:   "replay DECISION",
		Short: "Ask the same questions again, and compare the answers byte for byte",
		Long: "Asks every policy that had a part in a decision the very bytes it was asked then. The default policies are\n" +
			"those this program carries, others are found in the configuration by their names.",
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error { return a.policyReplay(ctx, args[0], file, set) })
	cmd.Flags().StringVar(&file, "policy", "", "`FILE` to ask in place of the policy that decided")
	cmd.Flags().StringArrayVar(&set, "set", nil, "setting of that policy as `KEY=VALUE`; several for a list")
	return cmd
}

// replayed is one policy, asked again.
type replayed struct {
	Policy         string      `json:"policy"`
	Runtime        string      `json:"runtime"`
	Part           policy.Part `json:"part"`
	Same           bool        `json:"same"`
	Bytes          int         `json:"bytes"` // of the recorded answer
	DigestRecorded string      `json:"sha256_recorded"`
	Digest         string      `json:"sha256"`
	Problem        string      `json:"problem,omitempty"`
}

func (a *app) policyReplay(ctx context.Context, id, file string, set []string) error {
	d, err := a.theOne(ctx, id)
	if err != nil {
		return err
	}
	var all []replayed
	if file != "" {
		r, err := a.replayFile(ctx, d, file, set)
		if err != nil {
			return err
		}
		all = append(all, r)
	} else {
		for _, s := range d.Steps {
			if s.Part == policy.PartGuard && s.Response == nil || s.Part != policy.PartGuard && !decided(d, s) {
				continue // it had no part in the answer
			}
			r, err := a.replayStep(ctx, d, s)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return localapi.Fail(localapi.CodeFailed, "tes policy explain "+d.ID+" tells what happened", fmt.Errorf("decision %s: %w", d.ID, decisions.ErrNothingSaid))
	}
	return a.printReplayed(d, all)
}

// decided tells whether the step is the one whose answer stood.
func decided(d policy.Decision, s policy.Step) bool {
	return d.Response != nil && s.Policy == d.Policy && s.Runtime == d.Runtime && s.Outcome == d.Outcome
}

func (a *app) replayStep(ctx context.Context, d policy.Decision, s policy.Step) (replayed, error) {
	p, done, err := a.asThen(ctx, d, s)
	if err != nil {
		return replayed{}, err
	}
	defer done()
	return replay(ctx, d, p, s)
}

// replayFile asks a policy from a file what the one that decided was asked.
func (a *app) replayFile(ctx context.Context, d policy.Decision, file string, set []string) (replayed, error) {
	settings, err := settingsOf(set)
	if err != nil {
		return replayed{}, err
	}
	p, err := loadPolicy(ctx, file, d.Policy, settings, a.log())
	if err != nil {
		return replayed{}, err
	}
	defer p.Close()
	for _, s := range d.Steps {
		if decided(d, s) {
			return replay(ctx, d, p, s)
		}
	}
	return replayed{}, fmt.Errorf("decision %s: %w", d.ID, decisions.ErrNothingSaid)
}

func replay(ctx context.Context, d policy.Decision, p policy.Policy, s policy.Step) (replayed, error) {
	out := replayed{Policy: s.Policy, Runtime: s.Runtime, Part: s.Part, DigestRecorded: s.Digest}
	r, err := decisions.Replay(ctx, d, p)
	if errors.Is(err, context.Canceled) {
		return out, err
	}
	if err != nil {
		out.Problem = err.Error()
		return out, nil
	}
	out.Same, out.Bytes, out.Digest = r.Same, len(r.Recorded), r.Digest
	if !r.Same {
		out.Problem = fmt.Sprintf("%d bytes then, %d other ones now", len(r.Recorded), len(r.Got))
	}
	return out, nil
}

func (a *app) printReplayed(d policy.Decision, all []replayed) error {
	different := 0
	for _, r := range all {
		if !r.Same {
			different++
		}
	}
	err := a.print(struct {
		Decision string     `json:"decision"`
		Same     bool       `json:"same"`
		Replayed []replayed `json:"replayed"`
	}{d.ID, different == 0, all}, func(w io.Writer) {
		for _, r := range all {
			mark, words := "same", fmt.Sprintf("%d bytes", r.Bytes)
			if !r.Same {
				mark, words = "DIFFERENT", r.Problem
			}
			if r.Digest != r.DigestRecorded {
				words += fmt.Sprintf("; it is another one now: sha256 %.12s, then %.12s", orDash(r.Digest), orDash(r.DigestRecorded))
			}
			row(w, mark, string(r.Part), fmt.Sprintf("%s (%s)", r.Policy, r.Runtime), words)
		}
	})
	if err == nil && different > 0 {
		err = localapi.Fail(localapi.CodeFailed, "the digests tell whether it is the policy of then", fmt.Errorf("decision %s: %s answered otherwise", d.ID, count(different, "policy")))
	}
	return err
}
