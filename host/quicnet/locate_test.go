package quicnet

import (
	"net/netip"
	"testing"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhereAPeerIsDialled: where it is seen; at the port it names; elsewhere only if it was found there.
func TestWhereAPeerIsDialled(t *testing.T) {
	const at = "198.51.100.7:1024"
	key := sdk.NodeKey{1}
	for name, c := range map[string]struct {
		seen, listen string
		dialed       bool
		want, claim  string
	}{
		"says nothing":                {at, "0.0.0.0:0", false, at, ""},
		"names a port":                {at, "0.0.0.0:4433", false, at, ""},
		"is behind a router":          {at, "198.51.100.7:4433", false, "198.51.100.7:4433", ""},
		"names another network":       {at, "203.0.113.1:4433", false, "198.51.100.7:4433", "203.0.113.1:4433"},
		"was found there":             {at, "192.0.2.9:4433", false, "192.0.2.9:4433", ""},
		"sends to a home":             {at, "192.168.1.1:53", false, at, ""},
		"sends to loopback":           {at, "127.0.0.1:53", false, at, ""},
		"is dialled and says no more": {at, "0.0.0.0:0", true, at, ""},
		"is dialled and says else":    {at, "203.0.113.1:4433", true, at, "203.0.113.1:4433"},
		"is at home":                  {"192.168.1.7:1024", "203.0.113.1:4433", false, "192.168.1.7:4433", "203.0.113.1:4433"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Net{config: Config{}.withDefaults()}
			n.claims.prove(identity.Contact{Key: key, Addr: netip.MustParseAddrPort("192.0.2.9:4433")})
			p := Peer{Contact: identity.Contact{Key: key}, Seen: netip.MustParseAddrPort(c.seen), Dialed: c.dialed}
			claim := n.locate(&p, netip.MustParseAddrPort(c.listen))
			if got := p.Contact.Addr.String(); got != c.want {
				t.Errorf("dialled at %s, want %s", got, c.want)
			}
			if claim.IsValid() != (c.claim != "") || claim.IsValid() && claim.String() != c.claim {
				t.Errorf("claims %s, want %q", claim, c.claim)
			}
		})
	}
}

// TestPrivateAddressesAreCounted, of peers that are seen at a public one.
func TestPrivateAddressesAreCounted(t *testing.T) {
	counted := ""
	n := &Net{config: Config{Refused: func(what string) { counted = what }}.withDefaults()}
	p := Peer{Seen: netip.MustParseAddrPort("198.51.100.7:1024")}
	n.locate(&p, netip.MustParseAddrPort("192.168.1.1:53"))
	if counted != RefusedPrivate {
		t.Errorf("counted as %q", counted)
	}
}

// TestFewClaimsAreRemembered, and none at which its key was not found.
func TestFewClaimsAreRemembered(t *testing.T) {
	var c claims
	who := identity.Contact{Addr: netip.MustParseAddrPort("203.0.113.1:1")}
	for i := range 3 * maxClaims {
		who.Key = sdk.NodeKey{byte(i), byte(i >> 8)}
		c.prove(who)
	}
	if len(c.proven) > maxClaims {
		t.Errorf("%d are remembered", len(c.proven))
	}
	if !c.holds(who) {
		t.Error("the newest is forgotten")
	}
	if c.fail(who); c.holds(who) {
		t.Error("a failed one is believed")
	}
}
