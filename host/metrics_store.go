package host

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tesseras/tesseras/host/catalog"
)

// The metrics of what lies on this disk. Their names are a promise.
var (
	descObjects      = describe("cas_objects_total", "Objects that are needed.")
	descObjectBytes  = describe("cas_bytes_total", "Bytes of the objects that are needed.")
	descDedupHits    = describe("cas_dedup_hits_total", "Contents stored that were here before.")
	descBytesSaved   = describe("cas_bytes_saved_total", "Bytes that these would have taken.")
	descReleased     = describe("cas_gc_refcount_deletions_total", "Objects removed with their last reference.")
	descSweepOrphans = describe("cas_gc_sweep_orphans_cleaned_total", "Files without a row that a sweep removed or moved aside.")
	descSweepLeaked  = describe("cas_gc_sweep_leaked_refs_cleaned_total", "Object rows without a reference that a sweep removed.")
	descSweepYoung   = describe("cas_gc_sweep_skipped_young_total", "Files without a row that were too young to judge.")
	descSweepTime    = describe("cas_gc_sweep_duration_seconds", "Time spent sweeping.")
	descScrubObjects = describe("scrub_objects_total", "Objects read to see whether they are what they were.")
	descScrubBytes   = describe("scrub_bytes_total", "Bytes of these.")
	descScrubCorrupt = describe("scrub_corrupt_total", "Objects found damaged or lost.")
	descScrubHealed  = describe("heal_objects_total", "Damaged objects made good from peers.")
	descCacheHits    = describe("fragment_cache_hits", "Fragments read that were in memory.")
	descCacheMisses  = describe("fragment_cache_misses", "Fragments read that were not.")
	descCacheBytes   = describe("fragment_cache_bytes", "Bytes of fragments in memory.")
	descIndexCache   = describe("index_cache_limit_bytes", "Bytes of the index that may be in memory.")
	descDamaged      = describe("damaged_objects", "Objects that are known to be damaged.")
)

// collectStore gives the figures of the disk.
func collectStore(n *Node, gauge func(*prometheus.Desc, float64), count func(*prometheus.Desc, float64, ...string), out chan<- prometheus.Metric) {
	var totals catalog.Totals
	damaged := 0
	err := n.catalog.View(func(tx *catalog.Tx) (err error) {
		if totals, err = tx.Totals(); err != nil {
			return err
		}
		for _, err := range tx.Damages() {
			if err != nil {
				return err
			}
			damaged++
		}
		return nil
	})
	if err != nil {
		out <- prometheus.NewInvalidMetric(descObjects, err)
		return
	}
	gauge(descIndexCache, float64(n.catalog.CacheLimit()))
	gauge(descObjects, float64(totals.Objects))
	gauge(descObjectBytes, float64(totals.Bytes))
	gauge(descDamaged, float64(damaged))
	dedup := n.objects.Stats()
	count(descDedupHits, float64(dedup.DedupHits))
	count(descBytesSaved, float64(dedup.BytesSaved))
	count(descReleased, float64(n.catalog.Collected()))
	cached := n.fragments.Stats()
	count(descCacheHits, float64(cached.Hits))
	count(descCacheMisses, float64(cached.Misses))
	gauge(descCacheBytes, float64(cached.Bytes))
	swept := n.sweeper.Stats()
	count(descSweepOrphans, float64(swept.Orphans))
	count(descSweepLeaked, float64(swept.LeakedRefs))
	count(descSweepYoung, float64(swept.SkippedYoung))
	out <- prometheus.MustNewConstSummary(descSweepTime, uint64(swept.Sweeps), swept.Seconds, nil)
	scrubbed := n.scrubber.Stats()
	count(descScrubObjects, float64(scrubbed.Objects))
	count(descScrubBytes, float64(scrubbed.Bytes))
	count(descScrubCorrupt, float64(scrubbed.Corrupt))
	count(descScrubHealed, float64(n.healer.Healed()))
}
