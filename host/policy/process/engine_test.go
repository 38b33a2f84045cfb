package process

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

var (
	_ policy.Policy    = (*wasm.Policy)(nil)
	_ policy.Digester  = (*wasm.Policy)(nil)
	_ policy.Describer = (*wasm.Policy)(nil)
	_ policy.Policy    = (*Policy)(nil)
	_ policy.Digester  = (*Policy)(nil)
	_ policy.Describer = (*Policy)(nil)
)

// TestUnderTheEngine swaps runtimes under an engine that has nothing else to fall back on, and asks it
// for everything. The policies pass its self-test, keep its rules and its deadlines.
func TestUnderTheEngine(t *testing.T) {
	module, err := plugins.DefaultModule()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := wasm.DefaultCacheDir()
	if err != nil {
		cache = ""
	}
	w, err := wasm.Load(t.Context(), module, wasm.Config{Name: "default", CacheDir: cache, Limits: wasm.Limits{Start: ample, Call: ample}})
	if err != nil {
		t.Fatal(err)
	}
	only := func(p policy.Policy) policy.Config {
		chain := policy.Chain{Deciders: []policy.Policy{p}}
		ample := policy.Deadlines{Place: time.Minute, Admit: time.Minute, Repair: time.Minute} // of a busy machine
		return policy.Config{Placement: chain, Reciprocity: chain, Repair: chain, NoDefaults: true, Deadlines: ample}
	}
	e := policy.New(policy.Deps{}, only(w))
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	asked(t, e, wasm.Runtime)
	if err := e.Swap(t.Context(), only(mustLoad(t, "honest"))); err != nil {
		t.Fatal(err)
	}
	asked(t, e, Runtime)
	if err := e.Rollback(); err != nil {
		t.Fatal(err)
	}
	asked(t, e, wasm.Runtime)
}

// asked puts one question of each role to the engine; all have to be decided in that runtime.
func asked(t *testing.T, e *policy.Engine, runtime string) {
	t.Helper()
	place := &sdk.PlaceRequest{Tessera: anID(1), DataShards: 2, ParityShards: 1, Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 3}}
	for i := range 3 {
		place.Pieces = append(place.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 100, Copies: 1})
		place.Candidates = append(place.Candidates, &sdk.Candidate{Id: anID(10 + i), Subnet: []byte{10, 0, byte(i)}, FreeBytes: 1 << 30})
	}
	p, err := e.Place(t.Context(), place)
	if err != nil || p.Runtime != runtime || len(p.Assignments) != 3 {
		t.Errorf("place: %+v, %v", p, err)
	}
	a, err := e.Admit(t.Context(), &sdk.AdmitRequest{
		Tessera: anID(1), Sender: anID(2), Owner: anID(3), SizeBytes: 100, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 1 << 20, NewcomerBudget: 1 << 30, FreeBytes: 1 << 40, FragmentsTotal: 3,
	})
	if err != nil || a.Runtime != runtime || a.Verdict != policy.Accept {
		t.Errorf("admit: %+v, %v", a, err)
	}
	r, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{{Tessera: anID(1), Missing: 1, SurvivesPeers: 3, Recoverable: true}}})
	if err != nil || len(r.Sources) != 1 || r.Sources[0].Runtime != runtime || len(r.Orders) != 1 {
		t.Errorf("repair: %+v, %v", r, err)
	}
}
