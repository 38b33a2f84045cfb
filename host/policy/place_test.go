package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// TestLyingPlacements: every answer that breaks a hard rule is that policy's failure, and the work
// goes on without it.
func TestLyingPlacements(t *testing.T) {
	twoInOne := func() *sdk.PlaceRequest { // networks of three, enough of them
		var peers []*sdk.Candidate
		for i := range 30 {
			peers = append(peers, in(i, i/3))
		}
		return placeRequest(16, 24, peers...)
	}
	institutions := func() *sdk.PlaceRequest {
		peers := alone(40)
		for _, p := range peers[:20] {
			p.Institutional = true
		}
		return placeRequest(16, 24, peers...)
	}
	plain := func() *sdk.PlaceRequest { return placeRequest(16, 24, alone(30)...) }
	small := func() *sdk.PlaceRequest {
		r := plain()
		for _, c := range r.Candidates {
			c.FreeBytes = mib
		}
		return r
	}
	held := func() *sdk.PlaceRequest {
		r := plain()
		r.Holdings = []*sdk.Holding{{Id: r.Candidates[4].Id, Subnet: r.Candidates[4].Subnet, Fragments: []uint32{0}}}
		return r
	}
	positionOf := func(r *sdk.PlaceRequest, match func(*sdk.Candidate) bool) []uint32 {
		var out []uint32
		for i, c := range r.Candidates {
			if match(c) {
				out = append(out, uint32(i))
			}
		}
		return out
	}
	tests := []struct {
		name  string
		ask   func() *sdk.PlaceRequest
		spoil func(*sdk.PlaceRequest, *sdk.PlaceResponse)
		rule  Rule
	}{
		{"a peer nobody knows", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments[3].Candidate = 30 }, RuleUnknownPeer},
		{"a peer far beyond", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments[3].Candidate = 1<<32 - 1 }, RuleUnknownPeer},
		{"a fragment nobody asked for", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments[3].Fragment = 24 }, RuleUnknownFragment},
		{"a fragment too often", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments[3].Fragment = 4 }, RuleDuplicate},
		{"a full peer", small, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			a.Assignments[3].Candidate = a.Assignments[4].Candidate
		}, RuleFull},
		{"a fragment twice on a peer", held, func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			a.Assignments[0].Candidate = positionOf(r, func(c *sdk.Candidate) bool { return slices.Equal(c.Id, r.Holdings[0].Id) })[0]
		}, RuleDuplicate},
		{"three peers of a network", twoInOne, func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			for i, c := range positionOf(r, func(c *sdk.Candidate) bool { return c.Subnet[2] == 5 }) {
				a.Assignments[i].Candidate = c
			}
		}, RuleSubnetCap},
		{"yielding without need", twoInOne, func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			for i, c := range positionOf(r, func(c *sdk.Candidate) bool { return c.Subnet[2] == 5 }) {
				a.Assignments[i].Candidate = c
			}
			a.SubnetCapYielded = true
		}, RuleSubnetCap},
		{"too many institutions", institutions, func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			for i, c := range positionOf(r, func(c *sdk.Candidate) bool { return c.Institutional })[:8] {
				a.Assignments[i].Candidate = c
			}
			for i, c := range positionOf(r, func(c *sdk.Candidate) bool { return !c.Institutional })[:16] {
				a.Assignments[8+i].Candidate = c
			}
		}, RuleInstitutionalCap},
		{"an alternate nobody knows", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments[0].Alternates[0] = 77 }, RuleUnknownPeer},
		{"an alternate twice", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			a.Assignments[0].Alternates[1] = a.Assignments[0].Alternates[0]
		}, RuleDuplicate},
		{"an alternate that is the peer itself", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			a.Assignments[0].Alternates[1] = a.Assignments[0].Candidate
		}, RuleDuplicate},
		{"an alternate that holds it", held, func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
			a.Assignments[0].Alternates[1] = positionOf(r, func(c *sdk.Candidate) bool { return slices.Equal(c.Id, r.Holdings[0].Id) })[0]
		}, RuleDuplicate},
		{"a note about nobody", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Notes[0].Candidate = 30 }, RuleUnknownPeer},
		{"nothing", plain, func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) { a.Assignments = nil }, RuleEmpty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, counters, ring := engine(t, Config{}, tampers(tt.spoil))
			p, err := e.Place(t.Context(), tt.ask())
			if err != nil || p.Policy != "default" {
				t.Fatalf("%+v, %v", p, err)
			}
			if counted(counters, "liar", "test", Invalid) != 1 {
				t.Errorf("%v", counters.List())
			}
			if d, _ := ring.Get(p.Decision); !strings.Contains(d.Steps[0].Error, "hard rule: "+string(tt.rule)) {
				t.Errorf("said %q, want %q", d.Steps[0].Error, tt.rule)
			}
		})
	}
}

// TestHonestChangesAreNoLies: a policy may leave things out and choose otherwise.
func TestHonestChangesAreNoLies(t *testing.T) {
	e, _, _ := engine(t, Config{}, tampers(func(_ *sdk.PlaceRequest, a *sdk.PlaceResponse) {
		a.Assignments, a.Notes = a.Assignments[:20], nil
		a.Assignments[0].Candidate, a.Assignments[0].Alternates = a.Assignments[1].Candidate, nil
		a.Reason = "because\x07 I say so"
	}))
	p, err := e.Place(t.Context(), placeRequest(16, 24, alone(30)...))
	if err != nil || p.Policy != "liar" || len(p.Assignments) != 20 || len(p.Unplaced) != 4 || p.Reason != "because? I say so" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestDeferredPlacement(t *testing.T) {
	e, _, _ := engine(t, Config{})
	full := alone(3)
	for _, c := range full {
		c.FreeBytes = 1
	}
	_, err := e.Place(t.Context(), placeRequest(16, 24, full...))
	var deferred *DeferredError
	if !errors.Is(err, ErrDeferred) || !errors.As(err, &deferred) || len(deferred.Notes) != 3 || deferred.Policy != "default" {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(deferred.Reason, "none of 3 peers can take a fragment: 3 full") {
		t.Errorf("reason %q", deferred.Reason)
	}
	if _, err := e.Place(t.Context(), placeRequest(16, 24)); !errors.Is(err, ErrDeferred) {
		t.Errorf("without candidates: %v", err)
	}
}

func TestDeniedPeersAreNeverAskedAbout(t *testing.T) {
	e, _, _ := engine(t, Config{Denied: func(n sdk.NodeID) string {
		if n == peer(3) {
			return "banned by the operator"
		}
		return ""
	}})
	p, err := e.Place(t.Context(), placeRequest(16, 24, alone(9)...))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range p.Assignments {
		if a.Peer == peer(3) || slices.Contains(a.Alternates, peer(3)) {
			t.Errorf("fragment %d may go to a denied peer", a.Fragment)
		}
	}
	if !slices.Contains(p.Notes, Note{peer(3), "denied: banned by the operator"}) {
		t.Errorf("notes %v", p.Notes)
	}
}

func TestMalformedPlaceRequests(t *testing.T) {
	e, counters, _ := engine(t, Config{})
	for name, spoil := range map[string]func(*sdk.PlaceRequest){
		"no tessera":          func(r *sdk.PlaceRequest) { r.Tessera = nil },
		"no fragments":        func(r *sdk.PlaceRequest) { r.Pieces = nil },
		"too many fragments":  func(r *sdk.PlaceRequest) { r.Pieces = make([]*sdk.Piece, sdk.MaxFragments+1) },
		"an empty fragment":   func(r *sdk.PlaceRequest) { r.Pieces[0] = nil },
		"a fragment twice":    func(r *sdk.PlaceRequest) { r.Pieces[0].Index = 1 },
		"no copies":           func(r *sdk.PlaceRequest) { r.Pieces[0].Copies = 0 },
		"an empty candidate":  func(r *sdk.PlaceRequest) { r.Candidates[0] = nil },
		"a candidate twice":   func(r *sdk.PlaceRequest) { r.Candidates[0] = r.Candidates[1] },
		"an empty holder":     func(r *sdk.PlaceRequest) { r.Holdings = []*sdk.Holding{nil} },
		"a holder twice":      func(r *sdk.PlaceRequest) { r.Holdings = []*sdk.Holding{{Id: id("h", 0)}, {Id: id("h", 0)}} },
		"beyond 4 MiB":        func(r *sdk.PlaceRequest) { r.Candidates[0].Operator = strings.Repeat("x", sdk.MaxRequest) },
		"a candidate's id":    func(r *sdk.PlaceRequest) { r.Candidates[0].Id = []byte("short") },
		"a holder's short id": func(r *sdk.PlaceRequest) { r.Holdings = []*sdk.Holding{{Id: []byte("short")}} },
	} {
		r := placeRequest(16, 24, alone(9)...)
		spoil(r)
		if _, err := e.Place(t.Context(), r); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Place(t.Context(), nil); !errors.Is(err, ErrRequest) {
		t.Errorf("nil: %v", err)
	}
	if n := len(counters.List()); n != 0 {
		t.Error("a policy was asked a malformed question")
	}
}

// TestOneQuestionOneForm: the order in which a caller lists things does not reach the policy, and the
// caller's request stays as it is.
func TestOneQuestionOneForm(t *testing.T) {
	e, _, ring := engine(t, Config{})
	build := func(shuffle bool) *sdk.PlaceRequest {
		r := placeRequest(16, 24, alone(40)...)
		for i := range 5 {
			r.Holdings = append(r.Holdings, &sdk.Holding{Id: id("peer", i), Subnet: []byte{10, 0, byte(i)}, Fragments: []uint32{40, 41}})
		}
		r.Candidates[0].Labels = []*sdk.Label{{Key: "b", Value: "2"}, {Key: "a", Value: "\xff"}}
		if shuffle {
			swap := func(n int, f func(i, j int)) { rand.New(rand.NewPCG(1, 2)).Shuffle(n, f) }
			swap(len(r.Candidates), func(i, j int) { r.Candidates[i], r.Candidates[j] = r.Candidates[j], r.Candidates[i] })
			swap(len(r.Holdings), func(i, j int) { r.Holdings[i], r.Holdings[j] = r.Holdings[j], r.Holdings[i] })
			swap(len(r.Pieces), func(i, j int) { r.Pieces[i], r.Pieces[j] = r.Pieces[j], r.Pieces[i] })
			r.Holdings[0].Fragments = []uint32{41, 40, 41}
		}
		return r
	}
	var digests []string
	for _, shuffle := range []bool{false, true} {
		r := build(shuffle)
		before := fmt.Sprint(r.Candidates, r.Holdings, r.Pieces, r.Candidates[0].Labels)
		p, err := e.Place(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(r.Candidates, r.Holdings, r.Pieces, r.Candidates[0].Labels) != before {
			t.Error("the caller's request was changed")
		}
		d, _ := ring.Get(p.Decision)
		digests = append(digests, d.RequestDigest.String())
	}
	if digests[0] != digests[1] {
		t.Error("the same question was asked in two forms")
	}
}

func TestCandidatesBeyondTheLimit(t *testing.T) {
	e, _, ring := engine(t, Config{})
	peers := alone(sdk.MaxCandidates + 20)
	for i, p := range peers {
		p.Nearness = uint32(i % 7)
	}
	r := placeRequest(16, 24, peers...)
	r.Holdings = []*sdk.Holding{{Id: peers[0].Id, Subnet: peers[0].Subnet, Fragments: []uint32{99}}} // farthest, but a holder
	p, err := e.Place(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := ring.Get(p.Decision)
	var asked sdk.PlaceRequest
	if err := asked.UnmarshalVT(d.Request); err != nil {
		t.Fatal(err)
	}
	if len(asked.Candidates) != sdk.MaxCandidates || !slices.IsSortedFunc(asked.Candidates, func(a, b *sdk.Candidate) int { return slices.Compare(a.Id, b.Id) }) {
		t.Errorf("%d candidates were asked about", len(asked.Candidates))
	}
	if !slices.ContainsFunc(asked.Candidates, func(c *sdk.Candidate) bool { return slices.Equal(c.Id, peers[0].Id) }) {
		t.Error("a holder was left out")
	}
	if len(p.Notes) != len(peers)-24 {
		t.Errorf("%d notes", len(p.Notes))
	}
}

func TestHomeNetworkYieldsAndSaysSo(t *testing.T) {
	e, _, _ := engine(t, Config{})
	var peers []*sdk.Candidate
	for i := range 12 {
		peers = append(peers, in(i, 0))
	}
	r := placeRequest(16, 24, peers...)
	p, err := e.Place(t.Context(), r)
	if err != nil || !p.SubnetCapYielded || p.Policy != "default" || len(p.Assignments) != 24 {
		t.Fatalf("%+v, %v", p, err)
	}
	r.Caps.Strict = true
	if p, err = e.Place(t.Context(), r); err != nil || p.SubnetCapYielded {
		t.Errorf("strict: %+v, %v", p, err)
	}
}

func TestNext(t *testing.T) {
	e, _, _ := engine(t, Config{})
	p, err := e.Place(t.Context(), placeRequest(16, 24, alone(30)...))
	if err != nil {
		t.Fatal(err)
	}
	// Six peers are idle: the first six refusals go to them, one each; more go to peers with one.
	idle := map[sdk.NodeID]int{}
	for _, a := range p.Assignments[:6] {
		to, ok := p.Next(a.Fragment, a.Peer)
		if !ok {
			t.Fatalf("nobody for fragment %d", a.Fragment)
		}
		idle[to]++
	}
	if len(idle) != 6 {
		t.Errorf("refusals fell on %d idle peers", len(idle))
	}
	if _, ok := p.Next(p.Assignments[0].Fragment, p.Assignments[0].Peer); ok {
		t.Error("a peer that no longer has the fragment could fail again")
	}
	// One fragment nobody wants runs out of alternates, never asking a peer twice.
	a := p.Assignments[10]
	tried := map[sdk.NodeID]bool{}
	for at := a.Peer; ; {
		if tried[at] {
			t.Fatalf("peer %s was tried twice", at.Short())
		}
		tried[at] = true
		to, ok := p.Next(a.Fragment, at)
		if !ok {
			break
		}
		at = to
	}
	if len(tried) != 1+len(a.Alternates) {
		t.Errorf("%d peers tried, there are %d alternates", len(tried), len(a.Alternates))
	}
	if _, ok := p.Next(99, a.Peer); ok {
		t.Error("a fragment that was not placed has a next peer")
	}
}

// TestNextKeepsTheCaps: an alternate that was fine when it was named is passed over when the caps
// forbid it by then.
func TestNextKeepsTheCaps(t *testing.T) {
	peers := alone(10)
	for i := range 4 {
		peers = append(peers, in(10+i, 200)) // a network of four, two of which may be used
	}
	for _, c := range peers[:10] {
		c.Nearness = 9
	}
	r := placeRequest(1, 10, peers...)
	e, _, _ := engine(t, Config{})
	p, err := e.Place(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	network := func() (n int) {
		for _, c := range peers[10:] {
			if slices.Contains(p.holder, sdk.NodeID(c.Id)) {
				n++
			}
		}
		return n
	}
	for _, a := range p.Assignments {
		p.Next(a.Fragment, a.Peer)
		if n := network(); n > 2 {
			t.Fatalf("%d peers of one network", n)
		}
	}
	if network() != 2 {
		t.Errorf("%d peers of the network were used, two could be", network())
	}
}

// TestBesideCountsBoth: a peer that is slow with a fragment may have it yet.
func TestBesideCountsBoth(t *testing.T) {
	peers := alone(10)
	for i := range 4 {
		peers = append(peers, in(10+i, 200)) // a network of four, two of which may be used
	}
	for _, c := range peers[:10] {
		c.Nearness = 9
	}
	e, _, _ := engine(t, Config{})
	p, err := e.Place(t.Context(), placeRequest(1, 10, peers...))
	if err != nil {
		t.Fatal(err)
	}
	network := map[sdk.NodeID]bool{}
	for _, a := range p.Assignments {
		has := map[sdk.NodeID]bool{a.Peer: true}
		for at := a.Peer; ; {
			to, ok := p.Beside(a.Fragment, at)
			if !ok {
				break
			}
			if has[to] {
				t.Fatalf("fragment %d at %s twice", a.Fragment, to.Short())
			}
			has[to], at = true, to
			if slices.ContainsFunc(peers[10:], func(c *sdk.Candidate) bool { return sdk.NodeID(c.Id) == to }) {
				network[to] = true
			}
		}
		if len(has) == 1 {
			t.Errorf("nobody beside %s for fragment %d", a.Peer.Short(), a.Fragment)
		}
	}
	if len(network) != 2 {
		t.Errorf("%d peers of the network may have something, two could", len(network))
	}
	a := p.Assignments[0]
	if _, ok := p.Beside(99, a.Peer); ok {
		t.Error("a fragment that was not placed has another peer")
	}
}

func TestWholeCopies(t *testing.T) {
	r := placeRequest(1, 1, alone(9)...)
	r.Pieces[0].Copies = 7
	e, _, _ := engine(t, Config{})
	p, err := e.Place(t.Context(), r)
	if err != nil || len(p.Assignments) != 7 {
		t.Fatalf("%+v, %v", p, err)
	}
	used := map[sdk.NodeID]bool{}
	for _, a := range p.Assignments {
		used[a.Peer] = true
	}
	for _, a := range p.Assignments[:3] {
		if to, ok := p.Next(0, a.Peer); ok {
			if used[to] {
				t.Errorf("a second copy on %s", to.Short())
			}
			used[to] = true
		}
	}
	if len(used) != 9 {
		t.Errorf("%d peers tried, two were idle", len(used))
	}
}
