package policy

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets a quarter of a doubling wide, from a microsecond to a minute.
// Old ones fade, so that its quantiles are those of the last few thousand.
type histogram struct {
	counts [4 * octaves]uint32
	total  uint32
}

const (
	octaves   = 26
	finest    = 10    // 2^10 ns
	fadeAfter = 8_192 // durations, after which every count is halved
)

func (h *histogram) add(d time.Duration) {
	if h.total >= fadeAfter {
		h.fade()
	}
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) fade() {
	h.total = 0
	for i := range h.counts {
		h.counts[i] /= 2
		h.total += h.counts[i]
	}
}

// quantile is the upper end of the bucket below which percent of 100 durations lie; 0 without any.
func (h *histogram) quantile(percent uint32) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank, seen := (h.total*percent+99)/100, uint32(0)
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return bucketEnd(i)
		}
	}
	return bucketEnd(len(h.counts) - 1)
}

func bucketOf(d time.Duration) int {
	ns := max(uint64(1)<<finest, uint64(max(0, d)))
	octave := bits.Len64(ns) - 1
	quarter := int(ns>>(octave-2)) & 3
	return min(4*(octave-finest)+quarter, 4*octaves-1)
}

func bucketEnd(i int) time.Duration {
	return time.Duration((4 + uint64(i%4) + 1) << (finest + i/4 - 2))
}
