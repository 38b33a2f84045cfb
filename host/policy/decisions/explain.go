package decisions

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// Explanation is a decision in words.
type Explanation struct {
	Decision string
	Time     time.Time
	Role     sdk.Role
	Subject  string // what was asked, in a sentence
	Outcome  policy.Outcome
	By       string // who decided
	Reason   string // in the words of who decided
	Asked    []Said // everybody, in order

	Placed     []Placed     // by fragment
	Unplaced   []Unplaced   // by fragment
	PassedOver []PassedOver // every peer that got nothing, by id
	Repairs    []Repair     // in the order they were to be worked on
}

// Said is what one policy said.
type Said struct {
	Who     string // name, runtime and digest
	Part    policy.Part
	Outcome policy.Outcome
	Words   string // its reason, or what was wrong with it
	Took    time.Duration
}

// Placed is where one copy of a fragment went.
type Placed struct {
	Fragment uint32
	Peer     sdk.NodeID // it was given to
	Network  string
	Why      string
	Moves    []policy.Move // to others, where the peer did not take it
}

// Unplaced is a fragment some copies of which found no peer.
type Unplaced struct {
	Fragment uint32
	Copies   int
}

// PassedOver is a peer that got nothing, and why; where several had a reason, each of them.
type PassedOver struct {
	Peer    sdk.NodeID
	Network string // "" where the record does not tell
	Because []Because
}

// Because is one reason.
type Because struct {
	By  string // a policy, or "host"
	Why string
}

// Repair is what was decided about one tessera.
type Repair struct {
	Tessera sdk.TesseraID
	Ordered bool // else it was left alone
	Words   string
}

// host is who speaks where no policy does.
const host = "host"

// Explain puts a decision into words. moves tell what became of a placement, as Log.Moves gives them.
// Errors: those of reading the recorded bytes.
func Explain(d policy.Decision, moves []policy.Move) (*Explanation, error) {
	x := &Explanation{Decision: d.ID, Time: d.Time, Role: d.Role, Outcome: d.Outcome, By: "nobody", Reason: d.Reason}
	for _, s := range d.Steps {
		x.Asked = append(x.Asked, said(d, s))
		if s.Policy == d.Policy && s.Runtime == d.Runtime {
			x.By = who(s)
		}
	}
	var err error
	switch d.Role {
	case sdk.RolePlacement:
		err = x.placement(d, moves)
	case sdk.RoleReciprocity:
		err = x.admission(d)
	case sdk.RoleRepair:
		err = x.repairs(d)
	}
	if err != nil {
		return nil, fmt.Errorf("explain decision %s: %w", d.ID, err)
	}
	return x, nil
}

// who names a policy with what is behind it.
func who(s policy.Step) string {
	if s.Digest == "" {
		return fmt.Sprintf("%s (%s)", s.Policy, s.Runtime)
	}
	return fmt.Sprintf("%s (%s %s)", s.Policy, s.Runtime, s.Digest[:min(8, len(s.Digest))])
}

func said(d policy.Decision, s policy.Step) Said {
	out := Said{Who: who(s), Part: s.Part, Outcome: s.Outcome, Words: s.Error, Took: s.Took}
	switch {
	case s.Error != "":
	case s.Response != nil:
		out.Words = policy.Clean(words(d.Role, s.Response))
	case s.Outcome == d.Outcome:
		out.Words = d.Reason
	}
	return out
}

// words reads the reason out of an answer.
func words(role sdk.Role, response []byte) string {
	switch role {
	case sdk.RolePlacement:
		var a sdk.PlaceResponse
		if a.UnmarshalVT(response) == nil {
			return a.Reason
		}
	case sdk.RoleReciprocity:
		var a sdk.AdmitResponse
		if a.UnmarshalVT(response) == nil {
			return a.Reason
		}
	case sdk.RoleRepair:
		var a sdk.RepairResponse
		if a.UnmarshalVT(response) == nil {
			return a.Reason
		}
	}
	return ""
}

func (x *Explanation) admission(d policy.Decision) error {
	var r sdk.AdmitRequest
	if err := r.UnmarshalVT(d.Request); err != nil {
		return err
	}
	purpose := "publish"
	if r.Purpose == sdk.Purpose_CUSTODY {
		purpose = "repair"
	}
	x.Subject = fmt.Sprintf(
		"a fragment of %s of tessera %s, pushed by %s to %s it; its owner %s has %s here, stores %s for us and may owe %s; %s are free, of which %s stay free",
		sdk.SizeText(r.SizeBytes), sdk.ShortID(r.Tessera), sdk.ShortID(r.Sender), purpose, sdk.ShortID(r.Owner),
		sdk.SizeText(r.StoredForThem), sdk.SizeText(r.TheyStoreForUs), sdk.SizeText(r.DeficitAllowance),
		sdk.SizeText(r.FreeBytes), sdk.SizeText(r.MinFreeBytes))
	a, err := policy.AdmissionOf(d)
	if err != nil {
		return err
	}
	x.Reason = a.Verdict.String() + colon(d.Reason)
	if a.Custody {
		x.Reason += ", on the custody budget"
	}
	return nil
}

func (x *Explanation) repairs(d policy.Decision) error {
	plan, err := policy.PlanOf(d)
	if err != nil {
		return err
	}
	x.Subject = fmt.Sprintf("what to repair of %s", amount(len(tesseras(d)), "tessera"))
	for _, o := range plan.Orders {
		x.Repairs = append(x.Repairs, Repair{o.Tessera, true, orderWords(o)})
	}
	for _, s := range plan.Skipped {
		x.Repairs = append(x.Repairs, Repair{s.Tessera, false, s.Reason})
	}
	return nil
}

func orderWords(o policy.RepairOrder) string {
	when, what := "at once", "all that is missing"
	if o.Wait > 0 {
		when = "in " + sdk.DurationText(uint64(o.Wait.Milliseconds()))
	}
	if o.Rebuild > 0 {
		what = amount(o.Rebuild, "fragment")
	}
	return fmt.Sprintf("%s, %s, priority %d: %s", what, when, o.Priority, cmp.Or(o.Reason, "no reason given"))
}

// WriteTo writes the explanation for people.
func (x *Explanation) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("decision %s, %s, %s", x.Decision, x.Role, x.Time.UTC().Format(time.RFC3339))
	line("asked: %s", x.Subject)
	for _, s := range x.Asked {
		line("  %s, %s: %s in %v%s", s.Part, s.Who, s.Outcome, s.Took.Round(time.Microsecond), colon(s.Words))
	}
	line("%s by %s%s", x.Outcome, x.By, colon(x.Reason))
	for _, p := range x.Placed {
		line("  fragment %d went to %s%s%s", p.Fragment, p.Peer.Short(), in(p.Network), colon(p.Why))
		for _, m := range p.Moves {
			line("    %s did not take it, %s", m.From.Short(), nextWords(m))
		}
	}
	for _, u := range x.Unplaced {
		line("  fragment %d: %s found no peer", u.Fragment, copies(u.Copies))
	}
	for _, p := range x.PassedOver {
		for _, because := range p.Because {
			line("  %s%s got nothing, says %s: %s", p.Peer.Short(), in(p.Network), because.By, because.Why)
		}
	}
	for _, r := range x.Repairs {
		verb := "left alone"
		if r.Ordered {
			verb = "to be repaired"
		}
		line("  tessera %s %s: %s", r.Tessera.Short(), verb, r.Words)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func colon(words string) string {
	if words == "" {
		return ""
	}
	return ": " + words
}

func in(network string) string {
	if network == "" {
		return ""
	}
	return " in " + network
}

func nextWords(m policy.Move) string {
	if m.To == (sdk.NodeID{}) {
		return "and nobody was left to try"
	}
	return "so " + m.To.Short() + " was tried"
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

// amount writes a number with its noun.
func amount(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
