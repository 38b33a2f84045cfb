package crashfs

import (
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is the number of bytes a disk writes or does not write.
const sector = 512

// Keep says how much survives of what nobody has synced.
type Keep struct {
	rnd *rand.Rand // nil: all or nothing
	all bool
}

// Nothing keeps only what was synced.
func Nothing() Keep { return Keep{} }

// Everything keeps all, as if the power had not gone but the process.
func Everything() Keep { return Keep{all: true} }

// Half keeps each sector and each name with a probability of one half.
func Half(rnd *rand.Rand) Keep { return Keep{rnd: rnd} }

func (k Keep) new() bool {
	if k.rnd != nil {
		return k.rnd.IntN(2) == 0
	}
	return k.all
}

// Ways is how many ways there are to be interrupted at a moment; Killed is the last of them.
const (
	Ways   = 4
	Killed = Ways - 1
)

// Aftermath gives what may be found after an interruption: nothing, half or all of what was not synced,
// and what a killed process leaves, whose power goes later.
func (f *FS) Aftermath(rnd *rand.Rand) [Ways]*FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.aftermathLocked(rnd)
}

func (f *FS) aftermathLocked(rnd *rand.Rand) [Ways]*FS {
	return [Ways]*FS{f.crashLocked(Nothing()), f.crashLocked(Half(rnd)), f.crashLocked(Everything()), f.killLocked()}
}

// Crash gives the disk as it would be found if the power went now. The two have nothing in common
// afterwards, and nobody watches the new one.
func (f *FS) Crash(keep Keep) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashLocked(keep)
}

func (f *FS) crashLocked(keep Keep) *FS {
	after := New(f.opt)
	contents := map[*node][]byte{}
	after.root = after.survive(f.root, keep, contents)
	return after
}

// Kill gives the disk as the next process finds it when this one is killed and the power stays: all
// that was written is there, but what was not synced is not durable yet.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.killLocked()
}

func (f *FS) killLocked() *FS {
	after := New(f.opt)
	after.root = f.root.copy(map[*node]*node{})
	for n := range after.root.all() {
		after.used += uint64(len(n.data))
	}
	return after
}

// copy copies a node and all below it, durable or not, each once.
func (n *node) copy(done map[*node]*node) *node {
	if n == nil || done[n] != nil {
		return done[n]
	}
	n.shared = true
	c := &node{}
	*c = *n
	c.open = 0
	done[n] = c
	if n.folder {
		c.names, c.durable = copyNames(n.names, done), copyNames(n.durable, done)
	}
	return c
}

func copyNames(names map[string]entry, done map[*node]*node) map[string]entry {
	out := make(map[string]entry, len(names))
	for key, e := range names {
		out[key] = entry{e.name, e.node.copy(done)}
	}
	return out
}

// all gives every file that a name leads to.
func (n *node) all() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for _, e := range n.names {
			if e.node.folder {
				e.node.all()(yield)
			} else if !yield(e.node) {
				return
			}
		}
	}
}

// survive copies what is left of a folder into f.
func (f *FS) survive(old *node, keep Keep, contents map[*node][]byte) *node {
	n := newFolder()
	for _, key := range keys(old, keep) {
		e, ok := old.names[key]
		if was := old.durable[key]; was.node != e.node && !keep.new() {
			e, ok = was, was.node != nil
		}
		if !ok {
			continue
		}
		if e.node.folder {
			n.names[key] = entry{e.name, f.survive(e.node, keep, contents)}
			continue
		}
		n.names[key] = entry{e.name, f.surviveFile(e.node, keep, contents)}
	}
	n.durable = maps.Clone(n.names)
	return n
}

// keys are all names a folder has or had, in an order that a seed repeats.
func keys(n *node, keep Keep) []string {
	out := make([]string, 0, len(n.names))
	for key := range n.names {
		out = append(out, key)
	}
	for key := range n.durable {
		if _, ok := n.names[key]; !ok {
			out = append(out, key)
		}
	}
	if keep.rnd != nil {
		slices.Sort(out)
	}
	return out
}

// surviveFile copies what is left of a file into f, the same under each of its names.
func (f *FS) surviveFile(old *node, keep Keep, contents map[*node][]byte) *node {
	content, ok := contents[old]
	if !ok {
		content = old.left(keep)
		contents[old] = content
	}
	f.used += uint64(len(content))
	old.shared = true // the copy has the same bytes until one of the two writes
	return &node{data: content, synced: content, shared: true, links: 1, mod: old.mod}
}

// left is what is left of a content.
func (n *node) left(keep Keep) []byte {
	switch {
	case n.lost || keep.rnd == nil && !keep.all:
		return n.synced
	case keep.rnd == nil:
		return n.data
	}
	size := len(n.synced)
	if keep.new() {
		size = len(n.data)
	}
	out := make([]byte, size)
	copy(out, n.synced)
	for at := 0; at < min(size, len(n.data)); at += sector {
		if keep.new() {
			copy(out[at:min(at+sector, size)], n.data[at:])
		}
	}
	return out
}
