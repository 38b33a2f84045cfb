package policy

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/sdk"
)

// anyPlaceRequest draws from small worlds, so that every cap bites often.
func anyPlaceRequest(t *rapid.T) *sdk.PlaceRequest {
	draw := func(name string, from ...int) int { return rapid.SampledFrom(from).Draw(t, name) }
	data, total := draw("data", 1, 1, 2, 4, 6), 0
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", draw("tessera", 0, 1, 2, 3)), DataShards: uint32(data),
		Caps: &sdk.Caps{
			Replicas: uint32(draw("replicas", 0, 2, 5, 7)), PerSubnet: uint32(draw("per subnet", 0, 1, 2)),
			Strict: rapid.Bool().Draw(t, "strict"), InstitutionalPpm: uint32(draw("ppm", 0, sdk.InstitutionalPPM, 500_000)),
		},
	}
	total = data + draw("parity", 0, 1, 2, 3)
	for i := range total {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: uint64(draw("size", 10, 10, 20)), Copies: uint32(draw("copies", 1, 1, 1, 7))})
	}
	for i := range rapid.IntRange(0, 14).Draw(t, "peers") {
		c := in(i, draw("net", 0, 1, 2, 3, 4, 5))
		c.FreeBytes = uint64(draw("free", 0, 5, 10, 35, 1000, 1000))
		c.Operator = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "operator")
		c.Institutional = draw("institutional", 0, 0, 1) == 1
		c.ProofsAsked, c.ProofSuccessPpm = 10, uint32(draw("proofs", 200_000, 1_000_000, 1_000_000))
		if draw("unknown network", 0, 0, 0, 1) == 1 {
			c.Subnet = nil
		}
		if draw("holds", 0, 0, 1) == 1 {
			r.Holdings = append(r.Holdings, &sdk.Holding{
				Id: c.Id, Subnet: c.Subnet, Operator: c.Operator, Institutional: c.Institutional,
				Fragments: []uint32{uint32(draw("held", 0, 1, 50)), uint32(draw("held", 1, 2, 51))},
			})
		}
		if draw("candidate", 1, 1, 1, 0) == 1 {
			r.Candidates = append(r.Candidates, c)
		}
	}
	return r
}

// TestTheDefaultKeepsEveryRule: the host never has to correct its own default, and no chain of
// refusals leads out of the rules.
func TestTheDefaultKeepsEveryRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyPlaceRequest(t)
		counters := &Counters{}
		e := New(Deps{Metrics: counters}, Config{})
		p, err := e.Place(t.Context(), r)
		if errors.Is(err, ErrDeferred) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if counts := counters.List(); len(counts) != 1 || counts[0].Outcome != Answered || counts[0].Calls != 1 {
			t.Fatalf("%v", counts)
		}
		placed := len(p.Assignments)
		for _, u := range p.Unplaced {
			placed += u.Copies
		}
		if placed != r.Copies() {
			t.Fatalf("%d of %d accounted for", placed, r.Copies())
		}
		w := world{r, p}
		w.check(t, p.SubnetCapYielded)
		w.checkInstitutions(t)
		for range rapid.IntRange(0, 30).Draw(t, "refusals") {
			i := rapid.IntRange(0, len(p.Assignments)-1).Draw(t, "who")
			before := p.holder[i]
			if to, ok := p.Next(p.Assignments[i].Fragment, before); ok && to == before {
				t.Fatal("the peer that refused is next")
			}
			w.check(t, p.SubnetCapYielded)
		}
	})
}

// world reads a placement as it stands, on its own terms.
type world struct {
	r *sdk.PlaceRequest
	p *Placement
}

// check holds at all times. How many institutions are allowed falls with every peer that drops out,
// so that rule is checked before the first refusal only; Next never takes in one too many.
func (w world) check(t *rapid.T, yielded bool) {
	has := map[keeping]bool{}
	for _, h := range w.r.Holdings {
		for _, f := range h.Fragments {
			has[keeping{sdk.NodeID(h.Id), f}] = true
		}
	}
	given := map[sdk.NodeID]uint64{}
	for i, a := range w.p.Assignments {
		at := keeping{w.p.holder[i], a.Fragment}
		if has[at] {
			t.Fatalf("fragment %d twice on a peer", a.Fragment)
		}
		has[at] = true
		given[at.peer] += w.r.Pieces[a.Fragment].SizeBytes
	}
	for _, c := range w.r.Candidates {
		if bytes := given[sdk.NodeID(c.Id)]; c.FreeBytes > 0 && bytes > c.FreeBytes {
			t.Fatalf("%d bytes on a peer with %d free", bytes, c.FreeBytes)
		}
		delete(given, sdk.NodeID(c.Id))
	}
	if len(given) > 0 {
		t.Fatal("fragments on peers that are no candidates")
	}
	nets, _, _ := w.inUse()
	for _, c := range w.opened() {
		over := len(c.Subnet) > 0 && w.r.Caps.PerSubnet > 0 && nets[string(c.Subnet)] > int(w.r.Caps.PerSubnet)
		if over && (!yielded || w.r.Caps.Strict) {
			t.Fatal("over the subnet cap")
		}
	}
}

type keeping struct {
	peer     sdk.NodeID
	fragment uint32
}

func (w world) checkInstitutions(t *rapid.T) {
	_, peers, institutions := w.inUse()
	for _, c := range w.opened() {
		if c.Institutional && institutions > w.r.Caps.InstitutionalLimit(peers) {
			t.Fatalf("%d institutions of %d peers", institutions, peers)
		}
	}
}

// opened are the candidates that came into use.
func (w world) opened() (out []*sdk.Candidate) {
	for _, c := range w.r.Candidates {
		holds := slices.ContainsFunc(w.r.Holdings, func(h *sdk.Holding) bool { return slices.Equal(h.Id, c.Id) })
		if !holds && slices.Contains(w.p.holder, sdk.NodeID(c.Id)) {
			out = append(out, c)
		}
	}
	return out
}

// inUse counts all peers that hold something: by network, in all, and institutions.
func (w world) inUse() (nets map[string]int, peers, institutions int) {
	nets = map[string]int{}
	for _, h := range w.r.Holdings {
		nets[string(h.Subnet)]++
		institutions += boolInt(h.Institutional)
	}
	opened := w.opened()
	for _, c := range opened {
		nets[string(c.Subnet)]++
		institutions += boolInt(c.Institutional)
	}
	return nets, len(w.r.Holdings) + len(opened), institutions
}

func BenchmarkPlace72x200(b *testing.B) {
	e, _, _ := engine(b, Config{})
	r := placeRequest(48, 72, alone(200)...)
	for b.Loop() {
		if _, err := e.Place(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	e, _, _ := engine(b, Config{})
	r := admitRequest()
	for b.Loop() {
		if _, err := e.Admit(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
