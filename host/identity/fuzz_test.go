package identity_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
)

// FuzzCertificate: whatever a stranger shows, it is a contact with its work or an error.
func FuzzCertificate(f *testing.F) {
	id, err := identity.Generate(powBits)
	if err != nil {
		f.Fatal(err)
	}
	cert, err := id.Node.Certificate(time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert.Certificate[0])
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		who, err := identity.VerifyCertificate(cert, powBits)
		if err == nil && !identity.CheckWork(who.ID(), powBits) {
			t.Errorf("accepted %v", who)
		}
	})
}
