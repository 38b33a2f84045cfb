package main

import (
	"testing"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

func TestKeepOut(t *testing.T) {
	k := &keepOut{networks: []string{"10.0.1.0/24"}, minAge: 3_600_000}
	peers := policytest.Peers(4, func(i int, c *sdk.Candidate) {
		if i == 2 {
			c.AgeS = 120
		}
	})
	q := policytest.Place(2, 1, peers)
	said := map[string]string{}
	for _, n := range k.Place(q).Notes {
		if !n.Excluded {
			t.Errorf("a note that excludes nobody: %v", n)
		}
		said[string(q.Candidates[n.Candidate].Id)] = n.Reason
	}
	if len(said) != 2 || said[string(peers[1].Id)] != "10.0.1.0/24 is on the list" || said[string(peers[2].Id)] != "known for 2 min, wanted are 60 min" {
		t.Errorf("%q", said)
	}
}

func TestPromises(t *testing.T) {
	policytest.Run(t, &keepOut{}, map[string]string{"networks": "10.0.1.0/24,10.0.2.0/24", "min_age": "86400000"})
}
