package wire_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestGoldenStatements pins the signed bytes: signatures that hold today hold for ever.
func TestGoldenStatements(t *testing.T) {
	id := fixed(t)
	var b strings.Builder
	fmt.Fprintf(&b, "Signed statements, made from an owner key (its seed: 32 bytes of 01) and a node key (32 bytes of 02).\n"+
		"xx*32 stands for 32 bytes xx.\n\n")
	fmt.Fprintf(&b, "owner key   %s\nnode key    %s\nnonce       %d (the first that gives 8 zero bits)\nnode id     %s\ndelegation  %x\n\n",
		id.Owner.Key(), id.Node.Key(), id.Node.Nonce(), id.Node.ID(), id.Delegation)
	p := wire.SignPointer(id.Node, filled(1), sampleContact(id), when)
	fmt.Fprintf(&b, "pointer     tessera 01*32, at 203.0.113.7:4433, time %d, expires %d\nsignature   %x\n\n",
		p.Time.UnixMilli(), p.Expires.UnixMilli(), p.Signature)
	r := wire.SignReceipt(id.Node, sampleReceipt(id))
	fmt.Fprintf(&b, "receipt     tessera 01*32, owner 02*32, index 7, checksum 03*32, size %d,\n"+
		"            holder's owner as above, sender 04*32, time %d\nsignature   %x\n\n", r.GetSize(), r.GetTimeMs(), r.GetSignature())
	a := wire.SignAttestation(id.Node, sampleRequest(), sampleAttestation())
	fmt.Fprintf(&b, "attestation verifier 04*32, nonce 09*32, time %d, covered 3,\n"+
		"            held: 01*32 with fragment 0 of 05*32 and 254 of 06*32, 03*32 with fragment 2 of the BLAKE3 of nothing\n"+
		"signature   %x\n\n", a.GetTimeMs(), a.GetSignature())
	proof := wire.SignProof(id.Node, sampleChallenge(), filled(4), sampleSlices(), filled(8), when)
	fmt.Fprintf(&b, "proof       verifier 04*32, nonce 09*32, tessera 01*32, index 7, checksum 03*32, time %d,\n"+
		"            slices \"one\" and \"another\", keyed hash 08*32\nsignature   %x\n\n", proof.GetTimeMs(), proof.GetSignature())
	c := wire.SignChecked(id.Node, sampleWatch(), filled(4), sampleChecks(), when)
	fmt.Fprintf(&b, "checked     verifier 04*32, nonce 09*32, time %d, tesseras 01*32, 02*32, never and %d, the second moving\nsignature   %x\n",
		c.GetTimeMs(), sampleChecks()[1].At.UnixMilli(), c.GetSignature())
	golden := filepath.Join("testdata", "statements.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; now:\n%s", err, b.String())
	}
}

// changes are ways to tamper with a message: every field of it, one at a time.
func changes(m wire.Message) map[string]wire.Message {
	out := map[string]wire.Message{}
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		c := proto.Clone(m)
		v := c.ProtoReflect().Get(f)
		switch {
		case f.IsList() || f.Message() != nil:
			continue
		case f.Kind() == protoreflect.BytesKind:
			b := v.Bytes() // of the clone
			b[min(5, len(b)-1)] ^= 1
		case f.Kind() == protoreflect.BoolKind:
			c.ProtoReflect().Set(f, protoreflect.ValueOfBool(!v.Bool()))
		case f.Kind() == protoreflect.Uint32Kind:
			c.ProtoReflect().Set(f, protoreflect.ValueOfUint32(uint32(v.Uint())+1))
		case f.Kind() == protoreflect.Uint64Kind:
			c.ProtoReflect().Set(f, protoreflect.ValueOfUint64(v.Uint()+1))
		default:
			c.ProtoReflect().Set(f, protoreflect.ValueOfInt64(v.Int()+1))
		}
		out[string(f.Name())] = c
	}
	return out
}

func TestReceiptSignature(t *testing.T) {
	id := fixed(t)
	m := wire.SignReceipt(id.Node, sampleReceipt(id))
	r, err := wire.VerifyReceipt(m)
	if err != nil {
		t.Fatal(err)
	}
	want := sampleReceipt(id)
	want.Holder, want.Signature = id.Node.Key(), r.Signature
	if r != want || !proto.Equal(r.Message(), m) {
		t.Errorf("%+v", r)
	}
	for name, c := range changes(m) {
		if _, err := wire.VerifyReceipt(c.(*wire.ReplicateAck)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	if _, err := wire.VerifyReceipt(&wire.ReplicateAck{}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("empty: %v", err)
	}
}

// verifyPointer reads a pointer and checks all of it.
func verifyPointer(m *wire.SignedPointer, powBits int, now time.Time) (wire.Pointer, error) {
	p, err := wire.ReadPointer(m, powBits, now)
	if err != nil {
		return wire.Pointer{}, err
	}
	return p, p.VerifySignature()
}

func TestPointerSignature(t *testing.T) {
	id := fixed(t)
	p := wire.SignPointer(id.Node, filled(1), sampleContact(id), when)
	verify := func(m *wire.SignedPointer) error {
		_, err := verifyPointer(m, 8, when)
		return err
	}
	if got, err := verifyPointer(p.Message(), 8, when.Add(23*time.Hour)); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range changes(p.Message()) {
		if err := verify(c.(*wire.SignedPointer)); !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrExpired) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	moved := p
	moved.Holder.Addr = sampleContact(id).Addr
	moved.Holder.Nonce++
	if err := verify(moved.Message()); !errors.Is(err, identity.ErrWork) && !errors.Is(err, wire.ErrSignature) {
		t.Errorf("another nonce: %v", err)
	}
	for name, c := range map[string]struct {
		now  time.Time
		work int
		want error
	}{
		"expired":              {when.Add(24 * time.Hour), 8, wire.ErrExpired},
		"too far ahead":        {when.Add(-61 * time.Minute), 8, wire.ErrExpired},
		"a little ahead":       {when.Add(-59 * time.Minute), 8, nil},
		"more work wanted":     {when, 60, identity.ErrWork},
		"in its last second":   {when.Add(24*time.Hour - time.Second), 8, nil},
		"no work wanted there": {when, 0, nil},
	} {
		if _, err := verifyPointer(p.Message(), c.work, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*wire.SignedPointer){
		"no holder":         func(m *wire.SignedPointer) { m.Holder = nil },
		"no address":        func(m *wire.SignedPointer) { m.Holder.Addr = nil },
		"port 0":            func(m *wire.SignedPointer) { m.Holder.Addr.Port = 0 },
		"unspecified":       func(m *wire.SignedPointer) { m.Holder.Addr.Ip = make([]byte, 4) },
		"multicast":         func(m *wire.SignedPointer) { m.Holder.Addr.Ip = []byte{224, 0, 0, 1} },
		"a short key":       func(m *wire.SignedPointer) { m.Holder.Key = m.Holder.Key[:31] },
		"a short signature": func(m *wire.SignedPointer) { m.Signature = m.Signature[:63] },
		"a short tessera":   func(m *wire.SignedPointer) { m.Tessera = nil },
	} {
		m := p.Message()
		spoil(m)
		if err := verify(m); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttestationSignature(t *testing.T) {
	id := fixed(t)
	q := sampleRequest()
	m := wire.SignAttestation(id.Node, q, sampleAttestation())
	verify := func(m *wire.AttestResponse) error {
		_, err := wire.VerifyAttestation(m, q, id.Node.Key(), filled(4))
		return err
	}
	a, err := wire.VerifyAttestation(m, q, id.Node.Key(), filled(4))
	if err != nil || !proto.Equal(a.Message(), m) || a.Held[0].Fragments[1].Index != 254 {
		t.Fatalf("%+v, %v", a, err)
	}
	for name, c := range changes(m) {
		if err := verify(c.(*wire.AttestResponse)); !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*wire.AttestResponse){
		"a checksum changed":     func(m *wire.AttestResponse) { m.Holdings[40] ^= 1 },
		"a holding left out":     func(m *wire.AttestResponse) { m.Holdings = m.Holdings[33+2*33:] },
		"a holding twice":        func(m *wire.AttestResponse) { m.Holdings = append(m.Holdings, m.Holdings[33+2*33:]...) },
		"in another order":       func(m *wire.AttestResponse) { m.Holdings = append(m.Holdings[99:], m.Holdings[:99]...) },
		"indices not ascending":  func(m *wire.AttestResponse) { m.Holdings[33+33] = 0 },
		"an index out of bounds": func(m *wire.AttestResponse) { m.Holdings[33+33] = 255 },
		"no fragments":           func(m *wire.AttestResponse) { m.Holdings[32] = 0 },
		"a checksum missing":     func(m *wire.AttestResponse) { m.Holdings = m.Holdings[:len(m.Holdings)-32] },
		"a byte too many":        func(m *wire.AttestResponse) { m.Holdings = append(m.Holdings, 1) },
		"covers too much":        func(m *wire.AttestResponse) { m.Covered = 5 },
		"not among the covered":  func(m *wire.AttestResponse) { m.Covered = 2 },
	} {
		c := proto.Clone(m).(*wire.AttestResponse)
		spoil(c)
		if err := verify(c); !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := sampleRequest()
	other.Nonce[0]++
	if _, err := wire.VerifyAttestation(m, other, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("replayed for another nonce: %v", err)
	}
	if _, err := wire.VerifyAttestation(m, q, filled(8), filled(4)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("by another holder: %v", err)
	}
	if _, err := wire.VerifyAttestation(m, q, id.Node.Key(), filled(8)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("for another verifier: %v", err)
	}
}

// TestFits: the most that Fits lets into one answer is an answer that can be sent.
func TestFits(t *testing.T) {
	var held []wire.Holding
	q := &wire.AttestRequest{Nonce: make([]byte, 32)}
	for i := range wire.MaxAttested {
		h := wire.Holding{Tessera: filled(byte(i))}
		h.Tessera[0] = byte(i >> 8)
		for f := range wire.MaxFragments {
			h.Fragments = append(h.Fragments, wire.HeldFragment{Index: f})
		}
		held = append(held, h)
		q.Tesseras = append(q.Tesseras, h.Tessera[:])
	}
	n := wire.Fits(held)
	if n == 0 || n == len(held) {
		t.Fatalf("%d of %d fit", n, len(held))
	}
	m := wire.SignAttestation(fixed(t).Node, q, wire.Attestation{Time: when, Covered: n, Held: held[:n]})
	if b := encode(t, m); len(b) < wire.KindAttestResponse.Ceiling()-32<<10 {
		t.Errorf("only %d bytes used", len(b))
	}
	if wire.Fits(held[:n]) != n {
		t.Error("not all that fits fits")
	}
}
