package repair

import (
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

func nodes(n byte) (keys []sdk.NodeKey) {
	for i := range n {
		keys = append(keys, sdk.NodeKey{i + 1})
	}
	return keys
}

// Every holder computes the same order from whatever order it knows the others in, each tessera has
// another, and who goes changes nothing for the rest.
func TestHoldersAgreeOnTheOrder(t *testing.T) {
	first := map[sdk.NodeKey]int{}
	for i := range 200 {
		id := sdk.TesseraID{byte(i), byte(i >> 8), 7}
		order := InOrder(id, nodes(12))
		reversed := nodes(12)
		slices.Reverse(reversed)
		if again := InOrder(id, reversed); !slices.Equal(order, again) {
			t.Fatalf("the order depends on who looks: %v, %v", order, again)
		}
		first[order[0]]++
		left := slices.DeleteFunc(nodes(12), func(k sdk.NodeKey) bool { return k == order[4] })
		if after := InOrder(id, left); !slices.Equal(after, slices.Delete(slices.Clone(order), 4, 5)) {
			t.Fatal("a holder that goes changes the order of the others")
		}
	}
	for _, k := range nodes(12) {
		if n := first[k]; n < 4 || n > 40 { // 17 on average
			t.Errorf("%x comes first for %d of 200", k[0], n)
		}
	}
}

// rowsOf makes holders of nodes; the silent ones are silent.
func rowsOf(keys []sdk.NodeKey, silent ...sdk.NodeKey) (rows []catalog.Holder) {
	for _, k := range keys {
		h := catalog.Holder{Key: k, Fragments: []catalog.HeldFragment{{Index: int(k[0])}}}
		if slices.Contains(silent, k) {
			h.SilentSince = time.Unix(1, 0)
		}
		rows = append(rows, h)
	}
	return rows
}

func TestTheFirstOneThatLivesActs(t *testing.T) {
	id := sdk.TesseraID{3}
	order := InOrder(id, nodes(6))
	for i, self := range order {
		others := slices.DeleteFunc(nodes(6), func(k sdk.NodeKey) bool { return k == self })
		u := turnOf(id, self, rowsOf(others), false)
		if u.position != i || len(u.ahead) != min(i, checkers) || u.patience(time.Hour) != time.Duration(i)*time.Hour {
			t.Errorf("the one at %d: %+v, waits %s", i, u, u.patience(time.Hour))
		}
		if after := turnOf(id, self, rowsOf(others, order[:i]...), false); after.position != 0 || after.patience(time.Hour) != 0 {
			t.Errorf("the one at %d, when all before it are silent: %+v", i, after)
		}
		if u := turnOf(id, self, rowsOf(others), true); u.patience(time.Hour) != time.Duration(i+1)*time.Hour {
			t.Errorf("the one at %d beside an owner waits %s", i, u.patience(time.Hour))
		}
	}
}

// TestSomebodyChecks goes through many rounds: the first three check, each in its measure, the others
// watch and check now and then.
func TestSomebodyChecks(t *testing.T) {
	id := sdk.TesseraID{3}
	order := InOrder(id, nodes(6))
	const rounds = 240
	for i, self := range order {
		others := slices.DeleteFunc(nodes(6), func(k sdk.NodeKey) bool { return k == self })
		did := map[duty]int{}
		longest, since := 0, 0
		for round := range rounds {
			d := turnOf(id, self, rowsOf(others), false).duty(id, round)
			did[d]++
			if since++; d == check {
				longest, since = max(longest, since), 0
			}
		}
		switch {
		case i == 0 && did[check] != rounds:
			t.Errorf("the first one checks %d of %d rounds", did[check], rounds)
		case i > 0 && i < checkers && (did[check] < rounds/(i+1) || did[watch] != 0):
			t.Errorf("the one at %d: %v", i, did)
		case i >= checkers && (did[watch] == 0 || did[check] != rounds/deepEvery):
			t.Errorf("the one at %d: %v", i, did)
		}
		if longest > deepEvery {
			t.Errorf("the one at %d leaves it alone for %d rounds", i, longest)
		}
	}
}

// TestASampleIsEven draws from claims that come in pages, and counts how often each was drawn.
func TestASampleIsEven(t *testing.T) {
	drawn := map[int]int{}
	const times, claims = 4000, 40
	for range times {
		s := newSample(8, func(sdk.NodeKey) (*catalog.OpenChallenge, error) { return nil, nil })
		for page := range 4 {
			var part []claim
			for i := range claims / 4 {
				var c claim
				c.Index = page*claims/4 + i
				part = append(part, c)
			}
			if err := s.add(t.Context(), contactOf(1), part); err != nil {
				t.Fatal(err)
			}
		}
		got := s.all()[contactOf(1)]
		if len(got) != 8 {
			t.Fatalf("%d drawn", len(got))
		}
		for _, c := range got {
			drawn[c.Index]++
		}
	}
	for i := range claims {
		if n := drawn[i]; n < times*8/claims*3/4 || n > times*8/claims*5/4 {
			t.Errorf("claim %d was drawn %d times of %d", i, n, times)
		}
	}
}
