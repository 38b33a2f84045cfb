package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// NonceExtension names the certificate extension that carries the proof-of-work nonce: a DER OCTET
// STRING of 8 bytes, big-endian. The arc 2.25 is open to everybody without registration; the number
// below it was drawn at random.
var NonceExtension = asn1.ObjectIdentifier{2, 25, 1704338427}

// ErrCertificate tells that a certificate is not one a node could have made.
var ErrCertificate = errors.New("not a node's certificate")

// noExpiry is how X.509 spells "no well-defined end" (RFC 5280, 4.1.2.5).
var noExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// Certificate makes the self-signed certificate the node shows to its peers. It begins a day before
// now and does not expire; verifiers do not look at the dates, so that a wrong clock shuts nobody out.
func (n *Node) Certificate(now time.Time) (tls.Certificate, error) {
	nonce, err := asn1.Marshal(binary.BigEndian.AppendUint64(nil, n.nonce))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		Subject:         pkix.Name{CommonName: "tesseras node"},
		NotBefore:       now.Add(-24 * time.Hour).UTC(),
		NotAfter:        noExpiry,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: NonceExtension, Value: nonce}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, n.key.Public(), n.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: n.key}, nil
}

// VerifyCertificate reads who a certificate speaks for: a contact without an address. It demands an
// Ed25519 key that signed the certificate itself (ErrCertificate otherwise) and powBits leading zero
// bits of the id (ErrWork). That the peer holds the private key is for TLS to prove.
func VerifyCertificate(cert *x509.Certificate, powBits int) (Contact, error) {
	public, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || len(public) != sdk.IDSize {
		return Contact{}, fmt.Errorf("%w: its key is not Ed25519", ErrCertificate)
	}
	nonce, err := certificateNonce(cert)
	if err != nil {
		return Contact{}, err
	}
	c := Contact{Key: sdk.NodeKey(public), Nonce: nonce}
	if !CheckWork(c.ID(), powBits) { // first: it costs us a hash, and a stranger far more
		return Contact{}, fmt.Errorf("%w: %d leading zero bits wanted of %s", ErrWork, powBits, c.ID().Short())
	}
	if !ed25519.Verify(public, cert.RawTBSCertificate, cert.Signature) {
		return Contact{}, fmt.Errorf("%w: not signed by its own key", ErrCertificate)
	}
	return c, nil
}

func certificateNonce(cert *x509.Certificate) (uint64, error) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(NonceExtension) {
			continue
		}
		var b []byte
		rest, err := asn1.Unmarshal(e.Value, &b)
		if err != nil || len(rest) != 0 || len(b) != 8 {
			return 0, fmt.Errorf("%w: malformed nonce", ErrCertificate)
		}
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("%w: no nonce", ErrCertificate)
}
