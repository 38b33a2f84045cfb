package process

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// asker is what all runtimes are to the engine.
type asker interface {
	Name() string
	Runtime() string
	Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error)
}

var _ = []asker{(*native.Policy)(nil), (*wasm.Policy)(nil), (*Policy)(nil)}

// TestConformance: the same source gives the same bytes natively, as WASM and as a program, for
// whatever is asked.
func TestConformance(t *testing.T) {
	module, err := plugins.DefaultModule()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := wasm.DefaultCacheDir()
	if err != nil {
		cache = "" // compiled for this test alone
	}
	w, err := wasm.Load(t.Context(), module, wasm.Config{Name: "wasm", CacheDir: cache, Limits: wasm.Limits{Start: ample, Call: ample}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	oracle, others := native.New("native", plugins.Default()), []asker{w, mustLoad(t, "honest")}
	asked := 0
	rapid.Check(t, func(t *rapid.T) {
		for role, request := range questions(t) {
			want, err := oracle.Ask(context.Background(), role, request)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range others {
				got, err := p.Ask(context.Background(), role, request)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s, asked for %s, says %x, %v; natively %x", p.Name(), role, got, err, want)
				}
			}
			asked++
		}
	})
	t.Logf("%d questions", asked)
	if asked < 300 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// questions draws one for each role, now and then one that no schema knows.
func questions(t *rapid.T) map[sdk.Role][]byte {
	if rapid.IntRange(0, 9).Draw(t, "garbage") == 0 {
		garbage := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		return map[sdk.Role][]byte{sdk.RolePlacement: garbage, sdk.RoleReciprocity: garbage, sdk.RoleRepair: garbage}
	}
	out := map[sdk.Role][]byte{}
	for role, m := range map[sdk.Role]interface{ MarshalVT() ([]byte, error) }{
		sdk.RolePlacement: placeQuestion(t), sdk.RoleReciprocity: admitQuestion(t), sdk.RoleRepair: repairQuestion(t),
	} {
		b, err := m.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		out[role] = b
	}
	return out
}

func drawn[T any](t *rapid.T, g *rapid.Generator[T], name string) T { return g.Draw(t, name) }

func anID(n int) []byte { return slices.Repeat([]byte{byte(n), byte(n * 7)}, sdk.IDSize/2) }

func placeQuestion(t *rapid.T) *sdk.PlaceRequest {
	small, ppm := rapid.Uint32Range(0, 9), rapid.Uint32Range(0, sdk.PPM)
	r := &sdk.PlaceRequest{
		Tessera: anID(drawn(t, rapid.IntRange(0, 255), "tessera")), Tier: sdk.FragmentationTier_MEDIUM,
		DataShards: drawn(t, small, "data"), ParityShards: drawn(t, small, "parity"),
		Intent: sdk.Intent(drawn(t, rapid.Int32Range(0, 4), "intent")), Seed: drawn(t, rapid.Uint64(), "seed"), NowUnixMs: drawn(t, rapid.Int64(), "now"),
		Caps: &sdk.Caps{Replicas: drawn(t, small, "replicas"), PerSubnet: drawn(t, small, "per subnet"), Strict: drawn(t, rapid.Bool(), "strict"), InstitutionalPpm: drawn(t, ppm, "institutional")},
	}
	for i := range drawn(t, rapid.IntRange(0, 30), "pieces") {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: drawn(t, rapid.Uint64Range(0, 1000), "size"), Copies: drawn(t, rapid.Uint32Range(0, 3), "copies")})
	}
	for i := range drawn(t, rapid.IntRange(0, 40), "candidates") {
		r.Candidates = append(r.Candidates, &sdk.Candidate{
			Id: anID(i), Subnet: drawn(t, rapid.SampledFrom([][]byte{nil, {1, 2, 3}, {1, 2, 4}, {9, 9, 9}, {1, 2, 3, 4, 5, 6}}), "subnet"),
			Operator: drawn(t, rapid.SampledFrom([]string{"", "a", "b"}), "operator"), Institutional: drawn(t, rapid.Bool(), "institutional"),
			Nearness: drawn(t, small, "nearness"), FreeBytes: drawn(t, rapid.Uint64Range(0, 5000), "free"), BalanceBytes: drawn(t, rapid.Int64(), "balance"),
			ProofSuccessPpm: drawn(t, ppm, "proofs"), ProofsAsked: drawn(t, small, "asked"), UptimePpm: drawn(t, ppm, "uptime"), RoundTripMs: drawn(t, small, "round trip"),
		})
	}
	for i := range drawn(t, rapid.IntRange(0, 4), "holdings") {
		r.Holdings = append(r.Holdings, &sdk.Holding{Id: anID(20 + i), Subnet: []byte{1, 2, 3}, Fragments: []uint32{uint32(i), uint32(i + 2)}})
	}
	return r
}

func admitQuestion(t *rapid.T) *sdk.AdmitRequest {
	bytes := func(name string) uint64 { return drawn(t, rapid.Uint64Range(0, 1<<40), name) }
	return &sdk.AdmitRequest{
		Tessera: anID(1), Sender: anID(2), Owner: anID(drawn(t, rapid.IntRange(0, 9), "owner")), SizeBytes: bytes("size"),
		Purpose: sdk.Purpose(drawn(t, rapid.Int32Range(0, 3), "purpose")), SenderProved: drawn(t, rapid.Bool(), "proved"), Institutional: drawn(t, rapid.Bool(), "institutional"),
		StoredForThem: bytes("theirs"), TheyStoreForUs: bytes("ours"), DeficitAllowance: bytes("allowance"), PeerLimit: bytes("limit"),
		NewcomerGranted: bytes("granted"), NewcomerBudget: bytes("budget"), CustodyUsed: bytes("used"), CustodyBudget: bytes("custody"),
		FreeBytes: bytes("free"), MinFreeBytes: bytes("least free"), FragmentsHere: drawn(t, rapid.Uint32Range(0, 9), "here"), FragmentsTotal: 24, PeersKnown: drawn(t, rapid.Uint32Range(0, 30), "peers"),
	}
}

func repairQuestion(t *rapid.T) *sdk.RepairRequest {
	few := rapid.Uint32Range(0, 9)
	r := &sdk.RepairRequest{
		IntervalMs: drawn(t, rapid.Uint64Range(0, 1<<40), "interval"), DeficitAllowance: drawn(t, rapid.Uint64Range(0, 1000), "allowance"),
		Weather: &sdk.Weather{PeersAsked: drawn(t, few, "asked"), PeersSilent: drawn(t, few, "silent"), PeersNewlySilent: drawn(t, few, "newly")},
	}
	for i := range drawn(t, rapid.IntRange(0, 30), "tesseras") {
		r.Tesseras = append(r.Tesseras, &sdk.TesseraHealth{
			Tessera: anID(i), SurvivesPeers: drawn(t, few, "peers"), SurvivesSubnets: drawn(t, few, "subnets"), SurvivesOperators: drawn(t, few, "operators"),
			Missing: drawn(t, few, "missing"), Suspect: drawn(t, few, "suspect"), SuspectSinceMs: drawn(t, rapid.Uint64Range(0, 1<<40), "since"), Flaps: drawn(t, few, "flaps"),
			OwnerBalanceBytes: drawn(t, rapid.Int64(), "balance"), Own: drawn(t, rapid.Bool(), "own"), CostBytes: drawn(t, rapid.Uint64(), "cost"), Recoverable: drawn(t, rapid.Bool(), "recoverable"),
			PeersShort: drawn(t, few, "short"), SuspectPeers: drawn(t, few, "suspects"), Institutional: drawn(t, rapid.Bool(), "institutional"),
		})
	}
	return r
}

// BenchmarkPlace72x200 is the guarded call to a program.
func BenchmarkPlace72x200(b *testing.B) {
	r := &sdk.PlaceRequest{Tessera: anID(1), DataShards: 48, ParityShards: 24, Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2}}
	for i := range 72 {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 1 << 20, Copies: 1})
	}
	for i := range 200 {
		r.Candidates = append(r.Candidates, &sdk.Candidate{
			Id: anID(i), Subnet: []byte{10, 0, byte(i)}, Operator: fmt.Sprintf("operator of peer %03d", i), Country: "CH", Labels: []*sdk.Label{{Key: "site", Value: "north"}},
			Nearness: uint32(i % 9), FreeBytes: 1 << 40, ProofSuccessPpm: 990_000, ProofsAsked: 40, UptimePpm: 950_000, RoundTripMs: 30, AgeS: 86_400,
		})
	}
	request, err := r.MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range map[string]asker{"process": mustLoad(b, "honest"), "native": native.New("native", plugins.Default())} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(request)))
			for b.Loop() {
				if _, err := p.Ask(b.Context(), sdk.RolePlacement, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad starts a program, from its file to its first answer.
func BenchmarkLoad(b *testing.B) {
	path, dir := programOf(b, "honest"), b.TempDir()
	for b.Loop() {
		p, err := Load(b.Context(), path, Config{Name: "bench", Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
