package digest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"lukechampine.com/blake3/bao"
	"lukechampine.com/blake3/guts"
)

type baoVectors struct {
	Hash []struct {
		InputLen int  `json:"input_len"`
		BaoHash  Hash `json:"bao_hash"`
	}
	Outboard []struct {
		InputLen      int   `json:"input_len"`
		OutputLen     int   `json:"output_len"`
		BaoHash       Hash  `json:"bao_hash"`
		EncodedBlake3 Hash  `json:"encoded_blake3"`
		Corruptions   []int `json:"outboard_corruptions"`
	}
	Slice []struct {
		InputLen int  `json:"input_len"`
		BaoHash  Hash `json:"bao_hash"`
		Slices   []struct {
			Start        int64
			Len          int64
			OutputLen    int  `json:"output_len"`
			OutputBlake3 Hash `json:"output_blake3"`
			Corruptions  []int
		}
	}
}

func loadBao(t *testing.T) (v baoVectors) {
	t.Helper()
	load(t, "bao.json", &v)
	if len(v.Hash) == 0 || len(v.Outboard) == 0 || len(v.Slice) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

// counter is the input of the Bao vectors: a 4-byte little-endian counter from 1.
func counter(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := uint32(1); len(b) < n; i++ {
		b = binary.LittleEndian.AppendUint32(b, i)
	}
	return b[:n]
}

func TestBaoVectorHashes(t *testing.T) {
	for _, v := range loadBao(t).Hash {
		_, root, err := EncodeOutboard(bytes.NewReader(counter(v.InputLen)), int64(v.InputLen))
		if err != nil || root != v.BaoHash {
			t.Errorf("%d bytes: %s, %v; want %s", v.InputLen, root, err, v.BaoHash)
		}
	}
}

// outboard0 is the outboard for chunk group 0, which the vectors have, laid out by our own code.
func outboard0(in []byte) []byte {
	var cvs []chain
	for off := 0; off < len(in); off += guts.ChunkSize {
		end := min(off+guts.ChunkSize, len(in))
		cvs = append(cvs, guts.ChainingValue(guts.CompressChunk(in[off:end], &guts.IV, uint64(len(cvs)), 0)))
	}
	out := make([]byte, headerSize+nodeSize*max(0, len(cvs)-1))
	binary.LittleEndian.PutUint64(out, uint64(len(in)))
	if len(cvs) > 1 {
		layTree(out[headerSize:], cvs)
	}
	return out
}

func TestBaoVectorOutboards(t *testing.T) {
	for _, v := range loadBao(t).Outboard {
		in := counter(v.InputLen)
		out := outboard0(in)
		if len(out) != v.OutputLen || Of(out) != v.EncodedBlake3 {
			t.Errorf("%d bytes: outboard of %d bytes with hash %s, want %d, %s", v.InputLen, len(out), Of(out), v.OutputLen, v.EncodedBlake3)
		}
		for _, at := range v.Corruptions {
			bad := bytes.Clone(out)
			bad[at] ^= 1
			if v.InputLen == 0 {
				continue // an empty content has no slices
			}
			if _, err := extractSlice(v.BaoHash, int64(v.InputLen), 0, int64(v.InputLen), bytes.NewReader(in), bad, 0); !errors.Is(err, ErrMismatch) {
				t.Errorf("%d bytes, outboard wrong at %d: %v", v.InputLen, at, err)
			}
		}
	}
}

func TestBaoVectorSlices(t *testing.T) {
	slices := 0
	for _, v := range loadBao(t).Slice {
		in, size := counter(v.InputLen), int64(v.InputLen)
		out := outboard0(in)
		for _, s := range v.Slices {
			length := min(s.Len, size-s.Start) // a standard slice may reach beyond the end, ours may not
			slice, err := extractSlice(v.BaoHash, size, s.Start, length, bytes.NewReader(in), out, 0)
			if err != nil || len(slice) != s.OutputLen || Of(slice) != s.OutputBlake3 {
				t.Errorf("%d bytes, slice %d+%d: %d bytes, %v", size, s.Start, s.Len, len(slice), err)
				continue
			}
			got, err := verifySlice(v.BaoHash, size, s.Start, length, slice, 0)
			if err != nil || !bytes.Equal(got, in[s.Start:s.Start+length]) {
				t.Errorf("%d bytes, slice %d+%d: wrong bytes or %v", size, s.Start, s.Len, err)
			}
			for _, at := range s.Corruptions {
				bad := bytes.Clone(slice)
				bad[at] ^= 1
				if _, err := verifySlice(v.BaoHash, size, s.Start, length, bad, 0); !errors.Is(err, ErrMismatch) {
					t.Errorf("%d bytes, slice %d+%d wrong at %d: %v", size, s.Start, s.Len, at, err)
				}
			}
			slices++
		}
	}
	if slices < 50 {
		t.Errorf("only %d slices", slices)
	}
}

// contentSizes lie around the boundaries of chunks, groups and subtrees.
var contentSizes = []int{
	1, 1023, 1024, 1025, GroupSize - 1, GroupSize, GroupSize + 1, 2*GroupSize - 1, 2 * GroupSize,
	2*GroupSize + 1, 3 * GroupSize, 5*GroupSize + 4321, 8 * GroupSize, 17*GroupSize + 1,
}

func TestOutboardEqualsTheLibrarys(t *testing.T) {
	for _, size := range append([]int{0}, contentSizes...) {
		in := random(size)
		want, root := bao.EncodeBuf(in, group, true)
		got, hash, err := EncodeOutboard(iotest.HalfReader(bytes.NewReader(in)), int64(size))
		if err != nil || hash != root || hash != Of(in) || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: differs, or %v", size, err)
		}
		if int64(len(got)) != OutboardSize(int64(size)) {
			t.Errorf("%d bytes: outboard of %d bytes, OutboardSize says %d", size, len(got), OutboardSize(int64(size)))
		}
	}
}

func TestSlicesOfEverySize(t *testing.T) {
	src := rand.New(rand.NewPCG(3, 4))
	for _, n := range contentSizes {
		in, size := random(n), int64(n)
		out, root, err := EncodeOutboard(bytes.NewReader(in), size)
		if err != nil {
			t.Fatal(err)
		}
		ranges := [][2]int64{{0, 1}, {0, size}, {size - 1, 1}, {size / 2, size - size/2}}
		for range 20 {
			off := src.Int64N(size)
			ranges = append(ranges, [2]int64{off, 1 + src.Int64N(size-off)})
		}
		for _, r := range ranges {
			slice, err := ExtractSlice(root, size, r[0], r[1], bytes.NewReader(in), out)
			if err != nil {
				t.Fatalf("%d bytes, slice %v: %v", n, r, err)
			}
			if want, err := SliceSize(size, r[0], r[1]); err != nil || int64(len(slice)) != want {
				t.Errorf("%d bytes, slice %v: %d bytes, SliceSize says %d, %v", n, r, len(slice), want, err)
			}
			got, err := VerifySlice(root, size, r[0], r[1], slice)
			if err != nil || !bytes.Equal(got, in[r[0]:r[0]+r[1]]) {
				t.Errorf("%d bytes, slice %v: wrong bytes or %v", n, r, err)
			}
		}
	}
}

// TestSliceOfOneFragment is the figure the format was chosen for: a proof of a 16 MiB shard.
func TestSliceOfOneFragment(t *testing.T) {
	if got, err := SliceSize(16<<20, 5<<20, 1024); err != nil || got != 17_032 {
		t.Errorf("SliceSize = %d, %v, want 17032", got, err)
	}
}

func TestRangesOutsideTheContent(t *testing.T) {
	in := random(3 * GroupSize)
	size := int64(len(in))
	out, root, err := EncodeOutboard(bytes.NewReader(in), size)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := ExtractSlice(root, size, 0, size, bytes.NewReader(in), out)
	if err != nil {
		t.Fatal(err)
	}
	header := binary.LittleEndian.AppendUint64(nil, uint64(size))
	for _, r := range [][3]int64{ // size, offset, length
		{size, 0, 0},
		{size, 1, 0},
		{size, size, 0},
		{size, size, 1},
		{size, 0, size + 1},
		{size, 1, size},
		{size, -1, 1},
		{size, 0, -1},
		{size, math.MinInt64, 1},
		{size, math.MaxInt64, 1},
		{size, 1, math.MaxInt64},
		{size, math.MaxInt64, math.MaxInt64},
		{0, 0, 0},
		{0, 0, 1},
		{-1, 0, 1},
		{math.MaxInt64, 0, 1},
		{math.MaxInt64, math.MaxInt64 - 1, 1},
	} {
		for _, slice := range [][]byte{whole, header, nil} {
			for _, hash := range []Hash{root, {}} { // the library says true to any root when the range is empty
				if _, err := VerifySlice(hash, r[0], r[1], r[2], slice); !errors.Is(err, ErrRange) {
					t.Errorf("VerifySlice%v: %v, want ErrRange", r, err)
				}
			}
		}
		if _, err := ExtractSlice(root, r[0], r[1], r[2], bytes.NewReader(in), out); !errors.Is(err, ErrRange) {
			t.Errorf("ExtractSlice%v: %v, want ErrRange", r, err)
		}
		if _, err := SliceSize(r[0], r[1], r[2]); !errors.Is(err, ErrRange) {
			t.Errorf("SliceSize%v: %v, want ErrRange", r, err)
		}
	}
}

// TestLyingHolder shows that nothing but the one right slice is taken, whatever the holder changes.
func TestLyingHolder(t *testing.T) {
	in := random(5*GroupSize + 100)
	size, off, length := int64(len(in)), int64(GroupSize+5), int64(1000)
	out, root, err := EncodeOutboard(bytes.NewReader(in), size)
	if err != nil {
		t.Fatal(err)
	}
	slice, err := ExtractSlice(root, size, off, length, bytes.NewReader(in), out)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, root Hash, size, off, length int64, slice []byte) {
		t.Helper()
		if got, err := VerifySlice(root, size, off, length, slice); !errors.Is(err, ErrMismatch) || got != nil {
			t.Errorf("%s: %v, want ErrMismatch and no bytes", what, err)
		}
	}
	for _, at := range []int{0, 7, 8, 50, 100, 200, 300, len(slice) - 1} {
		bad := bytes.Clone(slice)
		bad[at] ^= 0x10
		refuse(fmt.Sprintf("byte %d flipped", at), root, size, off, length, bad)
	}
	refuse("empty", root, size, off, length, nil)
	refuse("only a header", root, size, off, length, slice[:8])
	refuse("truncated", root, size, off, length, slice[:len(slice)-1])
	refuse("trailing byte", root, size, off, length, append(bytes.Clone(slice), 0))
	refuse("another root", Of(nil), size, off, length, slice)
	refuse("another offset", root, size, off+GroupSize, length, slice)
	refuse("another size, same shape", root, size+1, off, length, slice)

	// A longer length in the header is not noticed by the tree alone when the last group is not asked for.
	lie := bytes.Clone(slice)
	binary.LittleEndian.PutUint64(lie, uint64(size+1))
	refuse("a longer header", root, size, off, length, lie)
	if _, ok := bao.VerifySlice(lie, group, uint64(off), uint64(length), root); !ok {
		t.Log("the library notices a longer header now")
	}
}

func TestExtractRefusesRot(t *testing.T) {
	in := random(4 * GroupSize)
	size := int64(len(in))
	out, root, err := EncodeOutboard(bytes.NewReader(in), size)
	if err != nil {
		t.Fatal(err)
	}
	rotten, wrong := bytes.Clone(in), bytes.Clone(out)
	rotten[GroupSize+1] ^= 1
	wrong[headerSize+3] ^= 1
	for name, c := range map[string]struct{ data, outboard []byte }{
		"a flipped bit in the content": {rotten, out},
		"a flipped bit in the tree":    {in, wrong},
		"an outboard cut short":        {in, out[:len(out)-1]},
		"no outboard":                  {in, nil},
		"the header alone":             {in, out[:headerSize]},
	} {
		if _, err := ExtractSlice(root, size, GroupSize, 10, bytes.NewReader(c.data), c.outboard); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v, want ErrMismatch", name, err)
		}
	}
	if _, err := ExtractSlice(root, size, 3*GroupSize, 10, bytes.NewReader(in[:3*GroupSize+5]), out); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("content cut short: %v", err)
	}
}

func TestEncodeOutboardChecksTheLength(t *testing.T) {
	in := random(GroupSize + 10)
	for _, size := range []int64{0, 1, int64(len(in)) - 1, int64(len(in)) + 1, 1 << 20} {
		if _, _, err := EncodeOutboard(bytes.NewReader(in), size); !errors.Is(err, ErrMismatch) {
			t.Errorf("recorded %d of %d bytes: %v, want ErrMismatch", size, len(in), err)
		}
	}
	for _, size := range []int64{-1, MaxOutboardInput + 1, math.MaxInt64} {
		if _, _, err := EncodeOutboard(bytes.NewReader(in), size); err == nil {
			t.Errorf("an outboard of %d bytes was begun", size)
		}
	}
	broken := errors.New("disk on fire")
	if _, _, err := EncodeOutboard(iotest.ErrReader(broken), 10); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's own", err)
	}
}

func TestOutboardOnTheWay(t *testing.T) {
	in, o := random(3*GroupSize+9), NewOutboard()
	for off := 0; off < len(in); off += 7000 {
		end := min(off+7000, len(in))
		o.Write(in[off:end])
		want, root := bao.EncodeBuf(in[:end], group, true)
		if got, hash := o.Bytes(); hash != root || !bytes.Equal(got, want) {
			t.Fatalf("after %d bytes: differs", end)
		}
	}
}

// FuzzVerifySlice uses groups of one chunk, so that the slices are small enough to be varied well.
func FuzzVerifySlice(f *testing.F) {
	in := random(3*1024 + 5)
	size, root, out := int64(len(in)), Of(in), outboard0(in)
	for _, off := range []int64{0, 1024, 3 * 1024} {
		slice, err := extractSlice(root, size, off, 5, bytes.NewReader(in), out, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(off, int64(5), slice)
	}
	f.Add(int64(0), int64(0), binary.LittleEndian.AppendUint64(nil, uint64(size)))
	f.Fuzz(func(t *testing.T, off, length int64, slice []byte) {
		got, err := verifySlice(root, size, off, length, slice, 0)
		if err != nil {
			return
		}
		if !bytes.Equal(got, in[off:off+length]) {
			t.Fatalf("a slice proves %d wrong bytes at %d", length, off)
		}
	})
}

func BenchmarkProof(b *testing.B) {
	in := random(16 << 20)
	out, root, err := EncodeOutboard(bytes.NewReader(in), int64(len(in)))
	if err != nil {
		b.Fatal(err)
	}
	slice, err := ExtractSlice(root, int64(len(in)), 9<<20, 1024, bytes.NewReader(in), out)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("outboard", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			EncodeOutboard(bytes.NewReader(in), int64(len(in)))
		}
	})
	b.Run("extract", func(b *testing.B) {
		for b.Loop() {
			ExtractSlice(root, int64(len(in)), 9<<20, 1024, bytes.NewReader(in), out)
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			VerifySlice(root, int64(len(in)), 9<<20, 1024, slice)
		}
	})
}
