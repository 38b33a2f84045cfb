package fragment

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// OpenPlan reads a plan and verifies it: what it returns is the owner's word.
func OpenPlan(b []byte) (*FragmentPlan, error) {
	p, err := ParsePlan(b)
	if err != nil {
		return nil, err
	}
	if err := p.Verify(); err != nil {
		return nil, err
	}
	return p, nil
}

// ParsePlan reads a plan in its one spelling; anything else is ErrPlan. It looks at no
// signature and at no id: nothing in the plan is believed before Verify. It does not keep b.
func ParsePlan(b []byte) (*FragmentPlan, error) {
	if len(b) > MaxPlan {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPlan, MaxPlan)
	}
	l := lines{rest: string(b)}
	l.expect(strings.TrimSuffix(planVersion, "\n"))
	p := &FragmentPlan{}
	p.Tessera = sdk.TesseraID(l.hash("tessera: "))
	p.Tier = l.tier()
	code := l.next("code: ")
	shard := l.numbers(&p.Params)
	if err := p.Params.Check(); err != nil {
		l.fail("%w", err)
	}
	if l.err == nil && (shard != p.ShardSize() || code != p.code()) {
		l.fail("the numbers do not fit each other")
	}
	p.Fragments = l.fragments(p.Total())
	p.HeadBytes = l.head()
	copy(p.HeadSignature[:], l.signature("head-signature: ed25519 "))
	copy(p.Signature[:], l.signature("signature: ed25519 "))
	if l.err != nil {
		return nil, l.err
	}
	if !bytes.Equal(p.Bytes(), b) {
		return nil, fmt.Errorf("%w: not in the one spelling there is", ErrPlan)
	}
	return p, nil
}

// lines reads a document line by line. The first error sticks, and all that is read after it is zero.
// It may take more spellings than one: its caller compares with the one that is written.
type lines struct {
	rest string
	line int
	err  error
}

func (l *lines) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: line %d: %w", ErrPlan, l.line, fmt.Errorf(format, args...))
	}
}

// next takes the next line, which must begin with prefix, and returns what follows the prefix.
func (l *lines) next(prefix string) string {
	if l.err != nil {
		return ""
	}
	l.line++
	line, rest, _ := strings.Cut(l.rest, "\n")
	value, ok := strings.CutPrefix(line, prefix)
	if !ok {
		l.fail("want %q", prefix)
		return ""
	}
	l.rest = rest
	return value
}

// expect takes a line that must be exactly this.
func (l *lines) expect(line string) {
	if rest := l.next(line); rest != "" {
		l.fail("want %q", line)
	}
}

func (l *lines) number(prefix string, most int64) int64 {
	text := l.next(prefix)
	if l.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		l.fail("want a number up to %d", most)
		return 0
	}
	return n
}

// numbers reads what appendNumbers wrote and returns the size of a shard as it was written.
func (l *lines) numbers(p *Params) (shard int64) {
	p.Data = int(l.number("data: ", MaxShards))
	p.Parity = int(l.number("parity: ", MaxShards))
	p.Chunk = int(l.number("chunk: ", MaxChunk))
	p.Packed = l.number("packed: ", MaxPacked)
	shard = l.number("shard: ", MaxPacked)
	p.Copies = int(l.number("copies: ", MaxCopies))
	return shard
}

func (l *lines) hash(prefix string) digest.Hash {
	text := l.next(prefix)
	if l.err != nil {
		return digest.Hash{}
	}
	h, err := digest.Parse(text)
	if err != nil {
		l.fail("%v", err)
	}
	return h
}

func (l *lines) tier() FragmentationTier {
	name := l.next("tier: ")
	for _, tier := range []FragmentationTier{Small, Medium, Large} {
		if name == tierName(tier) {
			return tier
		}
	}
	l.fail("unknown tier")
	return 0
}

// fragments reads one line for each of n fragments, ascending.
func (l *lines) fragments(n int) []digest.Hash {
	var out []digest.Hash
	for i := 0; i < n && l.err == nil; i++ {
		out = append(out, l.hash("fragment: "+strconv.Itoa(i)+" "))
	}
	return out
}

// head reads the lines of the embedded head.
func (l *lines) head() []byte {
	var out []byte
	for l.err == nil && strings.HasPrefix(l.rest, "head: ") {
		out = append(append(out, l.next("head: ")...), '\n')
		if len(out) > tessera.MaxHead {
			l.fail("a head of more than %d bytes", tessera.MaxHead)
		}
	}
	if _, err := tessera.ParseHead(out); err != nil {
		l.fail("%w", err)
	}
	return out
}

func (l *lines) signature(prefix string) []byte {
	text := l.next(prefix)
	if l.err != nil {
		return nil
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != ed25519.SignatureSize {
		l.fail("want %d hexadecimal digits", 2*ed25519.SignatureSize)
	}
	return b
}
