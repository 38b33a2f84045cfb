package host

import (
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestNetAdvice: each finding is said once, in words that tell what to do; nothing is said about nothing.
func TestNetAdvice(t *testing.T) {
	well := localapi.NetCheck{
		Addr: "203.0.113.7:4433", Agreed: true, Reachable: localapi.ReachableYes, Peers: 3,
		Views: []localapi.AddressView{{Addr: "203.0.113.7:4433", Voices: 3}},
		UDP:   &localapi.UDPBuffers{Receive: 8 << 20, Send: 8 << 20, Wanted: 7 << 20},
	}
	for name, c := range map[string]struct {
		change func(*localapi.NetCheck)
		want   []string // one word of each piece of advice
	}{
		"all is well":     {func(*localapi.NetCheck) {}, nil},
		"no socket":       {func(c *localapi.NetCheck) { c.UDP = nil }, nil},
		"alone":           {func(c *localapi.NetCheck) { c.Peers, c.Reachable = 0, localapi.ReachableUnknown }, []string{"--bootstrap"}},
		"behind a router": {func(c *localapi.NetCheck) { c.Reachable = localapi.ReachableNo }, []string{"Forward UDP port 4433"}},
		"nobody tells":    {func(c *localapi.NetCheck) { c.Agreed, c.Addr, c.Views = false, "", nil }, []string{"No peer says"}},
		"one voice": {func(c *localapi.NetCheck) {
			c.Agreed, c.Views = false, []localapi.AddressView{{Addr: "203.0.113.7:4433", Voices: 1}}
		}, []string{"Too few were asked"}},
		"two that differ": {func(c *localapi.NetCheck) {
			c.Agreed, c.Addr = false, ""
			c.Views = []localapi.AddressView{{Addr: "203.0.113.7:4433", Voices: 1}, {Addr: "198.51.100.7:4433", Voices: 1}}
		}, []string{"disagree"}},
		"some get through": {func(c *localapi.NetCheck) {
			c.Reachable, c.DialledBack = localapi.ReachableUnknown, []localapi.DialBack{{Reached: true}, {}}
		}, []string{"Some peers got through"}},
		"small buffers": {func(c *localapi.NetCheck) { c.UDP.Receive = 416 << 10 }, []string{"net.core.rmem_max"}},
		"a port for each": {func(c *localapi.NetCheck) {
			c.Views = append(c.Views, localapi.AddressView{Addr: "203.0.113.7:9", Voices: 1})
		}, []string{"different ports"}},
		"two at once": {func(c *localapi.NetCheck) { c.Reachable = localapi.ReachableNo; c.UDP.Send = 1 }, []string{"Forward", "sysctl"}},
	} {
		t.Run(name, func(t *testing.T) {
			check, buffers := well, *well.UDP
			check.UDP = &buffers
			c.change(&check)
			got := netAdvice(check, 4433)
			if len(got) != len(c.want) {
				t.Fatalf("got %q", got)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("%q says nothing of %q", got[i], want)
				}
			}
		})
	}
}

// TestReachableIsWhatMostFind: one that got through does not outweigh those that did not.
func TestReachableIsWhatMostFind(t *testing.T) {
	for _, c := range []struct {
		reached, tried int
		want           string
	}{
		{0, 0, localapi.ReachableUnknown},
		{1, 1, localapi.ReachableYes},
		{0, 1, localapi.ReachableNo},
		{1, 2, localapi.ReachableUnknown},
		{1, 3, localapi.ReachableNo},
		{2, 3, localapi.ReachableYes},
		{1, 6, localapi.ReachableNo},
		{3, 6, localapi.ReachableUnknown},
	} {
		if got := reachable(c.reached, c.tried); got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.reached, c.tried, got, c.want)
		}
	}
}
