package placement

import (
	"bytes"
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/sdk"
)

// anyRequest draws a well-formed request; small worlds, so that every cap bites often.
func anyRequest(t *rapid.T) *sdk.PlaceRequest {
	data := rapid.IntRange(1, 6).Draw(t, "data")
	total := data + rapid.IntRange(0, 4).Draw(t, "parity")
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", rapid.IntRange(0, 99).Draw(t, "tessera")), DataShards: uint32(data), ParityShards: uint32(total - data),
		Caps: &sdk.Caps{
			Replicas: uint32(rapid.IntRange(0, 9).Draw(t, "replicas")), PerSubnet: uint32(rapid.IntRange(0, 3).Draw(t, "per subnet")),
			Strict: rapid.Bool().Draw(t, "strict"), InstitutionalPpm: rapid.SampledFrom([]uint32{0, sdk.InstitutionalPPM, 500_000}).Draw(t, "ppm"),
		},
	}
	for i := range total {
		if rapid.IntRange(0, 3).Draw(t, "placed") > 0 || i == 0 {
			r.Pieces = append(r.Pieces, &sdk.Piece{
				Index: uint32(i), SizeBytes: rapid.SampledFrom([]uint64{10, 10, 10, 20}).Draw(t, "size"),
				Copies: uint32(rapid.SampledFrom([]int{1, 1, 1, 2, 7}).Draw(t, "copies")),
			})
		}
	}
	for i := range rapid.IntRange(0, 16).Draw(t, "peers") {
		c := in(i, rapid.IntRange(0, 7).Draw(t, "net"))
		c.FreeBytes = rapid.SampledFrom([]uint64{0, 5, 10, 35, 1000, 1000, 1000}).Draw(t, "free")
		c.Operator = rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "operator")
		c.Institutional = rapid.IntRange(0, 3).Draw(t, "institutional") == 0
		c.Nearness = uint32(rapid.IntRange(0, 3).Draw(t, "near"))
		c.BalanceBytes = rapid.SampledFrom([]int64{0, 0, 1 << 30, -1 << 30}).Draw(t, "balance")
		c.ProofsAsked = uint32(rapid.SampledFrom([]int{0, 10}).Draw(t, "asked"))
		c.ProofSuccessPpm = uint32(rapid.SampledFrom([]int{0, 400_000, 1_000_000}).Draw(t, "proofs"))
		if rapid.IntRange(0, 3).Draw(t, "holds") == 0 {
			h := &sdk.Holding{Id: c.Id, Subnet: c.Subnet, Operator: c.Operator, Institutional: c.Institutional}
			for f := range total {
				if rapid.IntRange(0, 3).Draw(t, "fragment") == 0 {
					h.Fragments = append(h.Fragments, uint32(f))
				}
			}
			r.Holdings = append(r.Holdings, h)
		}
		if rapid.IntRange(0, 9).Draw(t, "candidate") > 0 {
			r.Candidates = append(r.Candidates, c)
		}
	}
	return byID(r)
}

// TestAnswersKeepTheRules asks what the host will check, and what makes the policy good.
func TestAnswersKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRequest(t)
		got := Spread{}.Place(r)
		if got.Status == sdk.Status_DEFER {
			if got.Reason == "" || len(got.Assignments) > 0 {
				t.Fatalf("deferred: %v", got)
			}
			return
		}
		if got.Status != sdk.Status_OK || len(got.Assignments) == 0 {
			t.Fatalf("%v %s", got.Status, got.Reason)
		}
		w := newWorld(r)
		for _, a := range got.Assignments {
			w.give(t, a)
		}
		w.checkCaps(t, got.SubnetCapYielded)
		w.checkSpread(t, got)
		if len(got.Notes)+len(w.given) != len(r.Candidates) {
			t.Fatalf("%d notes, %d peers used, %d candidates", len(got.Notes), len(w.given), len(r.Candidates))
		}
	})
}

// world is an independent reading of a request, in the plainest terms.
type world struct {
	r       *sdk.PlaceRequest
	holding map[string]*sdk.Holding
	given   map[string][]uint32
	free    map[string]uint64
	copies  map[uint32]uint32
	nets    map[string]int // peers in use
	inUse   int
	inst    int
	newInst bool
}

func newWorld(r *sdk.PlaceRequest) *world {
	w := &world{
		r: r, holding: map[string]*sdk.Holding{}, given: map[string][]uint32{}, free: map[string]uint64{},
		copies: map[uint32]uint32{}, nets: map[string]int{},
	}
	for _, p := range r.Pieces {
		w.copies[p.Index] = p.Copies
	}
	for _, c := range r.Candidates {
		w.free[string(c.Id)] = c.FreeBytes
	}
	for _, h := range r.Holdings {
		if len(h.Fragments) > 0 {
			w.holding[string(h.Id)] = h
			w.use(h.Subnet, h.Institutional)
		}
	}
	return w
}

func (w *world) use(subnet []byte, institutional bool) {
	w.nets[string(subnet)]++
	w.inUse++
	if institutional {
		w.inst++
	}
}

func (w *world) give(t *rapid.T, a *sdk.Assignment) {
	c := w.r.Candidates[a.Candidate]
	id := string(c.Id)
	at := slices.IndexFunc(w.r.Pieces, func(p *sdk.Piece) bool { return p.Index == a.Fragment })
	if at < 0 || w.copies[a.Fragment] == 0 {
		t.Fatalf("fragment %d was not asked for so often", a.Fragment)
	}
	w.copies[a.Fragment]--
	if w.has(id, a.Fragment) {
		t.Fatalf("fragment %d twice on one peer", a.Fragment)
	}
	if c.FreeBytes > 0 {
		if w.free[id] < w.r.Pieces[at].SizeBytes {
			t.Fatalf("fragment %d on a full peer", a.Fragment)
		}
		w.free[id] -= w.r.Pieces[at].SizeBytes
	}
	if w.holding[id] == nil && w.given[id] == nil {
		w.use(c.Subnet, c.Institutional)
		w.newInst = w.newInst || c.Institutional
	}
	w.given[id] = append(w.given[id], a.Fragment)
	seen := map[uint32]bool{a.Candidate: true}
	for _, alt := range a.Alternates {
		if seen[alt] || int(alt) >= len(w.r.Candidates) {
			t.Fatalf("alternates %v of candidate %d", a.Alternates, a.Candidate)
		}
		seen[alt] = true
	}
}

func (w *world) has(id string, fragment uint32) bool {
	return slices.Contains(w.holding[id].GetFragments(), fragment) || slices.Contains(w.given[id], fragment)
}

func (w *world) checkCaps(t *rapid.T, yielded bool) {
	over := false
	for _, c := range w.r.Candidates {
		opened := w.given[string(c.Id)] != nil && w.holding[string(c.Id)] == nil
		over = over || opened && w.r.Caps.PerSubnet > 0 && w.nets[string(c.Subnet)] > int(w.r.Caps.PerSubnet)
	}
	if over != yielded {
		t.Fatalf("over the subnet cap: %v, said: %v", over, yielded)
	}
	if yielded && !w.r.SubnetCapMayYield() {
		t.Fatal("the subnet cap gave way without need")
	}
	if w.newInst && w.inst > w.r.Caps.InstitutionalLimit(w.inUse) {
		t.Fatalf("%d institutions of %d peers", w.inst, w.inUse)
	}
}

// checkSpread: as many peers as the caps allow, loads level, no better peer idle.
func (w *world) checkSpread(t *rapid.T, got *sdk.PlaceResponse) {
	perSubnet := w.r.Caps.PerSubnet
	roomy := !slices.ContainsFunc(w.r.Candidates, func(c *sdk.Candidate) bool { return c.FreeBytes > 0 && c.FreeBytes < 200 || isDoubtful(c) })
	if reach := w.r.Reach(perSubnet, nil); !got.SubnetCapYielded && roomy && w.single() && w.inUse != reach.Peers {
		t.Fatalf("%d peers in use of %d", w.inUse, reach.Peers)
	}
	if !roomy || !w.single() {
		return
	}
	low, high := 1<<30, 0
	for _, c := range w.r.Candidates {
		id := string(c.Id)
		load := len(w.given[id]) + len(w.holding[id].GetFragments())
		if load > 0 && w.canTakeOne(id) {
			low = min(low, load)
		}
		if w.given[id] != nil {
			high = max(high, load)
		}
	}
	if high > low+1 {
		t.Fatalf("a peer got its fragment number %d while another has %d", high, low)
	}
}

func (w *world) single() bool {
	return !slices.ContainsFunc(w.r.Pieces, func(p *sdk.Piece) bool { return p.Copies > 1 })
}

func (w *world) canTakeOne(id string) bool {
	return !slices.ContainsFunc(w.r.Pieces, func(p *sdk.Piece) bool { return slices.Contains(w.holding[id].GetFragments(), p.Index) })
}

func TestSameInputSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRequest(t)
		asked, err := r.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		first, err := Spread{}.Place(r).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		after, err := r.MarshalVT()
		if err != nil || !bytes.Equal(asked, after) {
			t.Fatal("the policy changed its request")
		}
		var decoded sdk.PlaceRequest
		if err := decoded.UnmarshalVT(asked); err != nil {
			t.Fatal(err)
		}
		second, err := Spread{}.Place(&decoded).MarshalVT()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatal("the same bytes gave another answer")
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRequest(t)
		shuffled := *r
		shuffled.Candidates = rapid.Permutation(r.Candidates).Draw(t, "candidates")
		shuffled.Holdings = rapid.Permutation(r.Holdings).Draw(t, "holdings")
		shuffled.Pieces = rapid.Permutation(r.Pieces).Draw(t, "pieces")
		a, b := Spread{}.Place(r), Spread{}.Place(&shuffled)
		if a.Status != b.Status || len(a.Assignments) != len(b.Assignments) {
			t.Fatalf("%v, shuffled %v", a, b)
		}
		for i, x := range a.Assignments {
			y := b.Assignments[i]
			if x.Fragment != y.Fragment || x.Reason != y.Reason || !bytes.Equal(r.Candidates[x.Candidate].Id, shuffled.Candidates[y.Candidate].Id) {
				t.Fatalf("%v, shuffled %v", x, y)
			}
			for k := range x.Alternates {
				if !bytes.Equal(r.Candidates[x.Alternates[k]].Id, shuffled.Candidates[y.Alternates[k]].Id) {
					t.Fatalf("alternates of fragment %d differ", x.Fragment)
				}
			}
		}
		for _, n := range a.Notes {
			if got := noteFor(&shuffled, b, r.Candidates[n.Candidate].Id); got != n.Reason {
				t.Fatalf("note %q, shuffled %q", n.Reason, got)
			}
		}
	})
}

// TestPeersThenSubnetsThenOperators compares with every possible choice of peers for one copy each.
func TestPeersThenSubnetsThenOperators(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, copies := rapid.IntRange(1, 8).Draw(t, "peers"), rapid.IntRange(1, 5).Draw(t, "copies")
		var peers []*sdk.Candidate
		for i := range n {
			p := in(i, rapid.IntRange(0, 4).Draw(t, "net"))
			p.Operator = rapid.SampledFrom([]string{"", "u", "v", "w", "x"}).Draw(t, "operator")
			p.Nearness = uint32(rapid.IntRange(0, 2).Draw(t, "near"))
			peers = append(peers, p)
		}
		r := request(1, 1, peers...)
		r.Pieces[0].Copies = uint32(copies)
		r.Caps = &sdk.Caps{PerSubnet: uint32(rapid.IntRange(0, 2).Draw(t, "cap")), Strict: true}
		chosen := uint(0)
		for _, a := range (Spread{}).Place(r).Assignments {
			chosen |= 1 << a.Candidate
		}
		got, _ := weigh(r, chosen)
		for set := range uint(1) << n {
			other, ok := weigh(r, set)
			switch {
			case !ok || other.peers > copies:
			case other.peers > got.peers,
				other.peers == got.peers && len(other.nets) > len(got.nets),
				maps.Equal(other.nets, got.nets) && len(other.ops) > len(got.ops):
				t.Fatalf("took %+v; possible was %+v", got, other)
			}
		}
	})
}

// spread is what a set of candidates spreads over.
type spread struct {
	peers int
	nets  map[string]int
	ops   map[string]bool
}

// weigh counts a set of candidates, and tells whether it keeps the subnet cap.
func weigh(r *sdk.PlaceRequest, set uint) (s spread, ok bool) {
	s = spread{peers: bits.OnesCount(set), nets: map[string]int{}, ops: map[string]bool{}}
	for i, c := range r.Candidates {
		if set&(1<<i) == 0 {
			continue
		}
		s.nets[string(c.Subnet)]++
		s.ops[cmp.Or(c.Operator, string(c.Id))] = true
		if over := int(r.Caps.PerSubnet); over > 0 && s.nets[string(c.Subnet)] > over {
			return s, false
		}
	}
	return s, true
}
