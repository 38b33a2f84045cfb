package digest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/bao"
)

// TestChunkSlicesAreTheStandardOnes compares with the library's slices over an outboard of single
// chunks, for every chunk of contents around all the boundaries.
func TestChunkSlicesAreTheStandardOnes(t *testing.T) {
	for _, n := range append([]int{2 * ChunkSize, 3*GroupSize + 5*ChunkSize + 7, 40*GroupSize + 1}, contentSizes...) {
		in, size := random(n), int64(n)
		outboard, root, err := EncodeOutboard(bytes.NewReader(in), size)
		if err != nil {
			t.Fatal(err)
		}
		fine, _ := bao.EncodeBuf(in, 0, true)
		for chunk := range Chunks(size) {
			got, err := ExtractChunk(root, size, chunk, bytes.NewReader(in), outboard)
			if err != nil {
				t.Fatalf("%d bytes, chunk %d: %v", n, chunk, err)
			}
			offset, length := chunkRange(size, chunk)
			want, err := extractSlice(root, size, offset, length, bytes.NewReader(in), fine, 0)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, chunk %d: another slice than the library's, or %v", n, chunk, err)
			}
			if size, err := ChunkSliceSize(size, chunk); err != nil || size != int64(len(got)) {
				t.Errorf("%d bytes, chunk %d: ChunkSliceSize says %d, %v", n, chunk, size, err)
			}
			if out, err := VerifyChunk(root, size, chunk, got); err != nil || !bytes.Equal(out, in[offset:offset+length]) {
				t.Errorf("%d bytes, chunk %d: wrong bytes or %v", n, chunk, err)
			}
		}
	}
}

func TestAWrongChunkIsFoundOut(t *testing.T) {
	src := rand.New(rand.NewPCG(7, 8))
	in := random(17*GroupSize + 777)
	size := int64(len(in))
	outboard, root, err := EncodeOutboard(bytes.NewReader(in), size)
	if err != nil {
		t.Fatal(err)
	}
	last := Chunks(size) - 1
	for range 200 {
		chunk := src.Int64N(last + 1)
		slice, err := ExtractChunk(root, size, chunk, bytes.NewReader(in), outboard)
		if err != nil {
			t.Fatal(err)
		}
		at := src.IntN(len(slice))
		bad := bytes.Clone(slice)
		bad[at] ^= 1 << src.IntN(8)
		if _, err := VerifyChunk(root, size, chunk, bad); !errors.Is(err, ErrMismatch) {
			t.Errorf("chunk %d, slice wrong at %d: %v", chunk, at, err)
		}
		if _, err := VerifyChunk(root, size, (chunk+1)%(last+1), slice); !errors.Is(err, ErrMismatch) {
			t.Errorf("the slice of chunk %d passes for another: %v", chunk, err)
		}
		if _, err := VerifyChunk(root, size+1, chunk, slice); !errors.Is(err, ErrMismatch) {
			t.Errorf("chunk %d of a content one byte longer: %v", chunk, err)
		}
		rotten := bytes.Clone(in)
		rotten[chunk*ChunkSize] ^= 4
		if _, err := ExtractChunk(root, size, chunk, bytes.NewReader(rotten), outboard); !errors.Is(err, ErrMismatch) {
			t.Errorf("chunk %d of rotten content leaves as a proof: %v", chunk, err)
		}
	}
	wrong := bytes.Clone(outboard)
	wrong[headerSize] ^= 1
	if _, err := ExtractChunk(root, size, 0, bytes.NewReader(in), wrong); !errors.Is(err, ErrMismatch) {
		t.Errorf("wrong outboard: %v", err)
	}
	for _, chunk := range []int64{-1, last + 1, 1 << 60} {
		if _, err := VerifyChunk(root, size, chunk, nil); !errors.Is(err, ErrRange) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
	if _, err := VerifyChunk(root, size, 0, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("no slice at all: %v", err)
	}
}

func TestKeyedIsTheKeyedMode(t *testing.T) {
	key := [32]byte{1, 2, 3}
	in := random(3*GroupSize + 9)
	h := blake3.New(Size, key[:])
	h.Write(in)
	k := NewKeyed(key)
	k.Write(in[:100])
	k.Write(in[100:])
	if got := k.Sum(); !bytes.Equal(got[:], h.Sum(nil)) || got == Of(in) {
		t.Errorf("keyed hash %s", got)
	}
}

func BenchmarkProveChunk16MiB(b *testing.B) {
	in := random(16 << 20)
	outboard, root, err := EncodeOutboard(bytes.NewReader(in), int64(len(in)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ExtractChunk(root, int64(len(in)), 5000, bytes.NewReader(in), outboard); err != nil {
			b.Fatal(err)
		}
	}
}
