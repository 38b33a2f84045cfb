package quicnet

import (
	"crypto/tls"
	"fmt"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// tlsConfig is the same for both sides: TLS 1.3, our certificate, and of the other side a certificate
// that VerifyCertificate accepts. There is no authority above the keys, hence no chain to verify.
// Sessions are never resumed, so that every connection proves its key afresh.
func (n *Net) tlsConfig(own tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{own},
		NextProtos:             []string{wire.ALPN},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection below does it
		SessionTicketsDisabled: true,
		GetConfigForClient:     n.speaks,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := contactOf(state, n.config.PowBits)
			if err != nil {
				n.refused(err)
			}
			return err
		},
	}
}

// contactOf is who the other side proved to be, without an address.
func contactOf(state tls.ConnectionState, powBits int) (identity.Contact, error) {
	if len(state.PeerCertificates) != 1 {
		return identity.Contact{}, fmt.Errorf("%w: want exactly one", identity.ErrCertificate)
	}
	return identity.VerifyCertificate(state.PeerCertificates[0], powBits)
}

// expectPeer makes a configuration for dialling one node. It accepts any valid node where key is zero.
// What went wrong is left in *failure: TLS itself only reports an alert.
func expectPeer(base *tls.Config, powBits int, self, key sdk.NodeKey, who *identity.Contact, failure *error) *tls.Config {
	c := base.Clone()
	c.VerifyConnection = func(state tls.ConnectionState) error {
		*who, *failure = checkPeer(state, powBits, self, key)
		return *failure
	}
	return c
}

func checkPeer(state tls.ConnectionState, powBits int, self, key sdk.NodeKey) (identity.Contact, error) {
	who, err := contactOf(state, powBits)
	switch {
	case err != nil:
		return identity.Contact{}, err
	case who.Key == self:
		return identity.Contact{}, ErrSelf
	case !key.IsZero() && who.Key != key:
		return identity.Contact{}, fmt.Errorf("%w: %s instead of %s", ErrWrongPeer, who.Key.Short(), key.Short())
	}
	return who, nil
}
