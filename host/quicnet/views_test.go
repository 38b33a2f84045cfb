package quicnet

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestAnAddressIsBelievedWhenPeersAgree: liars of one network have one voice, and one voice is not enough.
func TestAnAddressIsBelievedWhenPeersAgree(t *testing.T) {
	truth, lie := netip.MustParseAddrPort("198.51.100.7:4433"), netip.MustParseAddrPort("192.0.2.1:1")
	v := &views{}
	key := byte(0)
	says := func(from string, at netip.AddrPort) {
		key++
		v.note([32]byte{key}, netip.MustParseAddr(from), at)
	}
	says("11.0.0.1", truth)
	if got := v.agreed(); got.IsValid() {
		t.Errorf("one voice is believed: %s", got)
	}
	says("12.0.0.1", truth)
	if got := v.agreed(); got != truth {
		t.Errorf("two voices: %s", got)
	}
	for i := range 20 {
		says(fmt.Sprintf("203.0.113.%d", i), lie)
	}
	if got := v.agreed(); got != truth || v.count().most() != truth {
		t.Errorf("twenty liars of one network: %s, %s", got, v.count().most())
	}
	says("13.0.0.1", lie)
	if got := v.agreed(); got.IsValid() {
		t.Errorf("two against two: %s", got)
	}
	home := &views{}
	for i := range 3 {
		home.note([32]byte{byte(i)}, netip.MustParseAddr("127.0.0.1"), truth)
	}
	if got := home.count()[truth]; got != 3 {
		t.Errorf("three peers at home have %d voices", got)
	}
	home.note([32]byte{9}, netip.MustParseAddr("127.0.0.1"), netip.AddrPort{})
	if len(home.count()) != 1 {
		t.Error("no address is noted as one")
	}
}

// TestWhatIsTold to others: what peers agree on, what this computer can see to be its own, what a lone peer at
// home says; a stranger's lone word is not.
func TestWhatIsTold(t *testing.T) {
	const own, public, home, lie = "203.0.113.5:4433", "198.51.100.7:4433", "192.168.1.9:4433", "192.0.2.1:1"
	type voice struct{ from, at string }
	for name, c := range map[string]struct {
		said []voice
		want string
	}{
		"nothing":                          {nil, ""},
		"a stranger alone":                 {[]voice{{"11.0.0.1", public}}, ""},
		"two strangers of one network":     {[]voice{{"11.0.0.1", public}, {"11.0.0.2", public}}, ""},
		"two strangers":                    {[]voice{{"11.0.0.1", public}, {"12.0.0.1", public}}, public},
		"two strangers who differ":         {[]voice{{"11.0.0.1", public}, {"12.0.0.1", lie}}, ""},
		"a stranger, of what is our own":   {[]voice{{"11.0.0.1", own}}, own},
		"our own beside a lie":             {[]voice{{"11.0.0.1", own}, {"12.0.0.1", lie}}, own},
		"one at home":                      {[]voice{{"192.168.1.2", home}}, home},
		"one on this computer":             {[]voice{{"127.0.0.1", "127.0.0.1:4433"}}, "127.0.0.1:4433"},
		"one at home and a stranger":       {[]voice{{"192.168.1.2", home}, {"11.0.0.1", public}}, ""},
		"three at home and two strangers":  {[]voice{{"192.168.1.2", home}, {"192.168.1.3", home}, {"192.168.1.4", home}, {"11.0.0.1", public}, {"12.0.0.1", public}}, public},
		"a stranger, of a private address": {[]voice{{"11.0.0.1", home}, {"12.0.0.1", home}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := &views{owns: func(ip netip.Addr) bool { return ip == netip.MustParseAddrPort(own).Addr() }}
			for i, said := range c.said {
				v.note([32]byte{byte(i)}, netip.MustParseAddr(said.from), netip.MustParseAddrPort(said.at))
			}
			if got := v.believed(); got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
				t.Errorf("tells %s, want %q", got, c.want)
			}
		})
	}
}

// TestOwnAddresses: loopback is of this computer, and what is for documentation is not.
func TestOwnAddresses(t *testing.T) {
	if !onThisComputer(netip.MustParseAddr("127.0.0.1")) || !onThisComputer(netip.MustParseAddr("127.0.9.1")) {
		t.Error("loopback is elsewhere")
	}
	if onThisComputer(netip.MustParseAddr("203.0.113.250")) {
		t.Error("an address for documentation is here")
	}
}
