package health_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/health"
)

func TestWhatIsMissingComesFirst(t *testing.T) {
	shape := health.Shape{Data: 16, Total: 24, Copies: 1}
	holders := spread(24, 3, false)
	holders[0].Held = holders[0].Held[1:]
	list, newcomers := health.Assess(shape, holders, 7).Wanting()
	if len(list) != 1 || newcomers != 0 {
		t.Errorf("wanting %v at %d newcomers, want the one that nobody has, anywhere", list, newcomers)
	}
	if list, newcomers := health.Assess(shape, spread(24, 7, false), 7).Wanting(); len(list) != 0 || newcomers != 0 {
		t.Errorf("of a healthy tessera %v is wanting at %d newcomers", list, newcomers)
	}
}

// Peers come one by one or together, and each gets its share from those who have most: in the end as
// many peers may be lost as if they had been there from the start.
func TestNewcomersEvenOutTheLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const replicas = 7
		parity := rapid.IntRange(0, 24).Draw(t, "parity")
		shape := health.Shape{Data: rapid.IntRange(2, 48).Draw(t, "data"), Copies: 1}
		shape.Total = shape.Data + parity
		holders := spread(shape.Total, rapid.IntRange(1, replicas-1).Draw(t, "peers"), false)
		for {
			report := health.Assess(shape, holders, replicas)
			list, newcomers := report.Wanting()
			if newcomers == 0 {
				break
			}
			come := rapid.IntRange(1, newcomers).Draw(t, "come")
			list = health.ForNewcomers(list, come, newcomers)
			fresh := make([]health.Holder, come)
			given := 0
			for _, m := range list {
				for range m.Copies {
					at := &fresh[given%come]
					at.Held = append(at.Held, m.Index)
					given++
				}
			}
			for i, h := range fresh {
				if len(h.Held) == 0 {
					t.Fatalf("newcomer %d of %d gets nothing of %v", i, come, list)
				}
				h.Peer = fmt.Sprint("newcomer", len(holders))
				holders = append(holders, h)
			}
		}
		report := health.Assess(shape, holders, replicas)
		if report.Status != health.Healthy || report.Peers != replicas {
			t.Fatalf("in the end %+v", report)
		}
		each := (shape.Total + replicas - 1) / replicas
		if report.Survives.Peers < parity/(each+1) {
			t.Errorf("survives %d peers, an even spread survives %d", report.Survives.Peers, parity/each)
		}
	})
}

func TestWholeCopiesGoToNewcomersToo(t *testing.T) {
	shape := health.Shape{Data: 1, Total: 1, Copies: 2}
	holders := []health.Holder{{Peer: "a", Held: []int{0}}, {Peer: "b", Held: []int{0}}}
	list, newcomers := health.Assess(shape, holders, 5).Wanting()
	if newcomers != 3 || len(list) != 1 || list[0] != (health.Missing{Index: 0, Copies: 3}) {
		t.Errorf("wanting %v at %d newcomers", list, newcomers)
	}
}
