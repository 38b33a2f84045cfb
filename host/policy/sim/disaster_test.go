package sim

import (
	"testing"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/policy"
)

// TestManyDieAtOnce: in a network that flaps every day many peers leave for good in one day. What then survives
// no loss until others return is not left like that: at the first look where a fifth died, and where it were so
// few that they may as well be away by chance, at the second.
func TestManyDieAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share float64
		first int // look at which something has to be done
	}{{"a fifth", 0.2, 0}, {"one in twelve", 1.0 / 12, 1}} {
		bare := 0
		for seed := range uint64(4) {
			w := flapping(t, seed+1)
			for range 20 { // after which it is known who comes back
				w.pass(t)
			}
			w.die(tt.share)
			for look := range 3 {
				w.pass(t)
				for _, s := range w.tesseras {
					if look < tt.first || s.report.Status == health.Unrecoverable || s.report.Survives.Peers > 0 || len(s.report.Missing) == 0 {
						continue
					}
					bare++
					if after := health.Assess(w.shape(), standing(s), w.Replicas); after.Survives.Peers == 0 {
						t.Errorf("%s, seed %d, look %d: %d fragments of a tessera are missing, and nothing is rebuilt", tt.name, seed+1, look, len(after.Missing))
					}
				}
			}
		}
		t.Logf("%s die at once: %d times a tessera survived no further loss", tt.name, bare)
		if bare == 0 {
			t.Errorf("%s die at once, and every tessera survives more: this shows nothing", tt.name)
		}
	}
}

// flapping is a world in which 30 % of the peers are away for some hours each day, and nobody leaves.
func flapping(t *testing.T, seed uint64) *world {
	t.Helper()
	c, err := Config{Seed: seed, Peers: 200, Tesseras: 50, AFR: -1, Offline: -1, Flapping: 0.3}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	clock := NewClock()
	e := NewEngine(clock, policy.Config{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(c, e, clock)
	if err := w.publishAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// pass lets an interval pass, and looks.
func (w *world) pass(t *testing.T) {
	t.Helper()
	w.clock.now = w.clock.now.Add(w.Interval)
	w.churn()
	if err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// die makes a share of the peers leave for good, and newcomers follow them.
func (w *world) die(share float64) {
	for _, at := range w.fate.Perm(len(w.peers))[:int(share*float64(len(w.peers)))] {
		w.peers[at].gone, w.peers[at].online = true, false
		w.peers[at] = w.newPeer(at)
	}
}
