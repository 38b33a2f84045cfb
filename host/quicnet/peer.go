package quicnet

import (
	"net/netip"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Peer is a node on the other end of a connection: its key is proven by TLS, its proof of work was
// checked, and its owner vouches for it. The rest is what it says.
type Peer struct {
	Contact      identity.Contact // where it was found, or is seen; see claims
	Owner        sdk.OwnerKey
	Version      uint32 // of the protocol, the highest both speak
	Software     string
	Capabilities uint64
	FreeBytes    uint64         // as it said when the connection began
	Seen         netip.AddrPort // where we see it
	SeenUs       netip.AddrPort // where it says it sees us
	Dialed       bool           // this node dialled it

	Institution *wire.Institution // what it claims to be, unverified; nil = nothing
}

// ID is the peer's position in the network.
func (p Peer) ID() sdk.NodeID { return p.Contact.ID() }

// protocolVersion is what this node speaks below ALPN "tesseras/1".
const protocolVersion = 1

// peerFrom reads a Hello of the node that who names and that is seen at an address. It leaves the peer
// without an address to dial, and tells at which it asks to be dialled.
func peerFrom(h *wire.Hello, who identity.Contact, seen netip.AddrPort) (p Peer, listen netip.AddrPort, err error) {
	owner := sdk.OwnerKey(h.GetOwner())
	if !identity.VerifyDelegation(owner, who.Key, h.GetDelegation()) {
		return Peer{}, listen, named(RefusedDelegation, wire.Refuse(wire.Code_BAD_SIGNATURE, "the owner's signature over the node key does not hold"))
	}
	version := commonVersion(h.GetVersions())
	if version == 0 {
		return Peer{}, listen, named(RefusedVersion, wire.Refuse(wire.Code_UNSUPPORTED, "no version in common: this node speaks %d", protocolVersion))
	}
	seenUs, err := h.GetSeen().AddrPort()
	if err != nil {
		return Peer{}, listen, err
	}
	listen, err = h.GetListen().AddrPort()
	if err != nil {
		return Peer{}, listen, err
	}
	return Peer{
		Contact: who, Owner: owner, Version: version, Software: (&wire.Refusal{Text: h.GetSoftware()}).Message().GetText(),
		Capabilities: h.GetCapabilities(), FreeBytes: h.GetFreeBytes(), Seen: seen, SeenUs: seenUs,
		Institution: h.GetInstitution(),
	}, listen, nil
}

func commonVersion(theirs []uint32) uint32 {
	for _, v := range theirs {
		if v == protocolVersion {
			return v
		}
	}
	return 0
}

func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
}
