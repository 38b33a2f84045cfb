package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

const mib = 1 << 20

func id(kind string, n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(kind), uint64(n)))
	return h[:]
}

func peer(n int) sdk.NodeID { return sdk.NodeID(id("peer", n)) }

// in is peer n in network net.
func in(n, net int) *sdk.Candidate {
	return &sdk.Candidate{Id: id("peer", n), Subnet: []byte{10, byte(net >> 8), byte(net)}, FreeBytes: 100 * mib}
}

// alone makes n peers, each in a network of its own.
func alone(n int) []*sdk.Candidate {
	var out []*sdk.Candidate
	for i := range n {
		out = append(out, in(i, i))
	}
	return out
}

// placeRequest asks to place n fragments of 1 MiB, any data of which rebuild the tessera.
func placeRequest(data, n int, candidates ...*sdk.Candidate) *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", 0), Tier: sdk.FragmentationTier_MEDIUM, DataShards: uint32(data), ParityShards: uint32(n - data),
		Intent: sdk.Intent_NEW, Candidates: candidates,
		Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range n {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: mib, Copies: 1})
	}
	return r
}

func admitRequest() *sdk.AdmitRequest {
	return &sdk.AdmitRequest{
		Tessera: id("tessera", 0), Sender: id("peer", 0), Owner: id("owner", 0), SizeBytes: 10 * mib, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 256 * mib, NewcomerBudget: 1 << 40, FreeBytes: 1 << 40, MinFreeBytes: 1 << 30, FragmentsTotal: 24,
	}
}

func health(n int, survives, missing uint32) *sdk.TesseraHealth {
	return &sdk.TesseraHealth{Tessera: id("tessera", n), SurvivesPeers: survives, Missing: missing, Recoverable: true}
}

// scripted is a policy that does what a test says; it counts its calls.
type scripted struct {
	name  string
	calls atomic.Int64
	ask   func(ctx context.Context, role sdk.Role, request []byte) ([]byte, error)
}

func (s *scripted) Name() string    { return s.name }
func (s *scripted) Runtime() string { return "test" }

func (s *scripted) Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
	s.calls.Add(1)
	return s.ask(ctx, role, request)
}

// says is a policy that always gives the same answer.
func says(name string, answer interface{ MarshalVT() ([]byte, error) }) *scripted {
	return &scripted{name: name, ask: func(context.Context, sdk.Role, []byte) ([]byte, error) { return answer.MarshalVT() }}
}

// tampers is a policy that answers a place request as the default does, and then spoils it.
func tampers(spoil func(*sdk.PlaceRequest, *sdk.PlaceResponse)) *scripted {
	return &scripted{name: "liar", ask: func(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
		var asked sdk.PlaceRequest
		if err := asked.UnmarshalVT(request); err != nil {
			return nil, err
		}
		b, err := newDefault().Ask(ctx, role, request)
		if err != nil {
			return nil, err
		}
		var response sdk.PlaceResponse
		if err := response.UnmarshalVT(b); err != nil {
			return nil, err
		}
		spoil(&asked, &response)
		return response.MarshalVT()
	}}
}

// engine is one with the given deciders for every role, and what it counted and kept.
func engine(t testing.TB, config Config, deciders ...Policy) (*Engine, *Counters, *Ring) {
	t.Helper()
	for _, chain := range []*Chain{&config.Placement, &config.Reciprocity, &config.Repair} {
		chain.Deciders = deciders
	}
	counters, ring := &Counters{}, NewRing(100, 100*mib)
	e := New(Deps{Metrics: counters, Recorder: ring}, config)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, counters, ring
}

// counted tells how often a policy had an outcome, over all roles.
func counted(c *Counters, policy, runtime string, outcome Outcome) (n uint64) {
	for _, line := range c.List() {
		if line.Policy == policy && line.Runtime == runtime && line.Outcome == outcome {
			n += line.Calls
		}
	}
	return n
}
