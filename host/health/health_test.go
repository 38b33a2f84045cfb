package health_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/health"
)

// spread puts total shards on peers round-robin, two peers a subnet when paired.
func spread(total, peers int, paired bool) []health.Holder {
	holders := make([]health.Holder, peers)
	for p := range holders {
		subnet := p
		if paired {
			subnet = p / 2
		}
		holders[p] = health.Holder{Peer: fmt.Sprint("peer", p), Subnet: fmt.Sprint("net", subnet)}
	}
	for i := range total {
		h := &holders[i%peers]
		h.Held = append(h.Held, i)
	}
	return holders
}

// The table of durability arithmetic: any-t = floor(parity / ceil(shards / peers)).
func TestSurvivesFollowsTheArithmetic(t *testing.T) {
	for _, c := range []struct{ data, parity, peers, want int }{
		{16, 8, 7, 2},
		{48, 24, 7, 2},
		{16, 8, 12, 4},
		{16, 8, 24, 8},
		{48, 24, 72, 24},
		{48, 24, 24, 8},
	} {
		total := c.data + c.parity
		shape := health.Shape{Data: c.data, Total: total, Copies: 1}
		r := health.Assess(shape, spread(total, c.peers, false), 7)
		if r.Survives.Peers != c.want || r.Status != health.Healthy || r.Deficit != 0 {
			t.Errorf("%d+%d on %d peers: %+v, want survives %d", c.data, c.parity, c.peers, r, c.want)
		}
	}
}

func TestSurvivesCountsSubnetsAndOperators(t *testing.T) {
	shape := health.Shape{Data: 16, Total: 24, Copies: 1}
	holders := spread(24, 24, true)
	for i := range holders[:4] {
		holders[i].Operator = "one hand"
	}
	got := health.Assess(shape, holders, 7).Survives
	want := health.Survives{Peers: 8, Subnets: 4, Operators: 5} // one hand takes four, four others one each
	if got != want {
		t.Errorf("survives %+v, want %+v", got, want)
	}
}

func TestWholeCopies(t *testing.T) {
	shape := health.Shape{Data: 1, Total: 1, Copies: 7}
	holders := spread(1, 1, false)
	for p := 1; p < 5; p++ {
		holders = append(holders, health.Holder{Peer: fmt.Sprint(p), Subnet: "same", Held: []int{0}, Proven: []int{0}})
	}
	r := health.Assess(shape, holders, 7)
	if r.Status != health.NeedsReplication || r.Deficit != 2 || r.Held != 5 || r.Proven != 4 {
		t.Errorf("%+v, want a deficit of 2 of 7", r)
	}
	if r.Survives.Peers != 4 || r.Survives.Subnets != 1 {
		t.Errorf("survives %+v, want 4 peers, 1 subnet", r.Survives)
	}
	if len(r.Missing) != 1 || r.Missing[0] != (health.Missing{Index: 0, Copies: 2}) {
		t.Errorf("missing %+v", r.Missing)
	}
}

func TestFewPeersAreNotHealthy(t *testing.T) {
	shape := health.Shape{Data: 16, Total: 24, Copies: 1}
	if r := health.Assess(shape, spread(24, 5, false), 7); r.Status != health.NeedsReplication || r.Deficit != 0 {
		t.Errorf("five peers of seven: %+v", r)
	}
	if r := health.Assess(shape, spread(15, 15, false), 7); r.Status != health.Unrecoverable || r.Survives.Peers != 0 {
		t.Errorf("fifteen shards of sixteen: %+v", r)
	}
}

// Whatever t peers of those it says may vanish do vanish, enough distinct fragments remain, also when
// fragments have several holders.
func TestSurvivesNeverOverstates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.IntRange(1, 4).Draw(t, "data")
		total := data + rapid.IntRange(0, 4).Draw(t, "parity")
		peers := rapid.IntRange(1, 8).Draw(t, "peers")
		holders := make([]health.Holder, peers)
		for p := range holders {
			holders[p].Peer = fmt.Sprint(p)
			for i := range total {
				if rapid.Bool().Draw(t, "holds") {
					holders[p].Held = append(holders[p].Held, i)
				}
			}
		}
		r := health.Assess(health.Shape{Data: data, Total: total, Copies: 1}, holders, 1)
		if r.Status == health.Unrecoverable {
			return
		}
		for gone := range 1 << peers {
			if popcount(gone) != r.Survives.Peers {
				continue
			}
			left := map[int]bool{}
			for p, h := range holders {
				if gone>>p&1 == 0 {
					for _, i := range h.Held {
						left[i] = true
					}
				}
			}
			if len(left) < data {
				t.Fatalf("says any %d peers may go, but without %b only %d of %d fragments remain", r.Survives.Peers, gone, len(left), data)
			}
		}
	})
}

func popcount(x int) (n int) {
	for ; x > 0; x &= x - 1 {
		n++
	}
	return n
}
