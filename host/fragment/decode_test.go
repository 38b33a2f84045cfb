package fragment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/tesseras/tesseras/host/digest"
)

func TestDecodeFromAnyShards(t *testing.T) {
	src := rand.New(rand.NewPCG(7, 8))
	for range 150 {
		p := coded(1+src.IntN(20), src.IntN(12), 1+src.IntN(2000), 1+src.Int64N(60_000))
		packed := randomBytes(8, int(p.Packed))
		shards, plan := encoded(t, p, packed)
		have := src.Perm(p.Total())[:p.Data+src.IntN(p.Parity+1)]
		var out bytes.Buffer
		if err := Decode(t.Context(), plan, readers(shards, have...), &out); err != nil {
			t.Fatalf("%+v from %v: %v", p, have, err)
		}
		if !bytes.Equal(out.Bytes(), packed) {
			t.Fatalf("%+v from %v: wrong bytes", p, have)
		}
	}
}

// TestDecodeWithoutComputing shows that parity is not even read when all data shards are there.
func TestDecodeWithoutComputing(t *testing.T) {
	p := coded(4, 2, 100, 1234)
	packed := randomBytes(9, int(p.Packed))
	shards, plan := encoded(t, p, packed)
	have := readers(shards, 0, 1, 2, 3)
	have[4], have[5] = iotest.ErrReader(errors.New("read")), iotest.ErrReader(errors.New("read"))
	plan.Fragments = make([]digest.Hash, p.Total()) // nothing is computed, so nothing is compared
	var out bytes.Buffer
	if err := Decode(t.Context(), plan, have, &out); err != nil || !bytes.Equal(out.Bytes(), packed) {
		t.Fatalf("decode: %v", err)
	}
}

func TestTooFewShards(t *testing.T) {
	p := coded(5, 3, 100, 3000)
	shards, plan := encoded(t, p, randomBytes(10, int(p.Packed)))
	for n := range p.Data {
		have := readers(shards, firstInts(p.Total())[p.Total()-n:]...)
		have[99], have[-1] = bytes.NewReader(nil), bytes.NewReader(nil) // no such shards
		var few *TooFewError
		if err := Decode(t.Context(), plan, have, io.Discard); !errors.As(err, &few) || few.Have != n || few.Need != 5 {
			t.Errorf("decode from %d shards: %v", n, err)
		}
		few = nil
		delete(have, 0)
		if err := Rebuild(t.Context(), plan, have, map[int]io.Writer{0: io.Discard}); !errors.As(err, &few) {
			t.Errorf("rebuild from %d shards: %v", n, err)
		}
	}
}

// TestRebuildOnlyWhatIsMissing loses every pair of shards.
func TestRebuildOnlyWhatIsMissing(t *testing.T) {
	p := coded(6, 3, 500, 12_345)
	shards, plan := encoded(t, p, randomBytes(11, int(p.Packed)))
	subsets(p.Total(), 2, func(lost []int) {
		outs := map[int]io.Writer{lost[0]: &bytes.Buffer{}, lost[1]: &bytes.Buffer{}}
		if err := Rebuild(t.Context(), plan, readers(shards, without(p.Total(), lost...)...), outs); err != nil {
			t.Fatalf("%v: %v", lost, err)
		}
		for _, i := range lost {
			if !bytes.Equal(outs[i].(*bytes.Buffer).Bytes(), shards[i]) {
				t.Fatalf("shard %d of %v: wrong bytes", i, lost)
			}
		}
	})
}

func TestRebuildRefusesNonsense(t *testing.T) {
	p := coded(3, 2, 50, 1000)
	shards, plan := encoded(t, p, randomBytes(12, int(p.Packed)))
	for name, out := range map[string]map[int]io.Writer{
		"a shard that is there": {2: io.Discard},
		"no such shard":         {5: io.Discard},
		"a negative shard":      {-1: io.Discard},
	} {
		if err := Rebuild(t.Context(), plan, readers(shards, 0, 1, 2), out); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Rebuild(t.Context(), plan, readers(shards, 0, 1, 2), nil); err != nil {
		t.Errorf("nothing to rebuild: %v", err)
	}
	half := *plan
	half.Fragments = plan.Fragments[:3]
	if err := Decode(t.Context(), &half, readers(shards, 1, 2, 3), io.Discard); !errors.Is(err, ErrPlan) {
		t.Errorf("a plan without all checksums: %v", err)
	}
	if err := Rebuild(t.Context(), &FragmentPlan{}, nil, nil); !errors.Is(err, ErrParams) {
		t.Errorf("an empty plan: %v", err)
	}
}

// TestPoisonedInputs is what the codec can do against inputs that nobody hashed: whatever is wrong with
// them, what is computed from them is never taken for the plan's.
func TestPoisonedInputs(t *testing.T) {
	p := coded(6, 4, 300, 10_000)
	packed := randomBytes(13, int(p.Packed))
	shards, plan := encoded(t, p, packed)
	src := rand.New(rand.NewPCG(9, 10))
	for name, spoil := range map[string]func(b []byte) []byte{
		"a flipped bit":  func(b []byte) []byte { b[src.IntN(len(b))] ^= 1 << src.IntN(8); return b },
		"a zeroed tail":  func(b []byte) []byte { clear(b[len(b)-100:]); return b },
		"another shard":  func(b []byte) []byte { copy(b, shards[9]); return b },
		"cut short":      func(b []byte) []byte { return b[:len(b)-1] },
		"cut very short": func([]byte) []byte { return nil },
	} {
		for range 20 {
			bad := src.IntN(8)
			have := readers(shards, without(8, 1)...) // 1 is lost; 8 and 9 are not read
			if bad == 1 {
				bad = 0
			}
			have[bad] = bytes.NewReader(spoil(bytes.Clone(shards[bad])))
			used := bad < 7
			err := Rebuild(t.Context(), plan, have, map[int]io.Writer{1: io.Discard})
			var mismatch *ParityMismatchError
			failed := errors.As(err, &mismatch) && mismatch.Index == 1 && errors.Is(err, digest.ErrMismatch) || errors.Is(err, io.ErrUnexpectedEOF)
			if failed != used {
				t.Errorf("rebuild with shard %d, %s: %v", bad, name, err)
			}
		}
	}
}

// TestInconsistentPlan is an owner who signed a checksum of parity that does not belong to the data.
func TestInconsistentPlan(t *testing.T) {
	p := coded(4, 2, 64, 2000)
	shards, plan := encoded(t, p, randomBytes(14, int(p.Packed)))
	right := plan.Fragments[5]
	plan.Fragments[5] = digest.Of([]byte("something else"))
	err := Rebuild(t.Context(), plan, readers(shards, 0, 1, 2, 3), map[int]io.Writer{4: io.Discard, 5: io.Discard})
	var mismatch *ParityMismatchError
	if !errors.As(err, &mismatch) || mismatch.Index != 5 || mismatch.Got != right || mismatch.Want != plan.Fragments[5] {
		t.Fatalf("rebuild: %v", err)
	}
	plan.Fragments[0] = digest.Of(nil)
	if err := Decode(t.Context(), plan, readers(shards, 1, 2, 3, 4), io.Discard); !errors.As(err, &mismatch) || mismatch.Index != 0 {
		t.Fatalf("decode: %v", err)
	}
}

func TestDecodeFailsWithItsStreams(t *testing.T) {
	p := coded(16, 8, 1000, 200_000)
	shards, plan := encoded(t, p, randomBytes(15, int(p.Packed)))
	broken := errors.New("disk on fire")
	for i := range 16 {
		have := readers(shards, firstInts(16)...)
		have[i] = io.MultiReader(bytes.NewReader(shards[i][:5000]), iotest.ErrReader(broken))
		if err := Decode(t.Context(), plan, have, io.Discard); !errors.Is(err, broken) {
			t.Errorf("shard %d cannot be read: %v", i, err)
		}
	}
	if err := Decode(t.Context(), plan, readers(shards, without(24, 3)...), &fullDisk{left: 50_000}); !errors.Is(err, errSink) {
		t.Errorf("full disk: %v", err)
	}
	if err := Rebuild(t.Context(), plan, readers(shards, without(24, 3)...), map[int]io.Writer{3: &fullDisk{left: 5000}}); !errors.Is(err, errSink) {
		t.Errorf("full disk: %v", err)
	}
}

// fullDisk takes some bytes and then no more.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errSink
	}
	return len(p), nil
}

func TestDecodeStops(t *testing.T) {
	plan := &FragmentPlan{Params: coded(8, 4, 4096, MaxPacked), Fragments: make([]digest.Hash, 12)}
	for _, after := range []int{0, 1, 100_000, 2_000_000} {
		ctx, cancel := context.WithCancel(t.Context())
		have := map[int]io.Reader{}
		for i := range 9 {
			have[i] = zeros{}
		}
		have[5] = &stopper{after, cancel}
		delete(have, 3)
		if err := Decode(ctx, plan, have, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("decode, cancelled after %d bytes: %v", after, err)
		}
		cancel()
	}
}

func TestVerifyShard(t *testing.T) {
	p := coded(3, 2, 50, 1000)
	shards, plan := encoded(t, p, randomBytes(16, int(p.Packed)))
	for i := range shards {
		if err := VerifyShard(t.Context(), plan, i, bytes.NewReader(shards[i])); err != nil {
			t.Errorf("shard %d: %v", i, err)
		}
		if err := VerifyShard(t.Context(), plan, (i+1)%5, bytes.NewReader(shards[i])); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("shard %d as the next one: %v", i, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short": shards[0][:10], "long": append(bytes.Clone(shards[0]), 0),
	} {
		if err := VerifyShard(t.Context(), plan, 0, bytes.NewReader(b)); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, i := range []int{-1, 5} {
		if err := VerifyShard(t.Context(), plan, i, bytes.NewReader(nil)); !errors.Is(err, ErrParams) {
			t.Errorf("shard %d: %v", i, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := VerifyShard(ctx, plan, 0, bytes.NewReader(shards[0])); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
