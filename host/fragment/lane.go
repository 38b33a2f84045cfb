package fragment

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// maxWorkers bounds the goroutines that work on one stripe. Memory does not depend on them.
const maxWorkers = 4

// skew keeps chunks of a power of two from falling onto the same lines of the cache: without it
// coding 48+24 is half as fast.
const skew = 4096 + 64

// bufferStride is what a buffer of size bytes takes from its slab.
func bufferStride(size int) int { return (size+63)/64*64 + skew }

// buffers cuts n buffers of size bytes from one slab.
func buffers(n, size int) [][]byte {
	stride := bufferStride(size)
	slab := make([]byte, n*stride)
	out := make([][]byte, n)
	for i := range out {
		out[i] = slab[i*stride:][:size:size]
	}
	return out
}

// readAhead is how many chunks of the next stripe are read while one is worked on.
func readAhead(sources int) int { return 2 + sources/4 }

// feed reads the chunks of one stripe after the other, ahead of who takes them. Its lanes read side
// by side, each a fixed part of the sources, in order, with buffers of its own: a fast lane cannot
// starve another.
type feed struct {
	lanes  []*lane
	cancel context.CancelFunc
	done   sync.WaitGroup
}

type lane struct {
	free chan []byte
	full chan chunk
	err  error // why full was closed early; read it only after that
}

// chunk is one shard's part of a stripe. Its bytes belong to who took it from the feed, until release.
type chunk struct {
	shard int
	bytes []byte
	home  *lane
}

func (c chunk) release() { c.home.free <- c.bytes }

// fill reads the chunk of a stripe that belongs to a shard into buf and returns the filled part.
type fill func(stripe int64, shard int, buf []byte) ([]byte, error)

// newFeed starts reading the shards of sources. Stop it: its goroutines end after the read they are in.
func newFeed(ctx context.Context, p Params, sources []int, lanes int, read fill) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{cancel: cancel}
	bufs := buffers(len(sources)+readAhead(len(sources)), p.bufferSize())
	lanes = min(lanes, len(sources))
	for i := range lanes {
		mine := bufs[i*len(bufs)/lanes : (i+1)*len(bufs)/lanes]
		l := &lane{free: make(chan []byte, len(mine)), full: make(chan chunk, len(mine))}
		for _, b := range mine {
			l.free <- b
		}
		f.lanes = append(f.lanes, l)
		f.done.Go(func() { l.run(ctx, p.stripes(), every(sources, i, lanes), read) })
	}
	return f
}

// every picks the elements first, first+step, first+2*step and so on.
func every(s []int, first, step int) (out []int) {
	for i := first; i < len(s); i += step {
		out = append(out, s[i])
	}
	return out
}

func (l *lane) run(ctx context.Context, stripes int64, sources []int, read fill) {
	defer close(l.full)
	for stripe := range stripes {
		for _, shard := range sources {
			var buf []byte
			select {
			case buf = <-l.free:
			case <-ctx.Done():
			}
			if l.err = ctx.Err(); l.err != nil {
				return
			}
			buf, l.err = read(stripe, shard, buf[:cap(buf)])
			if l.err != nil {
				return
			}
			l.full <- chunk{shard, buf, l}
		}
	}
}

// take waits for the next chunk of a lane. Several goroutines may take from one lane; it has one chunk
// for each of its sources, then those of the next stripe.
func (f *feed) take(lane int) (chunk, error) {
	c, ok := <-f.lanes[lane].full
	if !ok {
		return chunk{}, f.lanes[lane].err
	}
	return c, nil
}

// stop ends the reading and waits for it.
func (f *feed) stop() {
	f.cancel()
	f.done.Wait()
}

// parallel calls work(0) ... work(n-1) on a few goroutines and returns the first error, after which no
// further work begins.
func parallel(n int, work func(i int) error) error {
	var next atomic.Int64
	var g errgroup.Group
	for range min(n, maxWorkers, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := work(i); err != nil {
					next.Store(int64(n))
					return err
				}
			}
		})
	}
	return g.Wait()
}
