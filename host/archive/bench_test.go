package archive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkCreateSmallFiles creates a tessera of 10,000 small files from its stream.
func BenchmarkCreateSmallFiles(b *testing.B) {
	const files = 10_000
	for i := range b.N {
		b.StopTimer()
		rnd := rand.New(rand.NewPCG(uint64(i), 3))
		f := tree{}
		for j := range files {
			f[fmt.Sprintf("%02d/%05d.txt", j%50, j)] = fmt.Sprintf("%0*x", 1000+rnd.IntN(8000), rnd.Uint64())
		}
		stream, err := f.stream("")
		must(b, err)
		h := newHouse(b)
		b.StartTimer()
		start := time.Now()
		made, err := h.Create(ctx, bytes.NewReader(stream))
		must(b, err)
		b.ReportMetric(files/time.Since(start).Seconds(), "files/s")
		start = time.Now()
		must(b, h.Delete(ctx, made.ID))
		b.ReportMetric(files/time.Since(start).Seconds(), "deleted/s")
		b.ReportMetric(0, "ns/op")
	}
}
