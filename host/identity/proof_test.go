package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// TestNodeIDVector pins the format: other implementations compute the same.
func TestNodeIDVector(t *testing.T) {
	var key sdk.NodeKey
	for i := range key {
		key[i] = byte(i)
	}
	for nonce, want := range map[uint64]string{
		0:                  "0bceab2bd2ef34eff7a9b378ee5d550a7a673720939d1f7eb0d8fe489610d824",
		0x0102030405060708: "13e5edfcd6f3ab1e386ceb51f9a4c9eced7ce7e7e7df2747e28db811e806b862",
	} {
		if got := identity.NodeIDOf(key, nonce).String(); got != want {
			t.Errorf("nonce %d: %s", nonce, got)
		}
	}
}

func TestCheckWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 255).Draw(t, "zero bits")
		id := sdk.NodeID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "id"))
		for i := range n {
			id[i/8] &^= 0x80 >> (i % 8)
		}
		id[n/8] |= 0x80 >> (n % 8)
		if !identity.CheckWork(id, n) || identity.CheckWork(id, n+1) {
			t.Fatalf("%s has exactly %d leading zero bits", id, n)
		}
	})
	if !identity.CheckWork(sdk.NodeID{}, 256) {
		t.Error("the zero id has 256")
	}
}

func certificate(t *testing.T, id *identity.Identity) *x509.Certificate {
	t.Helper()
	c, err := id.Node.Certificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestCertificate(t *testing.T) {
	id, err := identity.Generate(powBits)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, id)
	who, err := identity.VerifyCertificate(cert, powBits)
	if err != nil || who != (identity.Contact{Key: id.Node.Key(), Nonce: id.Node.Nonce()}) || who.ID() != id.Node.ID() {
		t.Errorf("%v, %v", who, err)
	}
	if _, err := identity.VerifyCertificate(cert, 80); !errors.Is(err, identity.ErrWork) {
		t.Errorf("too little work: %v", err)
	}
	if cert.NotAfter.Year() != 9999 {
		t.Errorf("it expires: %s", cert.NotAfter)
	}
	for i := range cert.RawTBSCertificate { // the signature covers every byte, the nonce among them
		changed := *cert
		changed.RawTBSCertificate = append([]byte{}, cert.RawTBSCertificate...)
		changed.RawTBSCertificate[i] ^= 1
		if _, err := identity.VerifyCertificate(&changed, powBits); !errors.Is(err, identity.ErrCertificate) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func TestForeignCertificates(t *testing.T) {
	nonce, err := asn1.Marshal(make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	short, err := asn1.Marshal(make([]byte, 7))
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	extension := func(value []byte) []pkix.Extension {
		return []pkix.Extension{{Id: identity.NonceExtension, Value: value}}
	}
	issue := func(ext []pkix.Extension, public, private any) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), ExtraExtensions: ext},
			&x509.Certificate{SerialNumber: big.NewInt(1)}, public, private)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := identity.VerifyCertificate(issue(extension(nonce), ed.Public(), ed), 0); err != nil {
		t.Errorf("a good one made by other means: %v", err)
	}
	for name, c := range map[string]*x509.Certificate{
		"no nonce":              issue(nil, ed.Public(), ed),
		"nonce of 7 bytes":      issue(extension(short), ed.Public(), ed),
		"nonce is not DER":      issue(extension([]byte{1, 2, 3}), ed.Public(), ed),
		"bytes after the nonce": issue(extension(append(nonce, 0)), ed.Public(), ed),
		"ECDSA":                 issue(extension(nonce), ec.Public(), ec),
		"signed by another":     issue(extension(nonce), ed.Public(), other),
	} {
		if _, err := identity.VerifyCertificate(c, 0); !errors.Is(err, identity.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDelegation(t *testing.T) {
	a, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	if !identity.VerifyDelegation(a.Owner.Key(), b.Node.Key(), a.Owner.Delegate(b.Node.Key())) {
		t.Error("an owner vouches for a second node")
	}
	if identity.VerifyDelegation(a.Owner.Key(), b.Node.Key(), a.Delegation) || identity.VerifyDelegation(b.Owner.Key(), a.Node.Key(), a.Delegation) {
		t.Error("a delegation holds for others")
	}
	if identity.Verify(a.Node.Key(), []byte("x"), nil) || identity.Verify(a.Node.Key(), []byte("x"), make([]byte, 65)) {
		t.Error("a signature of another length holds")
	}
}

func TestSubnet(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.77":         "203.0.113.0/24",
		"::ffff:203.0.113.77":  "203.0.113.0/24",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1::/48",
		"fe80::1:2%eth0":       "fe80::/48",
	} {
		if got := identity.Subnet(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if identity.Subnet(netip.Addr{}).IsValid() {
		t.Error("no address has no subnet")
	}
}
