package placement

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// id makes the n-th id of a kind; ids look random, as real ones do.
func id(kind string, n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(kind), uint64(n)))
	return h[:]
}

// mib is the size of the fragments in these tests.
const mib = 1 << 20

// request asks to place n single fragments of a code with the given number of data shards.
func request(data, n int, candidates ...*sdk.Candidate) *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", 0), DataShards: uint32(data), ParityShards: uint32(max(0, n-data)), Intent: sdk.Intent_NEW,
		Candidates: slices.Clone(candidates),
		Caps:       &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range n {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: mib, Copies: 1})
	}
	return byID(r)
}

// byID sorts the candidates as the host does.
func byID(r *sdk.PlaceRequest) *sdk.PlaceRequest {
	slices.SortFunc(r.Candidates, func(a, b *sdk.Candidate) int { return slices.Compare(a.Id, b.Id) })
	return r
}

// alone makes n plain peers, each in a network of its own.
func alone(n int) []*sdk.Candidate {
	var out []*sdk.Candidate
	for i := range n {
		out = append(out, in(i, i))
	}
	return out
}

// in is peer n in network net.
func in(n, net int) *sdk.Candidate {
	return &sdk.Candidate{Id: id("peer", n), Subnet: []byte{10, byte(net >> 8), byte(net)}, FreeBytes: 1 << 40}
}

func place(t *testing.T, r *sdk.PlaceRequest) *sdk.PlaceResponse {
	t.Helper()
	got := Spread{}.Place(r)
	if got.Status != sdk.Status_OK {
		t.Fatalf("status %v: %s", got.Status, got.Reason)
	}
	return got
}

// where tells by fragment which candidates got it, by id.
func where(r *sdk.PlaceRequest, got *sdk.PlaceResponse) map[uint32][]string {
	out := map[uint32][]string{}
	for _, a := range got.Assignments {
		out[a.Fragment] = append(out[a.Fragment], string(r.Candidates[a.Candidate].Id))
	}
	return out
}

// loads are the fragments by peer, holdings included, most first.
func loads(r *sdk.PlaceRequest, got *sdk.PlaceResponse) []int {
	return loadsBy(r, got, func(id string, _ []byte, _ string) string { return id })
}

// netLoads are the fragments by network, most first.
func netLoads(r *sdk.PlaceRequest, got *sdk.PlaceResponse) []int {
	return loadsBy(r, got, func(_ string, net []byte, _ string) string { return string(net) })
}

// opLoads are the fragments by operator, most first.
func opLoads(r *sdk.PlaceRequest, got *sdk.PlaceResponse) []int {
	return loadsBy(r, got, func(id string, _ []byte, op string) string { return cmp.Or(op, id) })
}

func loadsBy(r *sdk.PlaceRequest, got *sdk.PlaceResponse, domain func(id string, net []byte, op string) string) []int {
	by := map[string]int{}
	for _, h := range r.Holdings {
		if len(h.Fragments) > 0 {
			by[domain(string(h.Id), h.Subnet, h.Operator)] += len(h.Fragments)
		}
	}
	for _, a := range got.Assignments {
		c := r.Candidates[a.Candidate]
		by[domain(string(c.Id), c.Subnet, c.Operator)]++
	}
	var out []int
	for _, n := range by {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b int) int { return b - a })
	return out
}

func noteFor(r *sdk.PlaceRequest, got *sdk.PlaceResponse, id []byte) string {
	for _, n := range got.Notes {
		if slices.Equal(r.Candidates[n.Candidate].Id, id) {
			return n.Reason
		}
	}
	return ""
}
