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
	if got := v.agreed(); got != truth || v.most() != truth {
		t.Errorf("twenty liars of one network: %s, %s", got, v.most())
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
