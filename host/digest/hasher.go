package digest

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"sync"

	"lukechampine.com/blake3/guts"
)

// groupSize is what one call of the vectorised compression takes: 16 chunks of 1 KiB. It is also the
// unit of proofs (see bao.go), so one pass over the bytes gives both the hash and the tree.
const groupSize = guts.MaxSIMD * guts.ChunkSize

// A write with at least wideGroups groups (512 KiB) that others follow is worth more than one core;
// at most maxWide of them are looked at together, by at most maxCores.
const (
	wideGroups = 31
	maxWide    = 256
	maxCores   = 4
)

// maxDepth bounds the tree above the groups: 2^64 bytes are 2^50 groups.
const maxDepth = 50

// chain is a chaining value: what stands for a subtree in its parent.
type chain = [8]uint32

// Hasher hashes a stream. It never fails and keeps nothing of what it was given. Writes of 16 KiB and
// their multiples are hashed where they lie. Writes below 512 KiB use one core, so that many Hashers
// share a machine well; larger ones use up to four.
type Hasher struct {
	buf  [groupSize]byte // the group that is not full yet
	n    int             // bytes in buf
	last guts.Node       // the last full group, held back because it may turn out to be the root
	held bool            // last is valid
	tree stack           // the full groups before last
	keep *[]chain        // where chaining values of groups go, for an outboard; nil: nowhere
}

// stack holds the roots of the complete subtrees on the left; bit i of groups tells whether there is
// one of 2^i groups.
type stack struct {
	roots  [maxDepth]chain
	groups uint64
}

// New returns a Hasher for an empty stream.
func New() *Hasher { return &Hasher{} }

// Write adds p to the stream.
func (h *Hasher) Write(p []byte) (int, error) {
	written := len(p)
	if h.n > 0 {
		n := copy(h.buf[h.n:], p)
		h.n, p = h.n+n, p[n:]
		if h.n < groupSize {
			return written, nil
		}
		h.group(&h.buf)
		h.n = 0
	}
	for len(p) > wideGroups*groupSize {
		p = h.wide(p)
	}
	for len(p) >= groupSize {
		h.group((*[groupSize]byte)(p))
		p = p[groupSize:]
	}
	h.n = copy(h.buf[:], p)
	return written, nil
}

// Sum is the hash of all that was written so far.
func (h *Hasher) Sum() Hash {
	node, left := h.root()
	return hashOf(left.fold(node))
}

// Reset forgets all that was written.
func (h *Hasher) Reset() {
	h.n, h.held, h.tree.groups = 0, false, 0
	if h.keep != nil {
		*h.keep = (*h.keep)[:0]
	}
}

// group adds one full group.
func (h *Hasher) group(b *[groupSize]byte) {
	h.settle()
	h.last, h.held = guts.CompressBuffer(b, groupSize, &guts.IV, h.chunks(), 0), true
}

// wide adds as many full groups of p as surely are not the last, on several cores, and returns the rest.
func (h *Hasher) wide(p []byte) []byte {
	h.settle()
	cvs := make([]chain, min((len(p)-1)/groupSize, maxWide))
	compress(cvs, p, h.chunks())
	for _, cv := range cvs {
		h.add(cv)
	}
	return p[len(cvs)*groupSize:]
}

// compress fills cvs from the groups of p, the first of which begins at the given chunk.
func compress(cvs []chain, p []byte, chunk uint64) {
	var wg sync.WaitGroup
	cores := min(runtime.GOMAXPROCS(0), maxCores)
	for core := range cores {
		wg.Go(func() {
			for i := core * len(cvs) / cores; i < (core+1)*len(cvs)/cores; i++ {
				b := (*[groupSize]byte)(p[i*groupSize:])
				cvs[i] = guts.ChainingValue(guts.CompressBuffer(b, groupSize, &guts.IV, chunk+uint64(i)*guts.MaxSIMD, 0))
			}
		})
	}
	wg.Wait()
}

// settle puts the group held back under the tree: another one follows it, so it is not the root.
func (h *Hasher) settle() {
	if h.held {
		h.held = false
		h.add(guts.ChainingValue(h.last))
	}
}

// add puts a group that others follow under the tree.
func (h *Hasher) add(cv chain) {
	if h.keep != nil {
		*h.keep = append(*h.keep, cv)
	}
	h.tree.push(cv)
}

// chunks counts the chunks of the full groups so far.
func (h *Hasher) chunks() uint64 {
	groups := h.tree.groups
	if h.held {
		groups++
	}
	return groups * guts.MaxSIMD
}

// root returns the last group, full or not, and the tree to its left.
func (h *Hasher) root() (guts.Node, stack) {
	left := h.tree
	if h.n == 0 && h.held {
		return h.last, left
	}
	if h.held {
		left.push(guts.ChainingValue(h.last))
	}
	return guts.CompressBuffer(&h.buf, h.n, &guts.IV, h.chunks(), 0), left
}

// push adds a group on the right and joins the subtrees that it completes. Only a group that others
// follow may be pushed: no node joined here is the root.
func (s *stack) push(cv chain) {
	i := 0
	for ; s.groups&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(s.roots[i], cv, &guts.IV, 0))
	}
	s.roots[i] = cv
	s.groups++
}

// fold joins the last node with everything to its left, and gives the root.
func (s *stack) fold(last guts.Node) guts.Node {
	for i := range bits.Len64(s.groups) {
		if s.groups&(1<<i) != 0 {
			last = guts.ParentNode(s.roots[i], guts.ChainingValue(last), &guts.IV, 0)
		}
	}
	last.Flags |= guts.FlagRoot
	return last
}

// hashOf is the hash that a root node stands for.
func hashOf(root guts.Node) (h Hash) {
	putChain(h[:], guts.ChainingValue(root))
	return h
}

func putChain(dst []byte, cv chain) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(dst[4*i:], w)
	}
}
