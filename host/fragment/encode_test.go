package fragment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/tesseras/tesseras/host/digest"
)

func checkShards(t *testing.T, p Params, packed []byte) {
	t.Helper()
	shards, plan := encoded(t, p, packed)
	for i, want := range plainShards(p.Data, p.Parity, p.Chunk, packed) {
		if !bytes.Equal(shards[i], want) {
			t.Fatalf("%d+%d by %d, %d bytes: shard %d is %x, want %x", p.Data, p.Parity, p.Chunk, p.Packed, i, shards[i], want)
		}
		if int64(len(want)) != p.ShardSize() || plan.Fragments[i] != digest.Of(want) {
			t.Fatalf("shard %d: wrong size or checksum", i)
		}
	}
}

// TestEncodeEqualsTheFormat compares with the plain implementation around every boundary, and at random.
func TestEncodeEqualsTheFormat(t *testing.T) {
	for _, c := range [][3]int{{1, 0, 4}, {1, 2, 4}, {2, 0, 3}, {2, 1, 4}, {3, 2, 8}, {16, 8, 4}, {48, 24, 2}, {255, 0, 1}} {
		stripe := c[0] * c[2]
		for _, packed := range []int{1, 2, c[0] - 1, c[0], c[0] + 1, stripe - 1, stripe, stripe + 1, 2 * stripe, 3*stripe + stripe/2 + 1} {
			if packed > 0 {
				checkShards(t, coded(c[0], c[1], c[2], int64(packed)), randomBytes(2, packed))
			}
		}
	}
	src := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		p := coded(1+src.IntN(20), src.IntN(10), 1+src.IntN(300), 1+src.Int64N(5000))
		checkShards(t, p, randomBytes(3, int(p.Packed)))
	}
}

// TestEncodeInFullChunks has chunks of the real size, so that the vectorised code is compared too.
func TestEncodeInFullChunks(t *testing.T) {
	p := coded(4, 3, DefaultChunk, 4*DefaultChunk+12345)
	checkShards(t, p, randomBytes(4, int(p.Packed)))
}

func TestSmallIsTheTesseraItself(t *testing.T) {
	packed := randomBytes(5, 700_000)
	shards, plan := encoded(t, ParamsFor(int64(len(packed))), packed)
	if len(shards) != 1 || !bytes.Equal(shards[0], packed) || plan.Copies != 7 {
		t.Fatal("the one fragment is not the packed tessera")
	}
	var out bytes.Buffer
	if err := Decode(t.Context(), plan, readers(shards, 0), &out); err != nil || !bytes.Equal(out.Bytes(), packed) {
		t.Fatalf("decode: %v", err)
	}
}

func TestEncodeReadsExactlyThePackedTessera(t *testing.T) {
	p := coded(3, 2, 8, 100)
	packed := randomBytes(6, 200)
	broken := errors.New("disk on fire")
	checked := func(n int) io.Reader {
		return digest.NewReader(bytes.NewReader(packed[:n]), digest.Of(packed[1:]), int64(n))
	}
	for name, c := range map[string]struct {
		r    io.Reader
		want error
	}{
		"shorter":            {bytes.NewReader(packed[:99]), io.ErrUnexpectedEOF},
		"much shorter":       {bytes.NewReader(packed[:5]), io.ErrUnexpectedEOF},
		"empty":              {bytes.NewReader(nil), io.ErrUnexpectedEOF},
		"longer":             {bytes.NewReader(packed[:101]), ErrTooLong},
		"fails on the way":   {io.MultiReader(bytes.NewReader(packed[:50]), iotest.ErrReader(broken)), broken},
		"fails at the end":   {io.MultiReader(bytes.NewReader(packed[:100]), iotest.ErrReader(broken)), broken},
		"not what it hashed": {checked(100), digest.ErrMismatch},
	} {
		m := newMemory()
		if _, err := Encode(t.Context(), p, c.r, m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if m.open != 0 {
			t.Errorf("%s: %d shards left open", name, m.open)
		}
	}
	if _, err := Encode(t.Context(), Params{}, bytes.NewReader(nil), newMemory()); !errors.Is(err, ErrParams) {
		t.Errorf("no parameters: %v", err)
	}
	if _, err := Encode(t.Context(), p, iotest.OneByteReader(bytes.NewReader(packed[:100])), newMemory()); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

// brokenSink fails to create, write or close one shard.
type brokenSink struct {
	*memory
	create, write, close int
}

var errSink = errors.New("no space left on device")

func (s *brokenSink) Create(index int) (io.WriteCloser, error) {
	if index == s.create {
		return nil, errSink
	}
	w, err := s.memory.Create(index)
	return &brokenShard{w, s, index}, err
}

type brokenShard struct {
	io.WriteCloser
	s     *brokenSink
	index int
}

func (w *brokenShard) Write(p []byte) (int, error) {
	if w.index == w.s.write {
		return 0, errSink
	}
	return w.WriteCloser.Write(p)
}

func (w *brokenShard) Close() error {
	err := w.WriteCloser.Close()
	if w.index == w.s.close {
		return errSink
	}
	return err
}

func TestEncodeIntoABrokenSink(t *testing.T) {
	p := coded(16, 8, 64, 5000)
	packed := randomBytes(7, int(p.Packed))
	for shard := range p.Total() {
		for _, s := range []*brokenSink{
			{create: shard, write: -1, close: -1},
			{create: -1, write: shard, close: -1},
			{create: -1, write: -1, close: shard},
		} {
			s.memory = newMemory()
			if _, err := Encode(t.Context(), p, bytes.NewReader(packed), s); !errors.Is(err, errSink) {
				t.Errorf("%+v: %v", s, err)
			}
			if s.open != 0 {
				t.Errorf("%d shards left open", s.open)
			}
		}
	}
}

// stopper cancels after some bytes and then gives endless zeros.
type stopper struct {
	left   int
	cancel func()
}

func (s *stopper) Read(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		s.cancel()
	}
	return len(p), nil
}

func TestEncodeStops(t *testing.T) {
	for _, after := range []int{0, 1, 100_000, 10_000_000} {
		ctx, cancel := context.WithCancel(t.Context())
		m := newMemory()
		_, err := Encode(ctx, coded(16, 8, 4096, MaxPacked), &stopper{after, cancel}, m)
		if !errors.Is(err, context.Canceled) || m.open != 0 {
			t.Errorf("cancelled after %d bytes: %v, %d open", after, err, m.open)
		}
		cancel()
	}
}

// nowhere takes shards and forgets them.
type nowhere struct{}

func (nowhere) Create(int) (io.WriteCloser, error) { return nopCloser{io.Discard}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestMemoryDoesNotGrow counts all that is ever allocated, garbage included, while much more than that
// passes through: no part of it may depend on the size of the tessera.
func TestMemoryDoesNotGrow(t *testing.T) {
	for _, p := range []Params{ParamsFor(100 << 20), ParamsFor(300 << 20)} {
		hashers := int64(p.Total()) * (20 << 10)
		t.Run(fmt.Sprintf("encode %d+%d", p.Data, p.Parity), func(t *testing.T) {
			checkAllocated(t, p.Memory()+hashers+2<<20, func() error {
				_, err := Encode(t.Context(), p, io.LimitReader(zeros{}, p.Packed), nowhere{})
				return err
			})
		})
		plan := zeroPlan(t, p)
		t.Run(fmt.Sprintf("decode %d+%d", p.Data, p.Parity), func(t *testing.T) {
			checkAllocated(t, p.Memory()+hashers+2<<20, func() error {
				have := map[int]io.Reader{}
				for i := p.Parity; i < p.Total(); i++ {
					have[i] = io.LimitReader(zeros{}, p.ShardSize())
				}
				return Decode(t.Context(), plan, have, io.Discard)
			})
		})
	}
}

// zeroPlan is the plan of a tessera of zeros: all its shards are zeros.
func zeroPlan(t *testing.T, p Params) *FragmentPlan {
	t.Helper()
	h := digest.New()
	if _, err := io.CopyBuffer(h, io.LimitReader(zeros{}, p.ShardSize()), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	plan := &FragmentPlan{Params: p}
	for range p.Total() {
		plan.Fragments = append(plan.Fragments, h.Sum())
	}
	return plan
}

func checkAllocated(t *testing.T, most int64, work func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := work()
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(after.TotalAlloc - before.TotalAlloc); got > most {
		t.Errorf("%d bytes were allocated, want at most %d", got, most)
	}
}
