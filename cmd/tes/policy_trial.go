package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// trialOptions are the flags of tes policy test.
type trialOptions struct {
	cases     string
	update    bool
	set       []string
	seed      uint64
	questions int
}

func (a *app) policyTestVerb() *cobra.Command {
	var o trialOptions
	cmd := a.does(&cobra.Command{
		Use:   "test FILE...",
		Short: "Hold a policy to what every policy promises, and to golden cases",
		Long: "Asks a policy random questions and holds its answers against the contract, and against golden cases.\n" +
			"FILE is a WASM module, or exec:PROGRAM. Several FILEs have to give the same bytes as the first.",
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, args []string) error { return a.policyTest(ctx, args, o) })
	f := cmd.Flags()
	f.StringVar(&o.cases, "cases", "", "`DIR` of golden cases: NAME.json with a request and the answer that is wanted")
	f.BoolVar(&o.update, "update", false, "write what the policy answers into the cases")
	f.StringArrayVar(&o.set, "set", nil, "setting of the policy as `KEY=VALUE`; several for a list")
	f.Uint64Var(&o.seed, "seed", 1, "`N` that the random questions come from")
	f.IntVar(&o.questions, "questions", 100, "`N` of them for each property")
	return cmd
}

// verdict is one thing that held or did not.
type verdict struct {
	Property string   `json:"property,omitempty"`
	Case     string   `json:"case,omitempty"`
	About    string   `json:"about,omitempty"`
	Role     sdk.Role `json:"role"`
	Part     string   `json:"part,omitempty"`
	Asked    int      `json:"questions"`
	OK       bool     `json:"ok"`
	Problem  string   `json:"problem,omitempty"`
	Updated  bool     `json:"updated,omitempty"`
}

// trial is what came out for one file.
type trial struct {
	File     string     `json:"file"`
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Runtime  string     `json:"runtime"`
	SHA256   string     `json:"sha256"`
	Roles    []sdk.Role `json:"roles"`
	Parts    []string   `json:"parts"`
	Verdicts []verdict  `json:"verdicts"`
	Asked    int        `json:"questions"`
	Failed   int        `json:"failed"`
}

func (t *trial) add(v verdict) {
	t.Asked += v.Asked
	if !v.OK {
		t.Failed++
	}
	t.Verdicts = append(t.Verdicts, v)
}

func (a *app) policyTest(ctx context.Context, files []string, o trialOptions) error {
	settings, err := settingsOf(o.set)
	if err != nil {
		return err
	}
	var trials []*trial
	var first policytest.Subject
	failed := 0
	for i, file := range files {
		t, subject, done, err := a.try(ctx, file, settings, o)
		if err != nil {
			return err
		}
		defer done()
		if i == 0 {
			first = subject
		} else {
			t.compare(first, subject, files[0], o)
		}
		failed += t.Failed
		trials = append(trials, t)
	}
	err = a.print(struct {
		Policies []*trial `json:"policies"`
		Failed   int      `json:"failed"`
	}{trials, failed}, func(w io.Writer) {
		for _, t := range trials {
			t.write(w)
		}
	})
	if err == nil && failed > 0 {
		err = localapi.Fail(localapi.CodeFailed, "the same --seed asks the same questions again", fmt.Errorf("%s did not hold", count(failed, "promise")))
	}
	return err
}

// try loads a policy and holds it to everything; done closes what was loaded.
func (a *app) try(ctx context.Context, file string, settings map[string]any, o trialOptions) (t *trial, s policytest.Subject, done func(), err error) {
	var open []io.Closer
	done = func() {
		for _, c := range open {
			_ = c.Close() // it was only tried
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	var both [2]loadedPolicy
	for i := range both {
		if both[i], err = loadPolicy(ctx, file, policyName(file), settings, a.log()); err != nil {
			return nil, s, done, err
		}
		open = append(open, both[i])
	}
	p := both[0]
	s = policytest.Subject{Description: p.Description(), Ask: asker(ctx, p), Again: asker(ctx, both[1]), Check: hostRules}
	t = &trial{
		File: file, Name: p.Description().GetName(), Version: p.Description().GetVersion(), Runtime: p.Runtime(), SHA256: p.Digest(),
		Roles: policytest.Roles(p.Description()),
	}
	for _, part := range partsOf(p.Description()) {
		t.Parts = append(t.Parts, string(part))
	}
	for _, r := range policytest.Properties(s, policytest.Options{Seed: o.seed, Cases: o.questions}) {
		t.add(verdict{Property: r.Property, Role: r.Role, Part: string(partOf(r.Guard)), Asked: r.Cases, OK: r.Problem == "", Problem: r.Problem})
	}
	for _, role := range t.Roles {
		t.hurry(ctx, p, role)
	}
	if ctx.Err() != nil {
		return nil, s, done, ctx.Err()
	}
	if o.cases != "" {
		err = t.golden(s, o)
	}
	return t, s, done, err
}

// asker puts questions to a policy with time enough for the largest.
func asker(ctx context.Context, p policy.Policy) policytest.Asker {
	return func(role sdk.Role, request []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return p.Ask(ctx, role, request)
	}
}

// hostRules is the check that a node makes.
func hostRules(role sdk.Role, guard bool, request, response []byte) error {
	_, err := policy.Check(role, partOf(guard), request, response)
	return err
}

func partOf(guard bool) policy.Part {
	if guard {
		return policy.PartGuard
	}
	return policy.PartDecider
}

// hurry asks an everyday question and holds the middle one of the times it takes against a node's
// deadline. A single slow answer may be this machine's fault.
func (t *trial) hurry(ctx context.Context, p policy.Policy, role sdk.Role) {
	const asked = 20
	deadline := policy.Deadlines{}.Of(role)
	v := verdict{Property: "an everyday question is answered in time", Role: role, Asked: asked, OK: true}
	request, err := everyday(role, slices.Contains(t.Parts, string(policy.PartGuard)))
	var took []time.Duration
	for range asked {
		if err == nil {
			began := time.Now()
			_, err = asker(ctx, p)(role, request)
			took = append(took, time.Since(began))
		}
	}
	if err != nil {
		v.OK, v.Problem = false, err.Error()
		t.add(v)
		return
	}
	slices.Sort(took)
	v.About = fmt.Sprintf("%v in the middle, %v at worst, %v are allowed", round(took[asked/2]), round(took[asked-1]), deadline)
	if took[asked/2] > deadline {
		v.OK, v.Problem = false, v.About
	}
	t.add(v)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// everyday is 72 fragments for 200 peers, a fragment on offer, or a hundred tesseras.
func everyday(role sdk.Role, guard bool) ([]byte, error) {
	switch role {
	case sdk.RolePlacement:
		q := policytest.Place(48, 24, policytest.Peers(200, nil))
		q.Guarding = guard
		return q.MarshalVT()
	case sdk.RoleReciprocity:
		q := policytest.Admit()
		q.Guarding = guard
		return q.MarshalVT()
	}
	q := policytest.Repair()
	for i := range 100 {
		q.Tesseras = append(q.Tesseras, policytest.Health(i, i%9, 8-i%9))
	}
	q.Guarding = guard
	return q.MarshalVT()
}

// golden holds the policy against cases, or writes its answers into them.
func (t *trial) golden(s policytest.Subject, o trialOptions) error {
	cases, err := policytest.ReadGolden(o.cases)
	if errors.Is(err, fs.ErrNotExist) {
		return localapi.Fail(localapi.CodeUsage, "a case is a file NAME.json; examples/README.md shows one", err)
	}
	if err != nil {
		return err
	}
	for _, c := range cases {
		if o.update {
			c.Want = nil // whatever it answers now is what is wanted
		}
		answered, problem, err := c.Answer(s)
		if err != nil {
			return localapi.Fail(localapi.CodeUsage, "correct the case", err)
		}
		v := verdict{Case: c.Name, About: c.About, Role: c.Role, Asked: 1, OK: problem == nil}
		switch {
		case problem != nil:
			v.Problem = problem.Error()
		case len(c.Want) == 0 && o.update:
			v.Updated = true
			err = answered.Write(o.cases)
		case len(c.Want) == 0:
			v.OK, v.Problem = false, "the case wants nothing yet: --update writes down what the policy answers"
		}
		if err != nil {
			return err
		}
		t.add(v)
	}
	return nil
}

// compare holds a policy against another one that should be the same.
func (t *trial) compare(first, second policytest.Subject, name string, o trialOptions) {
	for _, role := range policytest.Roles(first.Description) {
		v := verdict{Property: "the same bytes as " + name, Role: role, OK: true}
		for question := range policytest.Questions(role, !first.Description.GetDecider(), o.seed) {
			if v.Asked++; v.Asked > o.questions {
				v.Asked--
				break
			}
			one, err := first.Ask(role, question)
			other, err2 := second.Ask(role, question)
			if err := errors.Join(err, err2); err != nil {
				v.OK, v.Problem = false, err.Error()
				break
			}
			if !bytes.Equal(one, other) {
				v.OK, v.Problem = false, fmt.Sprintf("question %d of seed %d gets other bytes", v.Asked, o.seed)
				break
			}
		}
		t.add(v)
	}
}

func (t *trial) write(w io.Writer) {
	roles := make([]string, len(t.Roles))
	for i, r := range t.Roles {
		roles[i] = string(r)
	}
	row(w, fmt.Sprintf("%s %s (%s %s), %s for %s", t.Name, t.Version, t.Runtime, t.SHA256[:min(shortID, len(t.SHA256))],
		strings.Join(t.Parts, " and "), strings.Join(roles, ", ")))
	for _, v := range t.Verdicts {
		mark, what := "ok", v.Property
		if v.Case != "" {
			what = "case " + v.Case
		}
		if v.Updated {
			mark = "written"
		}
		detail := fmt.Sprintf("%s, %s", strings.TrimSpace(v.Part+" "+string(v.Role)), count(v.Asked, "question"))
		if v.About != "" {
			detail += ": " + v.About
		}
		if !v.OK {
			mark, detail = "FAILED", strings.TrimSpace(v.Part+" "+string(v.Role))+": "+v.Problem
		}
		row(w, mark, what, detail)
	}
	row(w, fmt.Sprintf("%s asked, %d did not hold", count(t.Asked, "question"), t.Failed))
}
