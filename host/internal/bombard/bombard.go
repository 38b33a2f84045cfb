// Package bombard answers: does a parser hold against whatever a stranger sends?
//
// It stands beside the fuzz targets: they look for new ways in without end, this executes a fixed number
// of inputs, made from the same seeds and the corpus they keep, in every run of CI. Each must end without
// a panic, and cost no more memory than four times its length and 64 KiB (G9).
package bombard

import (
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

// size of the bombardment of one parser.
var size = suite.Fuzz

// Parser is one parser that strangers reach.
type Parser struct {
	Name  string // of its fuzz target, whose corpus in testdata/fuzz is used too
	Seeds [][]byte
	// Parse takes an input that must not be kept. Its memory is counted.
	Parse func(in []byte)
	// Look, if set, does with an input what is too slow to be done with each, or may cost more memory.
	Look func(in []byte)
}

// lookEvery is how many inputs come between two that are looked at.
const lookEvery = 64

// salvo is how many inputs are tried at most between two readings of the meter, which take longer than
// most parsers do.
const salvo = 16

// Run bombards a parser.
func Run(t *testing.T, p Parser) {
	t.Helper()
	seed := uint64(9)
	if os.Getenv(suite.EnvSeed) != "" {
		seed = suite.Seed(t)
	}
	seeds := append(corpus(t, p.Name), p.Seeds...)
	if len(seeds) == 0 {
		t.Fatalf("%s: nothing to begin with", p.Name)
	}
	source := rand.NewPCG(seed, 9)
	b := bombardment{t: t, parser: p, meter: newMeter(), seeds: seeds, source: source, rng: rand.New(source)}
	for _, in := range seeds {
		b.look(in)
		b.tryAlone(in)
	}
	done, looked := 0, 0 // looked counts the inputs up to the next that is looked at
	for n := salvo; done < size.Cases(); {
		n = min(n, size.Cases()-done)
		look := done >= looked
		if look {
			looked += lookEvery
		}
		cheap := b.try(n, look)
		done += n
		if n = min(n+1, salvo); !cheap {
			n = max(1, n/2)
		}
	}
	size.Executed(t, done, "executions of "+p.Name)
}

type bombardment struct {
	t      *testing.T
	parser Parser
	meter  *meter
	seeds  [][]byte
	source *rand.PCG
	rng    *rand.Rand // of source
	input  []byte
}

// next makes an input, which takes the place of the one before it.
func (b *bombardment) next() []byte {
	b.input = mutate(b.rng, b.input, b.seeds[b.rng.IntN(len(b.seeds))], b.seeds[b.rng.IntN(len(b.seeds))])
	return b.input
}

// leave is what an input of any length may cost in memory.
const leave = 64 << 10

// try tries inputs, and tells whether together they cost no more than each alone may; if not, each is
// made once more and tried alone.
func (b *bombardment) try(n int, look bool) bool {
	before := *b.source
	in := b.next()
	if look {
		b.look(in)
	}
	b.meter.since() // that was not the parser
	b.survives(b.parser.Parse, in)
	for range n - 1 {
		b.survives(b.parser.Parse, b.next())
	}
	if b.meter.since() <= leave {
		return true
	}
	*b.source = before
	for range n {
		b.tryAlone(b.next())
	}
	return false
}

// tryAlone tries an input and holds its cost against its length.
func (b *bombardment) tryAlone(in []byte) {
	most := uint64(4*len(in) + leave)
	b.meter.since()
	b.survives(b.parser.Parse, in)
	if b.meter.since() > most && leastOf(3, func() { b.parser.Parse(in) }) > most {
		b.t.Fatalf("%s: %d bytes cost more than %d\n%s", b.parser.Name, len(in), most, dump(in))
	}
}

func (b *bombardment) look(in []byte) {
	if b.parser.Look != nil {
		b.survives(b.parser.Look, in)
	}
}

func (b *bombardment) survives(do func([]byte), in []byte) {
	defer func() {
		if p := recover(); p != nil {
			b.t.Fatalf("%s panics: %v\n%s", b.parser.Name, p, dump(in))
		}
	}()
	do(in)
}

// meter reads how much was allocated, fast and to within what the allocator has not yet counted.
type meter struct {
	sample []metrics.Sample
	last   uint64
}

func newMeter() *meter {
	m := &meter{sample: []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}}
	m.since()
	return m
}

// since is what was allocated since it was asked before.
func (m *meter) since() (bytes uint64) {
	metrics.Read(m.sample)
	now := m.sample[0].Value.Uint64()
	bytes, m.last = now-m.last, now
	return bytes
}

// leastOf is the least that one of n executions allocates, exactly: what others allocate meanwhile is not held
// against it.
func leastOf(n int, f func()) uint64 {
	least := ^uint64(0)
	for range n {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func dump(in []byte) string { return hex.Dump(in[:min(len(in), 4096)]) }

// mutate changes, removes, doubles, inserts or mixes in a few bytes. The result takes the place of what was
// made before, which may be nil.
func mutate(rng *rand.Rand, before, from, other []byte) []byte {
	out := append(before[:0], from...)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(out) + 1)
		end := min(len(out), at+1+rng.IntN(40))
		switch rng.IntN(7) {
		case 0: // a bit
			if at < len(out) {
				out[at] ^= 1 << rng.IntN(8)
			}
		case 1: // a byte of the kind that means something
			if at < len(out) {
				const telling = "\x00\x01\x7f\x80\xff\n \t/.%-0:9azA"
				out[at] = telling[rng.IntN(len(telling))]
			}
		case 2:
			out = append(out[:at], out[end:]...)
		case 3:
			out = slices.Insert(out, end, out[at:end]...)
		case 4:
			out = slices.Insert(out, at, byte(rng.Uint32()), byte(rng.Uint32()))
		case 5:
			out = out[:at]
		case 6: // the end of another
			if cut := rng.IntN(len(other) + 1); at+len(other)-cut < 2<<20 {
				out = append(out[:at], other[cut:]...)
			}
		}
	}
	return out
}

// corpus reads what a fuzz target keeps, of those with one []byte or string.
func corpus(t *testing.T, name string) (out [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != 2 || lines[0] != "go test fuzz v1" {
			t.Fatalf("%s: not a corpus file of one value", file)
		}
		quoted := lines[1]
		for _, kind := range []string{"[]byte(", "string("} {
			quoted = strings.TrimPrefix(quoted, kind)
		}
		value, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, []byte(value))
	}
	return out
}
