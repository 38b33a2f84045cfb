package digest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"lukechampine.com/blake3"
)

// load reads a file of vectors; what they are is told in the file.
func load(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// sequence is the input of the official vectors: 0..250 repeating.
func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestOfficialVectors(t *testing.T) {
	var vectors struct {
		Cases []struct {
			InputLen int `json:"input_len"`
			Hash     Hash
		}
	}
	load(t, "blake3.json", &vectors)
	if len(vectors.Cases) < 30 {
		t.Fatalf("only %d vectors", len(vectors.Cases))
	}
	for _, c := range vectors.Cases {
		in := sequence(c.InputLen)
		if got := Of(in); got != c.Hash {
			t.Errorf("Of(%d bytes) = %s, want %s", c.InputLen, got, c.Hash)
		}
		h := New()
		h.Write(in)
		if got := h.Sum(); got != c.Hash {
			t.Errorf("Hasher over %d bytes = %s, want %s", c.InputLen, got, c.Hash)
		}
	}
}

// TestHasherInPieces compares the streaming hash with the library's for sizes around every boundary
// of chunk, group and subtree, written in pieces that fall everywhere.
func TestHasherInPieces(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 2))
	var sizes []int
	for _, groups := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 257, 288} {
		for _, d := range []int{-1025, -1024, -1, 0, 1, 1023, 1024, 1025} {
			if n := groups*GroupSize + d; n >= 0 {
				sizes = append(sizes, n)
			}
		}
	}
	h := New()
	for _, size := range sizes {
		in := random(size)
		want := Hash(blake3.Sum256(in))
		for _, step := range []int{1 << 30, GroupSize, 1000, 0} {
			h.Reset()
			for rest := in; len(rest) > 0; {
				n := min(step, len(rest))
				if step == 0 {
					n = 1 + src.IntN(min(len(rest), 40*GroupSize))
				}
				h.Write(rest[:n])
				rest = rest[n:]
			}
			if got := h.Sum(); got != want {
				t.Fatalf("%d bytes in steps of %d: %s, want %s", size, step, got, want)
			}
			if h.Sum() != want {
				t.Fatal("Sum changed the state")
			}
		}
	}
}

func TestSumOnTheWay(t *testing.T) {
	in := random(5*GroupSize + 77)
	h := New()
	for off := 0; off < len(in); off += 1111 {
		h.Write(in[off:min(off+1111, len(in))])
		if got, want := h.Sum(), Of(in[:min(off+1111, len(in))]); got != want {
			t.Fatalf("after %d bytes: %s, want %s", off+1111, got, want)
		}
	}
}

func TestHasherDoesNotAllocate(t *testing.T) {
	in, h := random(4*GroupSize), New()
	if n := testing.AllocsPerRun(10, func() { h.Reset(); h.Write(in); h.Write(in[:100]); h.Sum() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHashText(t *testing.T) {
	h := Of([]byte("a memory"))
	text, _ := h.MarshalText()
	var back Hash
	if err := back.UnmarshalText(text); err != nil || back != h {
		t.Errorf("round trip: %v, %v", back, err)
	}
	if !strings.HasPrefix(h.String(), h.Short()) || len(h.Short()) != 8 {
		t.Errorf("Short() = %q of %s", h.Short(), h)
	}
	if h.IsZero() || !(Hash{}).IsZero() {
		t.Error("IsZero")
	}
	for _, bad := range []string{"", "00", strings.ToUpper(h.String()), h.String() + "0", h.String()[:63] + "g"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) succeeded", bad)
		}
	}
}

func TestReader(t *testing.T) {
	in := random(100_000)
	flipped := bytes.Clone(in)
	flipped[77] ^= 1
	for name, c := range map[string]struct {
		r    io.Reader
		good bool
	}{
		"whole":         {bytes.NewReader(in), true},
		"byte by byte":  {iotest.OneByteReader(bytes.NewReader(in[:100_000])), true},
		"data with EOF": {iotest.DataErrReader(bytes.NewReader(in)), true},
		"short":         {bytes.NewReader(in[:99_999]), false},
		"long":          {io.MultiReader(bytes.NewReader(in), strings.NewReader("x")), false},
		"flipped":       {bytes.NewReader(flipped), false},
		"empty":         {bytes.NewReader(nil), false},
	} {
		got, err := io.ReadAll(NewReader(c.r, Of(in), int64(len(in))))
		if c.good && (err != nil || !bytes.Equal(got, in)) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.good && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: error %v, want ErrMismatch", name, err)
		}
	}
	broken := errors.New("disk on fire")
	if _, err := io.ReadAll(NewReader(iotest.ErrReader(broken), Of(in), int64(len(in)))); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's own", err)
	}
}

// The two rows to compare: our Hasher on one core, and the library's streaming writes, which start
// goroutines on all of them.
func BenchmarkHasher(b *testing.B) {
	in := random(16 << 20)
	for _, c := range []struct {
		name string
		size int
	}{{"16KiB", 16 << 10}, {"256KiB", 256 << 10}, {"1MiB", 1 << 20}} {
		b.Run("ours/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for h := New(); b.Loop(); h.Reset() {
				for off := 0; off < len(in); off += c.size {
					h.Write(in[off : off+c.size])
				}
				h.Sum()
			}
		})
		b.Run("library/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for h := blake3.New(Size, nil); b.Loop(); h.Reset() {
				for off := 0; off < len(in); off += c.size {
					h.Write(in[off : off+c.size])
				}
				h.Sum(nil)
			}
		})
	}
}

// TestDerivedKeys are those of BLAKE3's own test vectors, and differ by purpose and key.
func TestDerivedKeys(t *testing.T) {
	const context = "BLAKE3 2019-12-27 16:29:52 test vectors context"
	if got := Derive(context, nil); hex.EncodeToString(got[:]) != "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d" {
		t.Errorf("got %x", got)
	}
	if Derive("a", []byte("key")) == Derive("b", []byte("key")) || Derive("a", []byte("key")) == Derive("a", []byte("kez")) {
		t.Error("two purposes or two keys have the same")
	}
}
