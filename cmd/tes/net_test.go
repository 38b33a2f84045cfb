package main

import (
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestNetCheckInWords: all is well only when peers agree and get through; why they are not believed is said.
func TestNetCheckInWords(t *testing.T) {
	const here, there = "203.0.113.7:4433", "198.51.100.7:4433"
	views := func(at ...string) (out []localapi.AddressView) {
		for _, a := range at {
			out = append(out, localapi.AddressView{Addr: a, Voices: 1})
		}
		return out
	}
	for name, c := range map[string]struct {
		check localapi.NetCheck
		want  []string
		well  bool
	}{
		"well": {
			localapi.NetCheck{
				Peers: 2, Addr: here, Agreed: true, Reachable: localapi.ReachableYes,
				Views: []localapi.AddressView{{Addr: here, Voices: 2}}, DialledBack: []localapi.DialBack{{Reached: true}},
			},
			[]string{"2 peers answer.", "and peers agree", "1 of 1 peer that tried"},
			true,
		},
		"too few": {
			localapi.NetCheck{Peers: 1, Addr: here, Reachable: localapi.ReachableYes, Views: views(here), DialledBack: []localapi.DialBack{{Reached: true}}},
			[]string{"1 peer answers.", "too few were asked"},
			false,
		},
		"disagree": {
			localapi.NetCheck{Peers: 2, Reachable: localapi.ReachableUnknown, Views: views(here, there), DialledBack: []localapi.DialBack{{Reached: true}, {}}},
			[]string{"peers disagree", "not sure: 1 of 2 peers"},
			false,
		},
		"in vain": {
			localapi.NetCheck{Peers: 3, Addr: here, Agreed: true, Reachable: localapi.ReachableNo, DialledBack: []localapi.DialBack{{Reached: true}, {}, {}}},
			[]string{"cannot reach it: only 1 of 3 peers"},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			printNetCheck(&b, c.check)
			for _, want := range c.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("nothing of %q in\n%s", want, b.String())
				}
			}
			if got := strings.Contains(b.String(), "All is well"); got != c.well {
				t.Errorf("all is well: %v\n%s", got, b.String())
			}
		})
	}
}
