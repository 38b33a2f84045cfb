package placement

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

func TestSubnetCapHolds(t *testing.T) {
	var peers []*sdk.Candidate
	for i := range 40 {
		peers = append(peers, in(i, i/5)) // eight networks of five
	}
	r := request(16, 24, peers...)
	got := place(t, r)
	if l := netLoads(r, got); !slices.Equal(l, []int{3, 3, 3, 3, 3, 3, 3, 3}) {
		t.Errorf("fragments by network %v", l)
	}
	if l := loads(r, got); len(l) != 16 || l[0] != 2 {
		t.Errorf("fragments by peer %v", l)
	}
	if got.SubnetCapYielded {
		t.Error("the cap gave way without need")
	}
	if n := len(got.Notes); n != 24 || !strings.HasPrefix(got.Notes[0].Reason, "subnet cap: 10.0.") {
		t.Errorf("%d notes, first %q", n, got.Notes[0].Reason)
	}
}

func TestSubnetsBeforeOperatorsBeforeNearness(t *testing.T) {
	peers := []*sdk.Candidate{in(0, 0), in(1, 0), in(2, 1), in(3, 2)}
	peers[0].Nearness, peers[1].Nearness = 9, 8
	peers[0].Operator, peers[2].Operator = "x", "x"
	r := request(1, 1, peers...)
	r.Pieces[0].Copies = 3
	r.Caps.PerSubnet = 0
	got := place(t, r)
	if l := netLoads(r, got); !slices.Equal(l, []int{1, 1, 1}) {
		t.Errorf("by network %v", l)
	}
	// Peer 0 is nearest, but peer 1 of its network spreads the operators.
	if l := opLoads(r, got); !slices.Equal(l, []int{1, 1, 1}) {
		t.Errorf("by operator %v", l)
	}
	if reason := noteFor(r, got, peers[0].Id); !strings.Contains(reason, "operator") && !strings.Contains(reason, "network") {
		t.Errorf("reason %q", reason)
	}
}

func TestHomeNetworkUsesEveryPeer(t *testing.T) {
	var peers []*sdk.Candidate
	for i := range 12 {
		peers = append(peers, in(i, 0))
	}
	r := request(16, 24, peers...)
	got := place(t, r)
	if l := loads(r, got); len(l) != 12 || l[0] != 2 {
		t.Errorf("loads %v", l)
	}
	if !got.SubnetCapYielded || !strings.Contains(got.Reason, "the limit of 2 peers a network gave way") {
		t.Errorf("yielded %v: %s", got.SubnetCapYielded, got.Reason)
	}

	r.Caps.Strict = true
	got = place(t, r)
	if l := loads(r, got); got.SubnetCapYielded || !slices.Equal(l, []int{12, 12}) {
		t.Errorf("strict: yielded %v, loads %v", got.SubnetCapYielded, l)
	}
}

func TestCapYieldsOnlyAsFarAsItHelps(t *testing.T) {
	// Seven networks of one peer and one of twenty.
	peers := alone(7)
	for i := range 20 {
		peers = append(peers, in(100+i, 99))
	}
	r := request(16, 24, peers...)
	if got := place(t, r); got.SubnetCapYielded || len(loads(r, got)) != 9 {
		t.Errorf("nine peers could be had under the cap: yielded %v, %v", got.SubnetCapYielded, loads(r, got))
	}

	// A third peer of the big network makes ten, and that network may still be lost.
	r.Caps.Replicas = 10
	got := place(t, r)
	if l := netLoads(r, got); !got.SubnetCapYielded || len(loads(r, got)) != 10 || l[0] > 8 {
		t.Errorf("yielded %v, by network %v, by peer %v", got.SubnetCapYielded, l, loads(r, got))
	}

	// To reach 16 peers the big network must hold more than may be lost: then all peers are used.
	r.Caps.Replicas = 16
	if got := place(t, r); !got.SubnetCapYielded || len(loads(r, got)) != 24 {
		t.Errorf("yielded %v, by peer %v", got.SubnetCapYielded, loads(r, got))
	}
}

func TestInstitutionalCap(t *testing.T) {
	for _, tt := range []struct{ institutions, others, want int }{
		{24, 24, 7}, // of 24 peers ceil(24/3.5)
		{10, 5, 3},  // of 8 peers ceil(8/3.5)
		{3, 30, 3},
		{10, 0, 1},
	} {
		peers := alone(tt.institutions + tt.others)
		for _, p := range peers[:tt.institutions] {
			p.Institutional, p.Nearness = true, 9 // nearest: all would be taken
		}
		r := request(16, 24, peers...)
		got, used := place(t, r), map[uint32]bool{}
		for _, a := range got.Assignments {
			if r.Candidates[a.Candidate].Institutional {
				used[a.Candidate] = true
			}
		}
		if len(used) != tt.want {
			t.Errorf("%d institutions and %d others: %d institutions used, want %d", tt.institutions, tt.others, len(used), tt.want)
		}
		if tt.institutions > tt.want && !slices.ContainsFunc(got.Notes, func(n *sdk.PeerNote) bool { return strings.HasPrefix(n.Reason, "institutional cap: ") }) {
			t.Errorf("no note names the institutional cap: %v", got.Notes)
		}
	}
}

func TestFreeSpaceIsCountedDown(t *testing.T) {
	peers := alone(7)
	peers[0].FreeBytes = 2*mib + 5
	r := request(16, 24, peers...)
	got := place(t, r)
	if l := loads(r, got); !slices.Equal(l, []int{4, 4, 4, 4, 3, 3, 2}) && !slices.Equal(l, []int{4, 4, 4, 4, 4, 2, 2}) {
		t.Errorf("loads %v", l)
	}
	for _, a := range got.Assignments {
		if n := slices.Index(a.Alternates, uint32(slices.IndexFunc(r.Candidates, func(c *sdk.Candidate) bool { return c.FreeBytes == peers[0].FreeBytes }))); n >= 0 {
			t.Errorf("a full peer is an alternate of fragment %d", a.Fragment)
		}
	}
}

func TestNoRoomForEverythingIsSaid(t *testing.T) {
	peers := alone(7)
	for _, p := range peers {
		p.FreeBytes = 2 * mib
	}
	r := request(16, 24, peers...)
	if got := place(t, r); len(got.Assignments) != 14 || !strings.Contains(got.Reason, "10 fragments found no peer") {
		t.Errorf("%d placed: %s", len(got.Assignments), got.Reason)
	}
}

func TestDoubtfulPeersAreTheLastResort(t *testing.T) {
	peers := alone(12)
	for _, p := range peers[:5] {
		p.ProofsAsked, p.ProofSuccessPpm, p.Nearness = 10, 200_000, 9
	}
	r := request(16, 24, peers...)
	got := place(t, r)
	if l := loads(r, got); len(l) != 7 {
		t.Errorf("seven good peers, used %v", l)
	}
	if reason := noteFor(r, got, peers[0].Id); reason != "fails most proofs: 20 of 100 succeed" {
		t.Errorf("reason %q", reason)
	}
	r = request(16, 24, peers[:11]...) // six good ones only
	got = place(t, r)
	if l := loads(r, got); len(l) != 11 {
		t.Errorf("six good peers, used %v", l)
	}
	if !slices.ContainsFunc(got.Assignments, func(a *sdk.Assignment) bool { return strings.Contains(a.Reason, "though it fails most proofs") }) {
		t.Error("no assignment admits it")
	}
}

func TestRepairCountsHoldings(t *testing.T) {
	peers := alone(26)
	r := request(16, 4, peers...)
	r.Intent, r.ParityShards = sdk.Intent_REPAIR, 8
	for i := range 20 {
		r.Holdings = append(r.Holdings, &sdk.Holding{Id: peers[i].Id, Subnet: peers[i].Subnet, Fragments: []uint32{uint32(4 + i)}})
	}
	got := place(t, r)
	if l := fmt.Sprint(loads(r, got)); l != fmt.Sprint(slices.Repeat([]int{1}, 24)) {
		t.Errorf("loads after repair %s", l)
	}

	// With nobody new, the holders take a second one each, at most one more than the others.
	r.Candidates = byID(&sdk.PlaceRequest{Candidates: peers[:20]}).Candidates
	if l := loads(r, place(t, r)); len(l) != 20 || l[0] != 2 || l[3] != 2 || l[4] != 1 {
		t.Errorf("loads among holders %v", l)
	}
}

func TestRepairHonoursCapsOfHoldings(t *testing.T) {
	// Seven holders in use, two of them in network 0: the candidate there is barred, the other is not.
	r := request(16, 1, in(50, 0), in(51, 77))
	r.Intent = sdk.Intent_REPAIR
	for i := range 7 {
		r.Holdings = append(r.Holdings, &sdk.Holding{
			Id: id("holder", i), Subnet: []byte{10, 0, byte(max(0, i-1))}, Fragments: []uint32{uint32(10 + i)}, Institutional: i < 3,
		})
	}
	got := place(t, r)
	if to := where(r, got)[0][0]; to != string(id("peer", 51)) {
		t.Errorf("fragment went into a network at its limit: %v", got.Notes)
	}
	// Three of eight peers are institutions, the most allowed.
	r = request(16, 1, in(51, 77), in(52, 78))
	r.Candidates[0].Institutional = true
	r.Holdings = []*sdk.Holding{}
	for i := range 7 {
		r.Holdings = append(r.Holdings, &sdk.Holding{Id: id("holder", i), Subnet: []byte{10, 1, byte(i)}, Fragments: []uint32{uint32(10 + i)}, Institutional: i < 3})
	}
	if got := place(t, r); r.Candidates[got.Assignments[0].Candidate].Institutional {
		t.Error("a fourth institution of eight peers")
	}
}

func TestNeverTheSameFragmentTwice(t *testing.T) {
	// A whole copy is missing; two peers hold one already and are candidates as well.
	peers := alone(4)
	r := request(1, 1, peers...)
	r.Pieces[0].Copies = 7
	for _, p := range peers[:2] {
		r.Holdings = append(r.Holdings, &sdk.Holding{Id: p.Id, Subnet: p.Subnet, Fragments: []uint32{0}})
	}
	got := place(t, r)
	if l := loads(r, got); !slices.Equal(l, []int{1, 1, 1, 1}) {
		t.Errorf("loads %v", l)
	}
	for _, a := range got.Assignments {
		if len(a.Alternates) > 0 {
			t.Errorf("alternates %v, but everybody has the fragment", a.Alternates)
		}
	}
}

func TestAlternates(t *testing.T) {
	r := request(16, 24, alone(60)...)
	got, first := place(t, r), map[uint32]int{}
	for _, a := range got.Assignments {
		if len(a.Alternates) != maxAlternates {
			t.Fatalf("%d alternates", len(a.Alternates))
		}
		seen := map[uint32]bool{a.Candidate: true}
		for _, alt := range a.Alternates {
			if seen[alt] {
				t.Errorf("fragment %d: peer %d twice", a.Fragment, alt)
			}
			seen[alt] = true
			if slices.ContainsFunc(got.Assignments, func(b *sdk.Assignment) bool { return b.Candidate == alt }) {
				t.Errorf("fragment %d: a peer in use stands in while others are idle", a.Fragment)
			}
		}
		first[a.Alternates[0]]++
	}
	for alt, n := range first {
		if n > 1 {
			t.Errorf("peer %d is the first alternate of %d fragments", alt, n)
		}
	}

	// With everybody in use, those with the fewest come first.
	r = request(16, 24, alone(7)...)
	got = place(t, r)
	load := map[uint32]int{}
	for _, a := range got.Assignments {
		load[a.Candidate]++
	}
	for _, a := range got.Assignments {
		if len(a.Alternates) != 6 || !slices.IsSortedFunc(a.Alternates, func(x, y uint32) int { return load[x] - load[y] }) {
			t.Errorf("fragment %d: alternates %v", a.Fragment, a.Alternates)
		}
	}
}

func TestReasonsStayShort(t *testing.T) {
	r := request(48, 72, alone(200)...)
	got := place(t, r)
	for _, a := range got.Assignments {
		if a.Reason == "" || len(a.Reason) > 120 {
			t.Errorf("reason %q", a.Reason)
		}
	}
	if len(got.Notes) != 128 {
		t.Errorf("%d notes for 128 peers passed over", len(got.Notes))
	}
	if n := got.SizeVT(); n > 64<<10 {
		t.Errorf("the answer has %d bytes", n)
	}
}
