package plugins

import (
	"bytes"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// FuzzAnswer: whatever bytes arrive, every policy answers with a status, twice the same, and never
// panics.
func FuzzAnswer(f *testing.F) {
	set := Default()
	policies := map[sdk.Role]any{sdk.RolePlacement: set.Placement, sdk.RoleReciprocity: set.Reciprocity, sdk.RoleRepair: set.Repair}
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) > sdk.MaxRequest {
			return
		}
		for role, policy := range policies {
			first, err := sdk.Answer(role, policy, bytes.Clone(request))
			if err != nil {
				t.Fatal(err)
			}
			second, err := sdk.Answer(role, policy, request)
			if err != nil || !bytes.Equal(first, second) {
				t.Fatalf("%s: another answer to the same bytes", role)
			}
			if len(first) < 2 || first[0] != 0x08 {
				t.Fatalf("%s: no status opens %x", role, first)
			}
		}
	})
}

// seeds are well-formed questions and their neighbours.
func seeds(f *testing.F) [][]byte {
	id := func(n byte) []byte { return bytes.Repeat([]byte{n}, sdk.IDSize) }
	place := &sdk.PlaceRequest{
		Tessera: id(1), DataShards: 2, ParityShards: 1,
		Caps:     &sdk.Caps{Replicas: 7, PerSubnet: 1, InstitutionalPpm: sdk.InstitutionalPPM},
		Pieces:   []*sdk.Piece{{Index: 0, SizeBytes: 9, Copies: 1}, {Index: 1, SizeBytes: 9, Copies: 2}},
		Holdings: []*sdk.Holding{{Id: id(3), Subnet: []byte{1, 2, 3}, Fragments: []uint32{0}}},
	}
	for n := range byte(5) {
		place.Candidates = append(place.Candidates, &sdk.Candidate{
			Id: id(n), Subnet: []byte{1, 2, n / 2}, Operator: string('a' + rune(n%2)), Institutional: n == 4, FreeBytes: 20 * uint64(n), BalanceBytes: -int64(n) << 40,
			ProofsAsked: 9, ProofSuccessPpm: 250_000 * uint32(n), Labels: []*sdk.Label{{Key: "k", Value: "v"}},
		})
	}
	messages := []interface{ MarshalVT() ([]byte, error) }{
		place,
		&sdk.AdmitRequest{Tessera: id(1), Sender: id(2), Owner: id(3), Purpose: sdk.Purpose_CUSTODY, SenderProved: true, SizeBytes: 1 << 63},
		&sdk.RepairRequest{IntervalMs: 2000, Weather: &sdk.Weather{PeersAsked: 2, PeersNewlySilent: 1}, Tesseras: []*sdk.TesseraHealth{
			{Tessera: id(1), Missing: 3, Suspect: 2, SurvivesPeers: 4, Recoverable: true, Flaps: 1 << 31, OwnerBalanceBytes: -1 << 63},
			{Tessera: id(2), Missing: 1},
		}},
	}
	out := [][]byte{nil, {0xff}, {0x08, 0x01}}
	for _, m := range messages {
		b, err := m.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b, b[:len(b)/2])
	}
	return out
}
