package quicnet

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// What is refused at the door, by the names that Config.Refused is told. What breaks a rule of the protocol, or
// is refused by who serves a request, goes by the code it is refused with, in small letters: "malformed",
// "too_large", "too_slow", "unsupported" and so on.
const (
	RefusedALPN        = "alpn"            // another protocol than this one
	RefusedCertificate = "certificate"     // not one a node could have made
	RefusedWork        = "work"            // a key without the proof of work
	RefusedHandshake   = "handshake_rate"  // too many handshakes, of one source or of all
	RefusedStranger    = "strangers"       // too many between TLS and Hello
	RefusedDelegation  = "delegation"      // a node key that its owner does not vouch for
	RefusedVersion     = "version"         // no version in common
	RefusedWrongPeer   = "wrong_peer"      // another key than was dialled
	RefusedBanned      = "banned"          // a key that broke the protocol too often
	RefusedSelf        = "self"            // this node's own key
	RefusedPool        = "pool"            // every connection in use
	RefusedRate        = "request_rate"    // requests faster than one source may send them
	RefusedOwner       = "owner_rate"      // requests faster than all nodes of one owner may send them
	RefusedShare       = "request_share"   // more requests at once than a peer, its network, or all may have
	RefusedPrivate     = "private_address" // a private address, of a peer seen at a public one
	RefusedClaim       = "address"         // an address at which the peer was not found
	RefusedView        = "view"            // an address at which the peer cannot see this node
)

// refusal is a refusal that is counted under a name of its own.
type refusal struct {
	what string
	*wire.Refusal
}

func (r refusal) Unwrap() error { return r.Refusal }

// named gives a refusal the name it is counted under.
func named(what string, r *wire.Refusal) error { return refusal{what, r} }

// served tells of a code that it is no refusal: the request was understood and looked into, or is not wanted
// any more.
func served(code wire.Code) bool {
	switch code {
	case wire.Code_OK, wire.Code_NOT_FOUND, wire.Code_MAINTENANCE, wire.Code_INTERNAL, wire.Code_DEFERRED,
		wire.Code_DELETED, wire.Code_CANCELLED, wire.Code_DAMAGED:
		return true
	}
	return false
}

// refused counts what is refused for err, if it is for something the other side did.
func (n *Net) refused(err error) {
	if what := whatIsRefused(err); what != "" {
		n.config.Refused(what)
	}
}

// whatIsRefused is the name that an error counts under; "" = it is no refusal.
func whatIsRefused(err error) string {
	var r refusal
	if errors.As(err, &r) {
		return r.what
	}
	switch {
	case errors.Is(err, ErrGone): // it went by itself
		return ""
	case errors.Is(err, ErrWrongPeer):
		return RefusedWrongPeer
	case errors.Is(err, identity.ErrWork):
		return RefusedWork
	case errors.Is(err, identity.ErrCertificate):
		return RefusedCertificate
	}
	code := refusalFor(err).Code
	if served(code) {
		return ""
	}
	if name, known := wire.Code_name[int32(code)]; known {
		return strings.ToLower(name)
	}
	return "other"
}

// speaks counts strangers that speak another protocol; TLS refuses them.
func (n *Net) speaks(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Contains(hello.SupportedProtos, wire.ALPN) {
		n.config.Refused(RefusedALPN)
	}
	return nil, nil
}
