package wasm

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// TestHarmIsTheGuestsAlone puts guests of the museum before the default policies. Whatever they do, the
// question is answered in time by the next, and the guest's status tells what it did.
func TestHarmIsTheGuestsAlone(t *testing.T) {
	const at = 2048
	says := func(r *sdk.PlaceResponse) guest {
		b, err := r.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		for i, c := range b {
			body = append(body, code(i32(at+int64(i)), i32(int64(c)), 0x3a, 0, 0)...)
		}
		return guest{code: map[string][]byte{exportPlace: code(body, answers(at, uint32(len(b))))}}
	}
	put := func(peers ...uint32) guest {
		r := &sdk.PlaceResponse{Status: sdk.Status_OK, Reason: "because"}
		for _, p := range peers {
			r.Assignments = append(r.Assignments, &sdk.Assignment{Fragment: 0, Candidate: p, Reason: "because"})
		}
		return says(r)
	}
	for name, g := range map[string]guest{
		"loops":           {code: map[string][]byte{exportPlace: forever()}},
		"traps":           {code: map[string][]byte{exportPlace: code(wUnreachable)}},
		"garbage":         {code: map[string][]byte{exportPlace: answers(describeAt, 8)}},
		"no status":       says(&sdk.PlaceResponse{Reason: "so"}),
		"unknown status":  says(&sdk.PlaceResponse{Status: 99}),
		"invalid":         says(&sdk.PlaceResponse{Status: sdk.Status_INVALID, Reason: "what"}),
		"empty":           says(&sdk.PlaceResponse{Status: sdk.Status_OK, Reason: "nowhere"}),
		"unknown peer":    put(7),
		"far beyond":      put(1 << 31),
		"twice on a peer": put(0, 0),
		"full peer":       put(2),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, g.module(), nil)
			if err != nil {
				t.Fatal(err)
			}
			counters := &policy.Counters{}
			e := policy.New(policy.Deps{Metrics: counters}, policy.Config{
				Placement: policy.Chain{Deciders: []policy.Policy{keptOpen{p}}, Default: keptOpen{loadDefault(t)}},
				Deadlines: policy.Deadlines{Place: time.Second},
			})
			defer e.Close() //nolint:errcheck // nothing in it is closed
			placed, err := e.Place(t.Context(), threePeers())
			if err != nil || placed.Policy != plugins.DefaultName || len(placed.Assignments) != 2 {
				t.Fatalf("%+v, %v", placed, err)
			}
			s := e.Status().Policies[0]
			if s.Name != "guest" || s.Calls != 1 || s.Errors != 1 || s.LastError == "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// keptOpen is a policy that whoever loaded it closes.
type keptOpen struct{ policy.Policy }

// threePeers asks for a fragment and its parity on three peers, the last of which is full.
func threePeers() *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{Tessera: id("tessera", 1), DataShards: 1, ParityShards: 1, Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 2}}
	for i := range 2 {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 1000, Copies: 1})
	}
	for i, free := range []uint64{1 << 30, 1 << 30, 10} {
		c := &sdk.Candidate{Id: make([]byte, sdk.IDSize), Subnet: []byte{10, 0, byte(i)}, FreeBytes: free}
		c.Id[0] = byte(i + 1)
		r.Candidates = append(r.Candidates, c)
	}
	return r
}
