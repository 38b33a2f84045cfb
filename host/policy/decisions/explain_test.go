package decisions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

const mib = 1 << 20

// scripted is a policy that does what a test says.
type scripted struct {
	name string
	ask  func(role sdk.Role, request []byte) ([]byte, error)
}

func (s *scripted) Name() string    { return s.name }
func (s *scripted) Runtime() string { return "test" }
func (s *scripted) Digest() string  { return "5cafe1e55cafe1e5" }

func (s *scripted) Ask(_ context.Context, role sdk.Role, request []byte) ([]byte, error) {
	return s.ask(role, request)
}

type encodable interface{ MarshalVT() ([]byte, error) }

func says(name string, answer encodable) *scripted {
	return &scripted{name, func(sdk.Role, []byte) ([]byte, error) { return answer.MarshalVT() }}
}

// law excludes peers of a country.
func law(country string) *scripted {
	return &scripted{"law", func(_ sdk.Role, request []byte) ([]byte, error) {
		var r sdk.PlaceRequest
		if err := r.UnmarshalVT(request); err != nil {
			return nil, err
		}
		a := &sdk.PlaceResponse{Status: sdk.Status_OK, Reason: "read the statutes"}
		for i, c := range r.Candidates {
			if c.Country == country {
				a.Notes = append(a.Notes, &sdk.PeerNote{Candidate: uint32(i), Excluded: true, Reason: "nothing may go to " + country})
			}
		}
		return a.MarshalVT()
	}}
}

// world is a request for three fragments, and peers that each have another reason to get none of them:
// five good ones, of which two are taken in the one network where there are three, and the rest.
func world() *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", 0), Tier: sdk.FragmentationTier_MEDIUM, DataShards: 2, ParityShards: 1, Intent: sdk.Intent_NEW,
		Caps: &sdk.Caps{Replicas: 3, PerSubnet: 1, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range 3 {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: mib, Copies: 1})
	}
	add := func(n, net int, set func(*sdk.Candidate)) {
		c := &sdk.Candidate{Id: id("peer", n), Subnet: []byte{10, 0, byte(net)}, FreeBytes: 100 * mib, BalanceBytes: 1 << 40, Nearness: 9, Country: "NL"}
		set(c)
		r.Candidates = append(r.Candidates, c)
	}
	fine := func(*sdk.Candidate) {}
	add(0, 0, fine)
	add(1, 1, fine)
	add(2, 2, fine)
	add(3, 2, func(c *sdk.Candidate) { c.Nearness = 8 })        // the second of its network
	add(4, 4, func(c *sdk.Candidate) { c.Country = "XX" })      // where nothing may go
	add(5, 5, func(c *sdk.Candidate) { c.BalanceBytes = -1e9 }) // in debt
	add(6, 6, func(c *sdk.Candidate) { c.FreeBytes = mib / 2 }) // full
	add(7, 7, fine)                                             // denied
	return r
}

// node is an engine and the log it writes.
func node(t *testing.T, config policy.Config) (*policy.Engine, *Log) {
	t.Helper()
	l := open(t, newDisk(t), DefaultKeep)
	e := policy.New(policy.Deps{Recorder: l, Now: func() time.Time { return start }}, config)
	t.Cleanup(func() { e.Close() })
	return e, l
}

func place(t *testing.T, e *policy.Engine, r *sdk.PlaceRequest) *policy.Placement {
	t.Helper()
	p, err := e.Place(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func explained(t *testing.T, l *Log, decision string) (*Explanation, string) {
	t.Helper()
	d, err := l.Find(decision)
	if err != nil {
		t.Fatal(err)
	}
	moves, err := l.Moves(decision)
	if err != nil {
		t.Fatal(err)
	}
	x, err := Explain(d, moves)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if n, err := x.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	return x, b.String()
}

// TestExplainFindsEveryReason: one peer loses to the subnet cap, one to a guard, one to its balance, one
// is full, and one was denied.
func TestExplainFindsEveryReason(t *testing.T) {
	e, l := node(t, policy.Config{
		Placement: policy.Chain{Guards: []policy.Guard{{Policy: law("XX"), Closed: true}}},
		Denied: func(n sdk.NodeID) string {
			if n == sdk.NodeID(id("peer", 7)) {
				return "banned by the operator"
			}
			return ""
		},
	})
	p := place(t, e, world())
	x, text := explained(t, l, p.Decision)
	if len(x.Placed) != 3 || len(x.PassedOver) != 5 || x.By != "default (native)" || x.Outcome != policy.Answered {
		t.Fatalf("%s", text)
	}
	for n, want := range map[int]Because{
		3: {"default", "subnet cap: 10.0.2.0/24 has 1 peer of this tessera, the most allowed"},
		4: {"law", "excluded: nothing may go to XX"},
		5: {"default", "low balance: its owner owes us 953.7 MiB, the peers taken do more for us"},
		6: {"default", "full: 512 KiB free, a fragment is 1 MiB"},
		7: {"host", "denied: banned by the operator"},
	} {
		i := slices.IndexFunc(x.PassedOver, func(p PassedOver) bool { return p.Peer == sdk.NodeID(id("peer", n)) })
		if i < 0 || !slices.Equal(x.PassedOver[i].Because, []Because{want}) {
			t.Errorf("peer %d: want %v in\n%s", n, want, text)
		}
	}
	for _, a := range p.Assignments {
		i := slices.IndexFunc(x.Placed, func(p Placed) bool { return p.Fragment == a.Fragment })
		if i < 0 || x.Placed[i].Peer != a.Peer || x.Placed[i].Why != a.Reason || a.Reason == "" {
			t.Errorf("fragment %d: %+v", a.Fragment, x.Placed)
		}
	}
	for _, want := range []string{
		"decision " + p.Decision + ", placement, 2030-05-01T12:00:00Z\n",
		"asked: where to put 3 fragments of tessera " + sdk.ShortID(id("tessera", 0)) + ", 2 of which rebuild it; 7 peers known\n",
		"  guard, law (test 5cafe1e5): answered in 0s: read the statutes\n",
		"answered by default (native): 3 fragments placed, 3 peers in use\n",
		"  " + sdk.ShortID(id("peer", 4)) + " in 10.0.4.0/24 got nothing, says law: excluded: nothing may go to XX\n",
		"  fragment 0 went to ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestExplainFollowsMoves: a peer that did not take its fragment, and who came after it.
func TestExplainFollowsMoves(t *testing.T) {
	e, l := node(t, policy.Config{})
	r := world()
	r.Candidates = r.Candidates[:3]
	r.Candidates = append(r.Candidates, &sdk.Candidate{Id: id("peer", 9), Subnet: []byte{10, 0, 9}, FreeBytes: 100 * mib})
	p := place(t, e, r)
	first := p.Assignments[0]
	to, ok := p.Next(first.Fragment, first.Peer)
	if !ok {
		t.Fatal("nobody is next")
	}
	for at := to; ok; {
		at, ok = p.Next(first.Fragment, at)
	}
	x, text := explained(t, l, p.Decision)
	moves := x.Placed[0].Moves
	if len(moves) < 2 || moves[0].From != first.Peer || moves[0].To != to || moves[len(moves)-1].To != (sdk.NodeID{}) {
		t.Errorf("%+v", moves)
	}
	for _, want := range []string{first.Peer.Short() + " did not take it, so " + to.Short() + " was tried", "and nobody was left to try"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestExplainWithoutAPolicysWords: what a mute decider leaves out, the facts tell as far as they can.
func TestExplainWithoutAPolicysWords(t *testing.T) {
	r := world()
	r.Caps.InstitutionalPpm, r.Caps.Strict = 1, true
	institution := func(n int) *sdk.Candidate {
		return &sdk.Candidate{Id: id("peer", n), Subnet: []byte{10, 0, byte(n)}, Institutional: true}
	}
	r.Candidates = append(r.Candidates, institution(20), institution(21), &sdk.Candidate{Id: id("peer", 30), Subnet: []byte{10, 0, 30}})
	r.Holdings = []*sdk.Holding{
		{Id: id("peer", 20), Subnet: []byte{10, 0, 20}, Institutional: true, Fragments: []uint32{9}},
		{Id: id("peer", 30), Subnet: []byte{10, 0, 30}, Fragments: []uint32{0, 1, 2}},
	}
	mute := &scripted{"mute", func(_ sdk.Role, request []byte) ([]byte, error) {
		var r sdk.PlaceRequest
		if err := r.UnmarshalVT(request); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(r.Candidates, func(c *sdk.Candidate) bool { return slices.Equal(c.Id, id("peer", 2)) })
		return (&sdk.PlaceResponse{Status: sdk.Status_OK, Assignments: []*sdk.Assignment{{Fragment: 1, Candidate: uint32(at)}}}).MarshalVT()
	}}
	slow := says("slow", &sdk.PlaceResponse{Status: sdk.Status_OK, Notes: []*sdk.PeerNote{{Candidate: 0, Score: -5, Reason: "\x1b[31mslow"}, {Candidate: 1, Score: 5}}})
	e, l := node(t, policy.Config{Placement: policy.Chain{Guards: []policy.Guard{{Policy: slow}}, Deciders: []policy.Policy{mute}}})
	x, text := explained(t, l, place(t, e, r).Decision)
	if !slices.Equal(x.Unplaced, []Unplaced{{0, 1}, {2, 1}}) || len(x.Placed) != 1 {
		t.Errorf("%+v", x.Unplaced)
	}
	for n, want := range map[int]Because{
		3:  {"host", "subnet cap: 10.0.2.0/24 has 1 peer of this tessera"},
		6:  {"host", "full: 512 KiB free, a fragment is 1 MiB"},
		21: {"host", "institutional cap: 1 of the 3 peers of this tessera are institutions"},
		30: {"host", "it holds every fragment asked for already"},
	} {
		i := slices.IndexFunc(x.PassedOver, func(p PassedOver) bool { return p.Peer == sdk.NodeID(id("peer", n)) })
		if i < 0 || !slices.Contains(x.PassedOver[i].Because, want) {
			t.Errorf("peer %d: want %v in\n%s", n, want, text)
		}
	}
	for _, want := range []string{"says slow: scored -5: ?[31mslow", "says mute: no reason given", "fragment 0: 1 copy found no peer", "answered by mute (test 5cafe1e5)\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestExplainWhatWasNotPlaced: deferred by a guard, by a failed guard, by the default, by nobody.
func TestExplainWhatWasNotPlaced(t *testing.T) {
	trap := &scripted{"trap", func(sdk.Role, []byte) ([]byte, error) { return nil, errors.New("unreachable") }}
	owl := says("owl", &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "at night", Notes: []*sdk.PeerNote{{Candidate: 0, Excluded: true}}})
	full := world()
	full.Candidates = full.Candidates[6:7]
	for name, tt := range map[string]struct {
		config policy.Config
		asked  *sdk.PlaceRequest
		want   []string
	}{
		"guard": {
			policy.Config{Placement: policy.Chain{Guards: []policy.Guard{{Policy: owl}}}},
			world(),
			[]string{"deferred by owl (test 5cafe1e5): at night\n", "got nothing, says owl: excluded: no reason given"},
		},
		"failed guard": {
			policy.Config{Placement: policy.Chain{Guards: []policy.Guard{{Policy: trap, Closed: true}}}},
			world(),
			[]string{"  guard, trap (test 5cafe1e5): failed in 0s: unreachable\n", "deferred by trap (test 5cafe1e5): guard trap failed, and nothing is decided without it\n"},
		},
		"default": {policy.Config{}, full, []string{"deferred by default (native): none of 1 peer can take a fragment: 1 full\n", "says default: full: 512 KiB free"}},
		"nobody":  {policy.Config{NoDefaults: true}, world(), []string{"failed by nobody: placement: no policy answered: none is configured\n"}},
	} {
		e, l := node(t, tt.config)
		_, err := e.Place(t.Context(), tt.asked)
		var deferred *policy.DeferredError
		if !errors.As(err, &deferred) {
			t.Fatalf("%s: %v", name, err)
		}
		x, text := explained(t, l, deferred.Decision)
		if len(x.Placed) != 0 || len(x.PassedOver) != len(tt.asked.Candidates) {
			t.Errorf("%s: %+v", name, x)
		}
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
	}
}

func TestExplainAdmissionsAndRepairs(t *testing.T) {
	strict := says("strict", &sdk.AdmitResponse{Status: sdk.Status_OK, GrantBytes: 3 * mib})
	first := says("first", &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 1, Priority: 5000, Reason: "ours"}}})
	e, l := node(t, policy.Config{
		Reciprocity: policy.Chain{Guards: []policy.Guard{{Policy: strict}}},
		Repair:      policy.Chain{Guards: []policy.Guard{{Policy: first}}},
	})
	a, err := e.Admit(t.Context(), &sdk.AdmitRequest{
		Tessera: id("tessera", 0), Sender: id("peer", 0), Owner: id("owner", 0), SizeBytes: 4 * mib, Purpose: sdk.Purpose_CUSTODY,
		DeficitAllowance: 256 * mib, NewcomerBudget: 1 << 40, FreeBytes: 1 << 40, MinFreeBytes: 1 << 30, FragmentsTotal: 24,
	})
	if err != nil || a.Verdict != policy.Refuse {
		t.Fatalf("%+v, %v", a, err)
	}
	_, text := explained(t, l, a.Decision)
	for _, want := range []string{"a fragment of 4 MiB of tessera ", " to repair it; its owner ", "may owe 3 MiB", "answered by default (native): refuse: owner "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	plan, err := e.Repair(t.Context(), &sdk.RepairRequest{IntervalMs: 86_400_000, Tesseras: []*sdk.TesseraHealth{
		{Tessera: id("tessera", 0), SurvivesPeers: 3, Missing: 1, Recoverable: true},
		{Tessera: id("tessera", 1), SurvivesPeers: 4, Missing: 1, Suspect: 1, SuspectPeers: 1, Recoverable: true},
		{Tessera: id("tessera", 2), SurvivesPeers: 5, Missing: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	x, text := explained(t, l, plan.Sources[0].Decision)
	if len(x.Repairs) != 3 || x.Repairs[0].Tessera != plan.Orders[0].Tessera || !strings.Contains(x.Repairs[0].Words, plan.Orders[0].Reason) {
		t.Errorf("%+v", x.Repairs)
	}
	for _, want := range []string{
		"asked: what to repair of 3 tesseras\n", "all that is missing, in 12 h, priority 5000: raised by first: ours; ",
		" left alone: fewer fragments are held", "all that is missing, at once",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestExplainNonsense(t *testing.T) {
	for _, role := range []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair} {
		for _, d := range []policy.Decision{
			{Role: role, Request: []byte{0xff}},
			{Role: role, Request: []byte{0xff}, Response: []byte{0x08, 1}, Outcome: policy.Answered},
			{Role: role, Request: mustEncode(t, world()), Response: []byte{0xff}, Outcome: policy.Answered},
			{Role: role, Request: mustEncode(t, world()), Question: []byte{0xff}, Response: []byte{0x08, 1}, Outcome: policy.Answered},
		} {
			if _, err := Explain(d, nil); err == nil {
				t.Errorf("%s: explained %x", role, d.Response)
			}
		}
	}
}

func mustEncode(t *testing.T, m encodable) []byte {
	t.Helper()
	b, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func standard() *native.Policy { return native.New(plugins.DefaultName, plugins.Default()) }
