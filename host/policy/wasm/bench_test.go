package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

type asker interface {
	Ask(context.Context, sdk.Role, []byte) ([]byte, error)
}

func id(kind string, n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(kind), uint64(n)))
	return h[:]
}

// placeRequest asks to place so many fragments on so many candidates, described as a node does.
func placeRequest(t testing.TB, fragments, candidates int) []byte {
	t.Helper()
	r := &sdk.PlaceRequest{
		Tessera: id("tessera", 0), DataShards: uint32(fragments * 2 / 3), ParityShards: uint32(fragments / 3), Intent: sdk.Intent_NEW,
		Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range fragments {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 1 << 20, Copies: 1})
	}
	for i := range candidates {
		r.Candidates = append(r.Candidates, &sdk.Candidate{
			Id: id("peer", i), Subnet: []byte{10, byte(i >> 8), byte(i)}, Operator: "operator of this peer", Country: "CH",
			Labels: []*sdk.Label{{Key: "site", Value: "north"}}, Nearness: uint32(i % 9), FreeBytes: 1 << 40, BalanceBytes: int64(i) << 20,
			ProofSuccessPpm: 990_000, ProofsAsked: 40, UptimePpm: 950_000, RoundTripMs: 30, AgeS: 86_400,
		})
	}
	b, err := r.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func defaultModule(t testing.TB) []byte {
	t.Helper()
	module, err := plugins.DefaultModule()
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func loadDefault(t testing.TB) *Policy {
	t.Helper()
	p, err := Load(t.Context(), defaultModule(t), Config{Name: plugins.DefaultName, CacheDir: realCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// BenchmarkPlace72x200 is the guarded call: a new instance for each, made in advance where there was
// time, under a deadline.
func BenchmarkPlace72x200(b *testing.B) { benchmarkPlace(b, loadDefault(b), 72, 200, 0) }

// BenchmarkPlace72x200Native is the same source linked into this program.
func BenchmarkPlace72x200Native(b *testing.B) {
	benchmarkPlace(b, native.New("native", plugins.Default()), 72, 200, 0)
}

// BenchmarkPlace24x24Ready leaves time to make the next instance between two calls, as a node does.
func BenchmarkPlace24x24Ready(b *testing.B) {
	benchmarkPlace(b, loadDefault(b), 24, 24, 30*time.Millisecond)
}

// computing reports the processor time of each operation beside the time on the wall: on a busy machine
// the former is the one to compare.
func computing(b *testing.B) (report func()) {
	spent := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := spent()
	return func() { b.ReportMetric(float64(spent()-start)/float64(b.N)/1e6, "cpu-ms/op") }
}

func benchmarkPlace(b *testing.B, p asker, fragments, candidates int, pause time.Duration) {
	request := placeRequest(b, fragments, candidates)
	b.SetBytes(int64(len(request)))
	defer computing(b)()
	for b.Loop() {
		if pause > 0 {
			b.StopTimer()
			time.Sleep(pause)
			b.StartTimer()
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		if _, err := p.Ask(ctx, sdk.RolePlacement, request); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
}

// BenchmarkAdmit uses one instance again and again.
func BenchmarkAdmit(b *testing.B) {
	p := loadDefault(b)
	r := &sdk.AdmitRequest{
		Tessera: id("tessera", 0), Sender: id("peer", 0), Owner: id("owner", 0), SizeBytes: 10 << 20, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 256 << 20, NewcomerBudget: 1 << 40, FreeBytes: 1 << 40, MinFreeBytes: 1 << 30, FragmentsTotal: 24,
	}
	request, err := r.MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		if _, err := p.Ask(ctx, sdk.RoleReciprocity, request); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
}

// BenchmarkInstance is what a fresh instance costs.
func BenchmarkInstance(b *testing.B) {
	p := loadDefault(b)
	defer computing(b)()
	for b.Loop() {
		i, err := p.newInstance(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(i.memory())/(1<<20), "MiB")
		i.close()
	}
}

func BenchmarkLoadCold(b *testing.B) { benchmarkLoad(b, func() string { return b.TempDir() }) }

func BenchmarkLoadWarm(b *testing.B) {
	loadDefault(b)
	benchmarkLoad(b, func() string { return realCache })
}

func benchmarkLoad(b *testing.B, cache func() string) {
	defer computing(b)()
	for b.Loop() {
		p, err := Load(b.Context(), defaultModule(b), Config{Name: "default", CacheDir: cache()})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
