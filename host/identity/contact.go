package identity

import (
	"net/netip"

	"github.com/tesseras/tesseras/sdk"
)

// Contact is where a peer can be dialled and who must answer there. The peer is its key; the address
// is a hint. Contacts are comparable values.
type Contact struct {
	Key   sdk.NodeKey
	Nonce uint64
	Addr  netip.AddrPort
}

// ID is the peer's position in the network.
func (c Contact) ID() sdk.NodeID { return NodeIDOf(c.Key, c.Nonce) }

func (c Contact) String() string { return c.ID().Short() + "@" + c.Addr.String() }

// Subnet is the network that an address is counted under: its /24 for IPv4, its /48 for IPv6. An
// IPv4 address in IPv6 clothes counts as IPv4. The zero Addr gives the zero Prefix.
func Subnet(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	size := 48
	if addr.Is4() {
		size = 24
	}
	p, err := addr.Prefix(size)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
