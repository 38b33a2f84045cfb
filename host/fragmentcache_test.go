package host_test

import (
	"testing"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

// TestAFragmentIsServedTwiceFromMemory fetches a tessera twice over QUIC from whole nodes: the second
// time the holders read no object, unless their cache is off.
func TestAFragmentIsServedTwiceFromMemory(t *testing.T) {
	t.Parallel()
	off := func(c *config.Config) { c.Performance.FragmentCache = 0 }
	for name, tune := range map[string]func(*config.Config){"on": func(*config.Config) {}, "off": off} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, owner := newVillage(t, 0)
			holder := v.add(tune)
			v.meet(owner, 1)
			original := folder(t, small)
			made := create(t, owner, original)
			_, _ = owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress) // one peer is below the target
			size := float64(holder.shard(made.ID))
			owner.stop()
			heir := v.add(bootstrapAt(holder))

			hits, misses := 1.0, 1.0
			if name == "off" {
				hits, misses, size = 0, 0, 0
			}
			holder.moved("the first fetch", map[string]float64{
				"fragment_cache_hits": 0, "fragment_cache_misses": misses, "fragment_cache_bytes": size,
			}, func() { fetch(t, heir, made.ID, original) })
			holder.moved("the second fetch", map[string]float64{
				"fragment_cache_hits": hits, "fragment_cache_misses": 0, "fragment_cache_bytes": 0,
			}, func() { fetch(t, heir, made.ID, original) })
		})
	}
}
