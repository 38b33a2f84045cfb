package host

import (
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// TestEightLead: of any holders the same eight lead, other ones for another tessera, and where one is
// gone the next takes its place.
func TestEightLead(t *testing.T) {
	var all []sdk.NodeKey
	for i := range 24 {
		all = append(all, sdk.NodeKey{byte(i + 1)})
	}
	first := func(id sdk.TesseraID, holders []sdk.NodeKey) map[sdk.NodeKey]bool {
		out := map[sdk.NodeKey]bool{}
		for _, k := range holders {
			if leading(id, holders, k) {
				out[k] = true
			}
		}
		return out
	}
	led := map[sdk.NodeKey]int{}
	for n := range 200 {
		id := sdk.TesseraID{byte(n)}
		leaders := first(id, all)
		if len(leaders) != 8 {
			t.Fatalf("%d lead", len(leaders))
		}
		for k := range leaders {
			led[k]++
		}
		rest := all[1:]
		without := first(id, rest)
		for k := range leaders {
			if k != all[0] && !without[k] {
				t.Fatal("a leader lost its place because another holder is gone")
			}
		}
		if len(without) != 8 {
			t.Fatalf("%d lead of those that are left", len(without))
		}
	}
	for _, k := range all {
		if led[k] < 200*8/24/2 {
			t.Errorf("%s leads %d of 200: the order is not fair", k.Short(), led[k])
		}
	}
}
