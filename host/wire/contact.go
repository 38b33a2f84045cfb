package wire

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// NewAddress is an address as it travels: 4 bytes for IPv4, 16 for IPv6, without a zone.
func NewAddress(a netip.AddrPort) *Address {
	return &Address{Ip: a.Addr().Unmap().WithZone("").AsSlice(), Port: uint32(a.Port())}
}

// AddrPort reads an address. Its Addr is the zero Addr where no IP was said.
func (a *Address) AddrPort() (netip.AddrPort, error) {
	if a.GetPort() > math.MaxUint16 {
		return netip.AddrPort{}, fmt.Errorf("%w: port %d", ErrMalformed, a.GetPort())
	}
	ip, ok := netip.AddrFromSlice(a.GetIp())
	if !ok && len(a.GetIp()) != 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: ip of %d bytes", ErrMalformed, len(a.GetIp()))
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.GetPort())), nil
}

// NewContact is a contact as it travels.
func NewContact(c identity.Contact) *Contact {
	return &Contact{Key: c.Key[:], Nonce: c.Nonce, Addr: NewAddress(c.Addr)}
}

// Parse reads a contact. One that nobody could dial is ErrMalformed; its proof of work is not looked
// at here.
func (c *Contact) Parse() (identity.Contact, error) {
	addr, err := c.GetAddr().AddrPort()
	if err != nil {
		return identity.Contact{}, err
	}
	if !addr.Addr().IsValid() || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() || addr.Port() == 0 {
		return identity.Contact{}, fmt.Errorf("%w: contact at %s", ErrMalformed, addr)
	}
	key, err := bytes32(c.GetKey())
	if err != nil {
		return identity.Contact{}, fmt.Errorf("contact: %w", err)
	}
	return identity.Contact{Key: key, Nonce: c.GetNonce(), Addr: addr}, nil
}

// bytes32 takes a slice for an id, a key or a hash; another length is ErrMalformed.
func bytes32(b []byte) (out [sdk.IDSize]byte, err error) {
	if copy(out[:], b) != len(b) || len(b) != len(out) {
		return out, fmt.Errorf("%w: %d bytes where 32 are wanted", ErrMalformed, len(b))
	}
	return out, nil
}
