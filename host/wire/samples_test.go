package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// when is the time of every sample.
var when = time.Date(2025, 6, 1, 12, 0, 0, 123_000_000, time.UTC)

// fixed is an identity whose signatures never change: its seeds are 32 bytes of 01 and of 02.
func fixed(t testing.TB) *identity.Identity {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{identity.OwnerFile, identity.NodeFile} {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id, err := identity.Load(dir, 8)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func filled(b byte) (out [32]byte) {
	copy(out[:], bytes.Repeat([]byte{b}, len(out)))
	return out
}

func sampleContact(id *identity.Identity) identity.Contact {
	return identity.Contact{Key: id.Node.Key(), Nonce: id.Node.Nonce(), Addr: netip.MustParseAddrPort("203.0.113.7:4433")}
}

func sampleReceipt(id *identity.Identity) wire.Receipt {
	return wire.Receipt{
		Tessera: filled(1), Owner: filled(2), Index: 7, Checksum: filled(3), Size: 1 << 33,
		HolderOwner: id.Owner.Key(), Sender: filled(4), Time: when,
	}
}

func sampleRequest() *wire.AttestRequest {
	q := &wire.AttestRequest{Nonce: bytes.Repeat([]byte{9}, 32)}
	for b := byte(1); b <= 4; b++ {
		t := filled(b)
		q.Tesseras = append(q.Tesseras, t[:])
	}
	return q
}

func sampleAttestation() wire.Attestation {
	return wire.Attestation{Verifier: filled(4), Time: when, Covered: 3, Held: []wire.Holding{
		{Tessera: filled(1), Fragments: []wire.HeldFragment{{Index: 0, Checksum: filled(5)}, {Index: 254, Checksum: filled(6)}}},
		{Tessera: filled(3), Fragments: []wire.HeldFragment{{Index: 2, Checksum: digest.Of(nil)}}},
	}}
}

func sampleChallenge() *wire.Challenge {
	nonce, t, sum := filled(9), filled(1), filled(3)
	return &wire.Challenge{Nonce: nonce[:], Tessera: t[:], Index: 7, Checksum: sum[:], Whole: true}
}

func sampleSlices() [][]byte { return [][]byte{[]byte("one"), []byte("another")} }

func sampleWatch() *wire.Watch {
	q := &wire.Watch{Nonce: bytes.Repeat([]byte{9}, 32)}
	for b := byte(1); b <= 2; b++ {
		t := filled(b)
		q.Tesseras = append(q.Tesseras, t[:])
	}
	return q
}

func sampleChecks() []wire.Check { return []wire.Check{{}, {At: when.Add(-time.Hour), Moving: true}} }

// samples has a message of every kind, every field set.
func samples(t testing.TB) []wire.Message {
	t.Helper()
	id := fixed(t)
	id32 := bytes.Repeat([]byte{1}, 32)
	contact := wire.NewContact(sampleContact(id))
	pointer := wire.SignPointer(id.Node, sdk.TesseraID(id32), sampleContact(id), when).Message()
	owner := id.Owner.Key()
	hello := &wire.Hello{
		Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1, 2}, Software: "sample/1",
		Listen: contact.Addr, Seen: wire.NewAddress(netip.MustParseAddrPort("[2001:db8::1]:1")),
		FreeBytes: 1 << 40, Capabilities: 1, Instance: 77,
		Institution: &wire.Institution{Domain: "library.example", Operator: "the library", PledgeBytes: 1 << 40},
	}
	return []wire.Message{
		&wire.Error{Code: wire.Code_BUSY, Text: "later", RetryAfterMs: 1500},
		hello,
		&wire.HelloAck{Hello: hello, Version: 1},
		&wire.Ping{},
		&wire.Pong{FreeBytes: 5, Capabilities: 1},
		&wire.FindNode{Target: id32},
		&wire.Nodes{Nodes: []*wire.Contact{contact, contact}},
		&wire.StorePointers{Pointers: []*wire.SignedPointer{pointer, pointer}},
		&wire.StoreAck{Stored: 1, Refused: 2},
		&wire.FindPointers{Tessera: id32},
		&wire.Pointers{Pointers: []*wire.SignedPointer{pointer}, Closer: []*wire.Contact{contact}},
		&wire.Replicate{Plan: []byte("tesseras plan 1\n"), Index: 3, Size: 1 << 20, Purpose: wire.Purpose_PUBLISH, Holds: 4},
		wire.SignReceipt(id.Node, sampleReceipt(id)),
		sampleRequest(),
		wire.SignAttestation(id.Node, sampleRequest(), sampleAttestation()),
		&wire.FetchPlan{Tessera: id32},
		&wire.PlanResponse{Plan: []byte("plan"), Tombstone: []byte("tombstone")},
		&wire.FetchFragment{Tessera: id32, Index: 4, Checksum: id32},
		&wire.FragmentHeader{Size: 99},
		&wire.Forget{Tombstone: []byte("tombstone")},
		&wire.ForgetAck{Removed: 2},
		&wire.DialBack{},
		&wire.DialBackAck{Reached: true, Tried: &wire.Address{Ip: []byte{203, 0, 113, 7}, Port: 4433}},
		&wire.AccountRequest{},
		&wire.Account{Kept: 1 << 30, Given: 3},
		&wire.Released{Tessera: id32, Index: 4},
		&wire.ReleasedAck{Noted: true},
		sampleChallenge(),
		wire.SignProof(id.Node, sampleChallenge(), filled(4), sampleSlices(), filled(8), when),
		sampleWatch(),
		wire.SignChecked(id.Node, sampleWatch(), filled(4), sampleChecks(), when),
	}
}
