package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/sdk"
)

type encodable interface{ MarshalVT() ([]byte, error) }

// anyGuardAnswer draws what a guard may say about n things, and now and then what it may not.
func anyGuardAnswer(t *rapid.T, role sdk.Role, n int) encodable {
	status := rapid.SampledFrom([]sdk.Status{sdk.Status_OK, sdk.Status_OK, sdk.Status_OK, sdk.Status_OK, sdk.Status_PASS, sdk.Status_DEFER, 0, 9}).Draw(t, "status")
	words := rapid.SampledFrom([]string{"", "why", "because"})
	small := rapid.Uint32Range(0, 9)
	which := rapid.Custom(func(t *rapid.T) uint32 {
		return uint32(rapid.IntRange(0, max(n-1, 0)+boolInt(rapid.IntRange(0, 20).Draw(t, "stray") == 0)).Draw(t, "which"))
	})
	switch role {
	case sdk.RolePlacement:
		a := &sdk.PlaceResponse{Status: status, Reason: words.Draw(t, "words")}
		for range rapid.IntRange(0, min(n, 6)).Draw(t, "notes") {
			a.Notes = append(a.Notes, &sdk.PeerNote{
				Candidate: which.Draw(t, "peer"), Excluded: rapid.Bool().Draw(t, "excluded"), Score: rapid.Int32().Draw(t, "score"), Reason: words.Draw(t, "words"),
			})
		}
		if rapid.Bool().Draw(t, "caps") {
			a.Caps = &sdk.Caps{PerSubnet: small.Draw(t, "per subnet"), Strict: rapid.Bool().Draw(t, "strict"), InstitutionalPpm: 100_000 * small.Draw(t, "ppm")}
		}
		return a
	case sdk.RoleReciprocity:
		return &sdk.AdmitResponse{
			Status: status, Verdict: sdk.AdmitResponse_Verdict(rapid.SampledFrom([]int32{0, 1, 1, 1, 2, 3, 9}).Draw(t, "verdict")),
			Reason: words.Draw(t, "words"), RetryAfterMs: uint64(small.Draw(t, "retry")), GrantBytes: 10 * mib * uint64(small.Draw(t, "grant")),
		}
	}
	a := &sdk.RepairResponse{Status: status, Reason: words.Draw(t, "words")}
	for range rapid.IntRange(0, min(n, 4)).Draw(t, "orders") {
		a.Orders = append(a.Orders, &sdk.RepairOrder{Tessera: which.Draw(t, "tessera"), Priority: 100 * small.Draw(t, "priority"), Reason: words.Draw(t, "words")})
	}
	return a
}

// anyGuards draws up to four guards, some of which fail.
func anyGuards(t *rapid.T, role sdk.Role, n int) (out []Guard) {
	for i := range rapid.IntRange(0, 4).Draw(t, "guards") {
		name := fmt.Sprint("guard", i)
		g := Guard{Policy: says(name, anyGuardAnswer(t, role, n)), Closed: rapid.IntRange(0, 5).Draw(t, "closed") == 0}
		if rapid.IntRange(0, 8).Draw(t, "fails") == 0 {
			g.Policy = fails(name)
		}
		out = append(out, g)
	}
	return out
}

// outcome is what came of a question, without what differs between any two: ids and durations.
func outcome(d Decision, result any, err error) string {
	if p, ok := result.(*Placement); ok && p != nil {
		result = fmt.Sprintf("%s %v %v %v %v", p.Reason, p.Assignments, p.Unplaced, p.Notes, p.SubnetCapYielded)
	}
	var deferred *DeferredError
	if errors.As(err, &deferred) {
		err = fmt.Errorf("%s: %v", deferred.Reason, deferred.Notes)
	}
	return fmt.Sprintf("%s %s %s %x %x: %v, %v", d.Policy, d.Outcome, d.Reason, d.Request, d.Response, result, err)
}

// TestTheOrderOfGuardsDoesNotMatter: the same answer, for the same reasons, on the same question.
func TestTheOrderOfGuardsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place, admit, repair := anyPlaceRequest(t), anyAdmitRequest(t), anyRepairRequest(t)
		config := Config{
			Placement:   Chain{Guards: anyGuards(t, sdk.RolePlacement, len(place.Candidates))},
			Reciprocity: Chain{Guards: anyGuards(t, sdk.RoleReciprocity, 1)},
			Repair:      Chain{Guards: anyGuards(t, sdk.RoleRepair, len(repair.Tesseras))},
		}
		all := func() (out []string) {
			ring := NewRing(9, mib)
			e := New(Deps{Recorder: ring, Now: newClock().now}, config)
			p, err := e.Place(t.Context(), place)
			out = append(out, outcome(latest(ring), p, err))
			a, err := e.Admit(t.Context(), admit)
			out = append(out, outcome(latest(ring), fmt.Sprint(a.Verdict, a.Reason, a.RetryAfter, a.Custody), err))
			r, err := e.Repair(t.Context(), repair)
			return append(out, outcome(latest(ring), fmt.Sprint(r.Reason, r.Orders, r.Skipped, r.Deferred), err))
		}
		before := all()
		for _, c := range []*Chain{&config.Placement, &config.Reciprocity, &config.Repair} {
			c.Guards = rapid.Permutation(c.Guards).Draw(t, "order")
		}
		for i, after := range all() {
			if after != before[i] {
				t.Fatalf("%s\n%s", before[i], after)
			}
		}
	})
}

func latest(r *Ring) Decision {
	all := r.List()
	return all[len(all)-1]
}

func anyAdmitRequest(t *rapid.T) *sdk.AdmitRequest {
	r := admitRequest()
	size := rapid.Uint64Range(0, 60)
	r.SizeBytes, r.StoredForThem, r.TheyStoreForUs = mib*size.Draw(t, "size"), 8*mib*size.Draw(t, "stored"), 8*mib*size.Draw(t, "theirs")
	r.FreeBytes = r.MinFreeBytes + mib*size.Draw(t, "free")
	r.Institutional = rapid.IntRange(0, 5).Draw(t, "institution") == 0
	if rapid.Bool().Draw(t, "custody") {
		r.Purpose, r.SenderProved, r.CustodyBudget = sdk.Purpose_CUSTODY, rapid.Bool().Draw(t, "proved"), 50*mib
		r.PeersKnown = 12
	}
	return r
}

func anyRepairRequest(t *rapid.T) *sdk.RepairRequest {
	r := &sdk.RepairRequest{IntervalMs: 86_400_000, Weather: &sdk.Weather{PeersAsked: 9}}
	for i := range rapid.IntRange(1, 6).Draw(t, "tesseras") {
		h := health(i, rapid.Uint32Range(0, 5).Draw(t, "survives"), rapid.Uint32Range(0, 3).Draw(t, "missing"))
		h.Suspect = min(h.Missing, rapid.Uint32Range(0, 1).Draw(t, "suspect"))
		h.Recoverable = rapid.IntRange(0, 5).Draw(t, "hopeless") > 0
		r.Tesseras = append(r.Tesseras, h)
	}
	return r
}

// TestGuardsNeverLoosenPlacements: whatever guards and deciders say, what comes out would have been
// allowed without the guards as well.
func TestGuardsNeverLoosenPlacements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyPlaceRequest(t)
		if rapid.Bool().Draw(t, "roomy") {
			r = roomyRequest(t)
		}
		ring := NewRing(9, mib)
		e := New(Deps{Recorder: ring}, Config{Placement: Chain{
			Guards:   anyGuards(t, sdk.RolePlacement, len(r.Candidates)),
			Deciders: []Policy{anyPlacer(t)},
		}})
		p, err := e.Place(t.Context(), r)
		if errors.Is(err, ErrDeferred) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		free, _, err := canonicalPlace(r, func(sdk.NodeID) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		if err := newTally(free).accept(answerOf(free, p)); err != nil {
			t.Fatalf("not allowed without the guards: %v", err)
		}
		excluded := excludedIn(t, free, latest(ring))
		for _, a := range p.Assignments {
			if excluded[a.Peer] {
				t.Fatalf("fragment %d went to a peer that a guard excludes", a.Fragment)
			}
		}
	})
}

// roomyRequest is one that every peer could fill alone, so that only the subnet cap bites.
func roomyRequest(t *rapid.T) *sdk.PlaceRequest {
	small := rapid.IntRange(1, 5)
	r := placeRequest(1, small.Draw(t, "fragments"))
	r.Caps = &sdk.Caps{Replicas: uint32(small.Draw(t, "replicas")), PerSubnet: uint32(min(2, small.Draw(t, "per subnet")))}
	for i := range rapid.IntRange(2, 10).Draw(t, "peers") {
		r.Candidates = append(r.Candidates, in(i, small.Draw(t, "net")))
	}
	return r
}

// excludedIn reads from a record whom the guards excluded.
func excludedIn(t *rapid.T, r *sdk.PlaceRequest, d Decision) map[sdk.NodeID]bool {
	out := map[sdk.NodeID]bool{}
	for _, s := range d.Steps {
		var said sdk.PlaceResponse
		if err := said.UnmarshalVT(s.Response); err != nil {
			t.Fatal(err)
		}
		for _, n := range said.Notes {
			if s.Part == PartGuard && s.Outcome == Answered && n.Excluded {
				out[sdk.NodeID(r.Candidates[n.Candidate].Id)] = true
			}
		}
	}
	return out
}

// answerOf is a placement as an answer to another question about the same peers.
func answerOf(r *sdk.PlaceRequest, p *Placement) *sdk.PlaceResponse {
	at := func(peer sdk.NodeID) uint32 {
		return uint32(slices.IndexFunc(r.Candidates, func(c *sdk.Candidate) bool { return bytes.Equal(c.Id, peer[:]) }))
	}
	out := &sdk.PlaceResponse{Status: sdk.Status_OK, SubnetCapYielded: p.SubnetCapYielded}
	for _, a := range p.Assignments {
		out.Assignments = append(out.Assignments, &sdk.Assignment{Fragment: a.Fragment, Candidate: at(a.Peer)})
	}
	return out
}

// anyPlacer is a decider that places at random, within the rules or not, or as the default does and
// then spoils it a little.
func anyPlacer(t *rapid.T) Policy {
	wild, yields := rapid.Bool().Draw(t, "wild"), rapid.Bool().Draw(t, "yields")
	draws := rapid.SliceOfN(rapid.Uint32(), 40, 40).Draw(t, "draws")
	draw := func(i, n int) uint32 { return draws[i%len(draws)] % uint32(max(n, 1)) }
	return tampers(func(r *sdk.PlaceRequest, a *sdk.PlaceResponse) {
		if wild {
			a.Assignments = nil
			for i, p := range r.Pieces {
				a.Assignments = append(a.Assignments, &sdk.Assignment{Fragment: p.Index, Candidate: draw(i, len(r.Candidates))})
			}
		}
		if len(a.Assignments) > 0 {
			a.Status, a.SubnetCapYielded = sdk.Status_OK, yields
			a.Assignments[draw(39, len(a.Assignments))].Candidate = draw(38, len(r.Candidates))
		}
	})
}

// TestGuardsNeverLoosenAdmissions: nothing is taken that would not be without the guards, nothing that
// one of them refuses, and nothing beyond the least they grant.
func TestGuardsNeverLoosenAdmissions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, list := anyAdmitRequest(t), anyGuards(t, sdk.RoleReciprocity, 1)
		ring := NewRing(9, mib)
		e := New(Deps{Recorder: ring}, Config{Reciprocity: Chain{Guards: list}})
		a, err := e.Admit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Verdict != Accept {
			return
		}
		free := New(Deps{}, Config{})
		if without, err := free.Admit(t.Context(), r); err != nil || without.Verdict != Accept {
			t.Fatalf("taken only because of the guards: %+v, %v", without, err)
		}
		debt := r.StoredForThem + r.SizeBytes - min(r.StoredForThem+r.SizeBytes, r.TheyStoreForUs)
		for i, s := range latest(ring).Steps[:len(list)] {
			if s.Outcome.isFailure() && list[i].Closed || s.Outcome == Deferred {
				t.Fatalf("taken though %s said %s", s.Policy, s.Outcome)
			}
			if s.Outcome != Answered {
				continue
			}
			var said sdk.AdmitResponse
			if err := said.UnmarshalVT(s.Response); err != nil {
				t.Fatal(err)
			}
			if said.Verdict > sdk.AdmitResponse_ACCEPT || said.GrantBytes > 0 && debt > said.GrantBytes && !r.Institutional && !a.Custody {
				t.Fatalf("taken though %s said %v", s.Policy, &said)
			}
		}
	})
}

// TestGuardsOnlyRaiseRepairs: the same tesseras at the same times, none later in the order than what
// it was ahead of unless that one was raised.
func TestGuardsOnlyRaiseRepairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRepairRequest(t)
		plan := func(g []Guard) map[sdk.TesseraID]RepairOrder {
			p, err := New(Deps{}, Config{Repair: Chain{Guards: g}}).Repair(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if p.Deferred {
				return nil
			}
			out := map[sdk.TesseraID]RepairOrder{}
			for _, o := range p.Orders {
				out[o.Tessera] = o
			}
			return out
		}
		with, without := plan(anyGuards(t, sdk.RoleRepair, len(r.Tesseras))), plan(nil)
		if with == nil {
			return
		}
		for id, o := range without {
			got := with[id]
			if got.Priority < o.Priority {
				t.Fatalf("lowered from %+v to %+v", o, got)
			}
			got.Priority, got.Reason, o.Priority, o.Reason = 0, "", 0, ""
			if !reflect.DeepEqual(got, o) {
				t.Fatalf("%+v became %+v", o, got)
			}
		}
		if len(with) != len(without) {
			t.Fatalf("%d orders, %d without guards", len(with), len(without))
		}
	})
}

// TestHardRulesHoldWhateverIsAnswered: random answers from everybody, guards and deciders.
func TestHardRulesHoldWhateverIsAnswered(t *testing.T) {
	noise := func(t *rapid.T) Policy {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		return &scripted{name: "noise", ask: func(context.Context, sdk.Role, []byte) ([]byte, error) { return b, nil }}
	}
	rapid.Check(t, func(t *rapid.T) {
		place, admit, repair := anyPlaceRequest(t), anyAdmitRequest(t), anyRepairRequest(t)
		anybody := func(role sdk.Role, n int, more Policy) Chain {
			return Chain{
				Guards:   append(anyGuards(t, role, n), Guard{Policy: noise(t)}),
				Deciders: []Policy{says("random", anyGuardAnswer(t, role, n)), noise(t), more},
			}
		}
		e := New(Deps{}, Config{
			Placement:   anybody(sdk.RolePlacement, len(place.Candidates), anyPlacer(t)),
			Reciprocity: anybody(sdk.RoleReciprocity, 1, fails("f")),
			Repair:      anybody(sdk.RoleRepair, len(repair.Tesseras), fails("f")),
		})
		if p, err := e.Place(t.Context(), place); err == nil {
			w := world{place, p}
			w.check(t, p.SubnetCapYielded)
			w.checkInstitutions(t)
		} else if !errors.Is(err, ErrDeferred) {
			t.Fatal(err)
		}
		a, err := e.Admit(t.Context(), admit)
		if err != nil || a.Verdict == Accept && admit.FreeBytes-min(admit.FreeBytes, admit.SizeBytes) < admit.MinFreeBytes || a.Verdict == Refuse && a.Reason == "" {
			t.Fatalf("%+v, %v", a, err)
		}
		plan, err := e.Repair(t.Context(), repair)
		if err != nil {
			t.Fatal(err)
		}
		critical := 0
		for _, h := range repair.Tesseras {
			if sdk.Critical(h) {
				critical++
			}
		}
		for i, o := range plan.Orders {
			if o.Critical != (i < critical) || o.Critical && o.Wait != 0 {
				t.Fatalf("%d are critical: %+v", critical, plan.Orders)
			}
		}
		if len(plan.Orders) < critical {
			t.Fatalf("%d of %d critical repairs", len(plan.Orders), critical)
		}
	})
}
