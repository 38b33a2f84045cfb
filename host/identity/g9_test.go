package identity_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/bombard"
)

// TestStrangersCertificates (G9).
func TestStrangersCertificates(t *testing.T) {
	id, err := identity.Generate(powBits)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.Node.Certificate(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	bombard.Run(t, bombard.Parser{Name: "FuzzCertificate", Seeds: cert.Certificate, Parse: func(in []byte) {
		if cert, err := x509.ParseCertificate(in); err == nil {
			identity.VerifyCertificate(cert, powBits)
		}
	}})
}
