package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/wire"
)

// A target per kind: the corpus of each stays with it.

func FuzzError(f *testing.F)          { fuzzKind(f, wire.KindError) }
func FuzzHello(f *testing.F)          { fuzzKind(f, wire.KindHello) }
func FuzzHelloAck(f *testing.F)       { fuzzKind(f, wire.KindHelloAck) }
func FuzzPing(f *testing.F)           { fuzzKind(f, wire.KindPing) }
func FuzzPong(f *testing.F)           { fuzzKind(f, wire.KindPong) }
func FuzzFindNode(f *testing.F)       { fuzzKind(f, wire.KindFindNode) }
func FuzzNodes(f *testing.F)          { fuzzKind(f, wire.KindNodes) }
func FuzzStorePointers(f *testing.F)  { fuzzKind(f, wire.KindStorePointers) }
func FuzzStoreAck(f *testing.F)       { fuzzKind(f, wire.KindStoreAck) }
func FuzzFindPointers(f *testing.F)   { fuzzKind(f, wire.KindFindPointers) }
func FuzzPointers(f *testing.F)       { fuzzKind(f, wire.KindPointers) }
func FuzzReplicate(f *testing.F)      { fuzzKind(f, wire.KindReplicate) }
func FuzzReplicateAck(f *testing.F)   { fuzzKind(f, wire.KindReplicateAck) }
func FuzzAttestRequest(f *testing.F)  { fuzzKind(f, wire.KindAttestRequest) }
func FuzzAttestResponse(f *testing.F) { fuzzKind(f, wire.KindAttestResponse) }
func FuzzFetchPlan(f *testing.F)      { fuzzKind(f, wire.KindFetchPlan) }
func FuzzPlanResponse(f *testing.F)   { fuzzKind(f, wire.KindPlanResponse) }
func FuzzFetchFragment(f *testing.F)  { fuzzKind(f, wire.KindFetchFragment) }
func FuzzFragmentHeader(f *testing.F) { fuzzKind(f, wire.KindFragmentHeader) }
func FuzzForget(f *testing.F)         { fuzzKind(f, wire.KindForget) }
func FuzzForgetAck(f *testing.F)      { fuzzKind(f, wire.KindForgetAck) }
func FuzzAccountRequest(f *testing.F) { fuzzKind(f, wire.KindAccountRequest) }
func FuzzDialBack(f *testing.F)       { fuzzKind(f, wire.KindDialBack) }
func FuzzDialBackAck(f *testing.F)    { fuzzKind(f, wire.KindDialBackAck) }
func FuzzAccount(f *testing.F)        { fuzzKind(f, wire.KindAccount) }
func FuzzReleased(f *testing.F)       { fuzzKind(f, wire.KindReleased) }
func FuzzReleasedAck(f *testing.F)    { fuzzKind(f, wire.KindReleasedAck) }
func FuzzChallenge(f *testing.F)      { fuzzKind(f, wire.KindChallenge) }
func FuzzProof(f *testing.F)          { fuzzKind(f, wire.KindProof) }
func FuzzWatch(f *testing.F)          { fuzzKind(f, wire.KindWatch) }
func FuzzChecked(f *testing.F)        { fuzzKind(f, wire.KindChecked) }

// FuzzFrame gives whole streams, header and all.
func FuzzFrame(f *testing.F) {
	for _, m := range samples(f) {
		frame, err := wire.AppendFrame(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			if _, err := wire.ReadFrame(r); err != nil {
				return
			}
		}
	})
}

func fuzzKind(f *testing.F, k wire.Kind) {
	for _, m := range samples(f) {
		if wire.KindOf(m) == k {
			body, err := wire.Encode(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { tryBody(t, k, body) })
}

// tryBody decodes and, where that succeeds, looks at everything a node would look at. What was decoded
// can be sent again and is the same.
func tryBody(t *testing.T, k wire.Kind, body []byte) {
	m, err := wire.Decode(k, body)
	if err != nil {
		if !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrTooLarge) {
			t.Fatalf("%s: %v", k, err)
		}
		return
	}
	look(m)
	again, err := wire.Encode(m)
	if err != nil {
		if errors.Is(err, wire.ErrMalformed) && zeroRequired(m) {
			return
		}
		t.Fatalf("%s decodes but does not encode: %v", k, err)
	}
	back, err := wire.Decode(k, again)
	if err != nil || !proto.Equal(back, m) {
		t.Fatalf("%s changes on the way: %v", k, err)
	}
}

// zeroRequired tells whether a message says a number that version 1 demands, but says 0, which proto3
// leaves out when it encodes: an Error of code 0, a time of 1970, a HelloAck of version 0, an empty plan.
func zeroRequired(m wire.Message) bool {
	switch m := m.(type) {
	case *wire.Error:
		return m.GetCode() == 0
	case *wire.HelloAck:
		return m.GetVersion() == 0 || len(m.GetHello().GetVersions()) == 0
	case *wire.Hello:
		return len(m.GetVersions()) == 0
	case *wire.StorePointers, *wire.Pointers:
		return true
	case *wire.ReplicateAck:
		return m.GetTimeMs() == 0
	case *wire.AttestResponse:
		return m.GetTimeMs() == 0
	case *wire.Proof:
		return m.GetTimeMs() == 0
	case *wire.Checked:
		return m.GetTimeMs() == 0
	case *wire.Replicate:
		return len(m.GetPlan()) == 0
	case *wire.Forget:
		return len(m.GetTombstone()) == 0
	}
	return false
}

// look does with a message what a node does first.
func look(m wire.Message) {
	switch m := m.(type) {
	case *wire.Error:
		_ = m.Refusal().Error()
	case *wire.Nodes:
		for _, c := range m.GetNodes() {
			c.Parse()
		}
	case *wire.StorePointers:
		for _, p := range m.GetPointers() {
			verifyPointer(p, 0, when)
		}
	case *wire.Pointers:
		for _, p := range m.GetPointers() {
			verifyPointer(p, 0, when)
		}
	case *wire.ReplicateAck:
		wire.VerifyReceipt(m)
	case *wire.AttestResponse:
		wire.VerifyAttestation(m, sampleRequest(), [32]byte(m.GetHolder()), [32]byte(m.GetVerifier()))
	case *wire.Proof:
		wire.VerifyProof(m, sampleChallenge(), [32]byte(m.GetHolder()), [32]byte(m.GetVerifier()))
	case *wire.Checked:
		wire.VerifyChecked(m, sampleWatch(), [32]byte(m.GetHolder()), [32]byte(m.GetVerifier()))
	}
}

// TestMutations gives each kind many messages that are almost right.
func TestMutations(t *testing.T) {
	const perKind = 5_000
	rng := rand.New(rand.NewPCG(1, 9))
	executed := 0
	for _, m := range samples(t) {
		body := encode(t, m)
		for range perKind {
			tryBody(t, wire.KindOf(m), mutate(rng, body))
			executed++
		}
	}
	t.Logf("%d executions", executed)
}

// mutate changes, removes, doubles or inserts a few bytes.
func mutate(rng *rand.Rand, body []byte) []byte {
	out := bytes.Clone(body)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(out) + 1)
		end := min(len(out), at+1+rng.IntN(40))
		switch rng.IntN(4) {
		case 0:
			if at < len(out) {
				out[at] ^= 1 << rng.IntN(8)
			}
		case 1:
			out = append(out[:at:at], out[end:]...)
		case 2:
			out = append(out[:end:end], out[at:]...)
		case 3:
			out = append(out[:at:at], append([]byte{byte(rng.Uint32()), byte(rng.Uint32())}, out[at:]...)...)
		}
	}
	return out
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestReadingAllocatesLittle: at most four times what arrived and 64 KiB, for the messages that cost
// the decoder most per byte.
func TestReadingAllocatesLittle(t *testing.T) {
	id := make([]byte, 32)
	many := func(n int, one []byte) []byte { return bytes.Repeat(one, n) }
	contact := field(1, field(1, id))
	pointer := bytes.Join([][]byte{field(1, id), field(2, field(1, id)), varint(3, 1), varint(4, 1), field(5, make([]byte, 64))}, nil)
	holding := append(make([]byte, 32), 1)
	holding = append(holding, make([]byte, 33)...)
	statement := bytes.Join([][]byte{field(1, id), field(2, id), field(3, id), varint(4, 1), field(7, make([]byte, 64))}, nil)
	for name, c := range map[string]struct {
		kind wire.Kind
		body []byte
	}{
		"contacts":             {wire.KindNodes, many(20, contact)},
		"pointers to store":    {wire.KindStorePointers, many(64, field(1, pointer))},
		"pointers and closer":  {wire.KindPointers, append(many(64, field(1, pointer)), many(20, field(2, field(1, id)))...)},
		"tesseras":             {wire.KindAttestRequest, append(field(1, id), many(1024, field(2, id))...)},
		"holdings":             {wire.KindAttestResponse, append(field(6, many(15_000, holding)), statement...)},
		"a large plan":         {wire.KindReplicate, field(1, make([]byte, 64<<10))},
		"unknown fields":       {wire.KindPlanResponse, many(24<<10, varint(900, 1))},
		"unknown and nested":   {wire.KindNodes, many(20, field(1, append(field(1, id), many(100, varint(900, 1))...)))},
		"empty holdings":       {wire.KindAttestResponse, many(500_000, field(6, nil))},
		"holding no fragments": {wire.KindAttestResponse, append(field(6, make([]byte, 1_000_000)), statement...)},
		"empty tesseras":       {wire.KindAttestRequest, many(30_000, field(2, nil))},
		"empty plans":          {wire.KindPlanResponse, many(30_000, field(1, nil))},
		"slices":               {wire.KindProof, append(many(9, field(5, make([]byte, 4096))), statement...)},
		"empty slices":         {wire.KindProof, many(15_000, field(5, nil))},
		"versions":             {wire.KindHello, many(2_000, varint(3, 1))},
		"packed, then no more": {wire.KindHello, field(3, many(4_000, []byte{1}))},
	} {
		if len(c.body) > c.kind.Ceiling() {
			t.Fatalf("%s: %d bytes is above the ceiling", name, len(c.body))
		}
		frame := append([]byte{byte(c.kind), 0, 0, 0, 0}, c.body...)
		binary.BigEndian.PutUint32(frame[1:], uint32(len(c.body)))
		limit := uint64(4*len(c.body) + 64<<10)
		if got := allocated(func() { wire.ReadFrame(bytes.NewReader(frame)) }); got > limit {
			t.Errorf("%s: %d bytes cost %d, limit %d", name, len(c.body), got, limit)
		}
		for _, part := range []int{2, 3, 5} { // and when the peer breaks off
			rest := frame[:len(frame)/part]
			limit := uint64(4*len(rest) + 64<<10)
			if got := allocated(func() { wire.ReadFrame(bytes.NewReader(rest)) }); got > limit {
				t.Errorf("%s: the first %d bytes cost %d, limit %d", name, len(rest), got, limit)
			}
		}
	}
}

// TestLengthBomb: a header alone makes nobody allocate what it promises.
func TestLengthBomb(t *testing.T) {
	header := []byte{byte(wire.KindAttestResponse), 0, 0x10, 0, 0} // 1 MiB
	got := allocated(func() {
		if _, err := wire.ReadFrame(bytes.NewReader(header)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
	if got > 32<<10 {
		t.Errorf("a promise of 1 MiB costs %d bytes", got)
	}
}
