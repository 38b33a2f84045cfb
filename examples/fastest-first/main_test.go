package main

import (
	"testing"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

func TestFastestFirst(t *testing.T) {
	peers := policytest.Peers(6, func(i int, c *sdk.Candidate) { c.RoundTripMs = uint32(10 * i) }) // the first is unknown
	for _, tt := range []struct {
		slowest uint64
		pieces  int
		want    map[int]int // fragments by peer
	}{
		{0, 3, map[int]int{1: 1, 2: 1, 3: 1}},
		{0, 12, map[int]int{0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2}},
		{30, 8, map[int]int{0: 2, 1: 2, 2: 2, 3: 2}},
	} {
		f := &fastestFirst{slowest: tt.slowest}
		q := policytest.Place(tt.pieces, 0, peers)
		got := map[string]int{}
		for _, a := range f.Place(q).Assignments {
			got[string(q.Candidates[a.Candidate].Id)]++
		}
		for i, n := range tt.want {
			if got[string(peers[i].Id)] != n {
				t.Errorf("%d pieces: peer %d has %d, want %d", tt.pieces, i, got[string(peers[i].Id)], n)
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%d pieces are on %d peers", tt.pieces, len(got))
		}
	}
}

func TestPromises(t *testing.T) {
	policytest.Run(t, &fastestFirst{}, nil)
	policytest.Run(t, &fastestFirst{}, map[string]string{"slowest": "150"})
}
