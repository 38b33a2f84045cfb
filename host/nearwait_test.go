package host_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhoKnowsAHolderDoesNotWaitForTheDead, in virtual time: some peers are silent of a sudden. Who is told of a
// holder waits for half a second at most until the peers nearest to the tessera are known too; who is told of
// none waits for these until they are given up.
func TestWhoKnowsAHolderDoesNotWaitForTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{rng: rand.New(rand.NewPCG(1, 2))}
		v := w.village(t)
		for i := range 8 {
			v.add(listenOn(i))
		}
		for _, m := range v.nodes {
			v.meet(m, 7)
		}
		holder, askers, dead := v.nodes[0], v.nodes[1:4], v.nodes[4:]
		announced, unknown := sdk.TesseraID{1}, sdk.TesseraID{2}
		if err := holder.Announce(t.Context(), announced); err != nil {
			t.Fatal(err)
		}
		gone := map[netip.Addr]bool{}
		for _, m := range dead {
			gone[m.Contact().Addr.Addr()] = true
		}
		w.set(0, gone, false)
		asks := func(asker *member, id sdk.TesseraID) (took time.Duration, found bool) {
			begun := time.Now()
			list, err := asker.Holders(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(begun), slices.ContainsFunc(list, func(c identity.Contact) bool { return c.Key == holder.Contact().Key })
		}
		begun := time.Now()
		if err := askers[0].Told(t.Context(), announced); err != nil {
			t.Fatal(err)
		}
		told := time.Since(begun)
		took, found := asks(askers[1], announced)
		patient, _ := asks(askers[2], unknown)
		t.Logf("told of a holder after %s; done after %s, and after %s where none is known", told, took, patient)
		if bound := told + host.NearWait + 50*time.Millisecond; !found || took > bound || patient <= bound {
			t.Errorf("want no more than %s where a holder is known, and more where none is", bound)
		}
		for _, m := range v.nodes {
			m.stop()
		}
	})
}
