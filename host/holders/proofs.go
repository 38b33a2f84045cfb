package holders

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// maxProofs bounds how many pairs of tessera and holder proofs remembers: some 20 MiB of them.
const maxProofs = 1 << 20

// proofs remembers in memory which holders passed a proof for which tesseras, for those who cannot wait
// for the catalog. It keeps hashes under a secret of its own, so that nobody can look for a pair with the
// hash of another, and is a hint: a pair beyond its limit is not taken in.
type proofs struct {
	seed maphash.Seed

	mu   sync.RWMutex // guards below
	pass map[uint64]struct{}
}

func newProofs() proofs {
	return proofs{seed: maphash.MakeSeed(), pass: map[uint64]struct{}{}}
}

type pair struct {
	tessera sdk.TesseraID
	holder  sdk.NodeKey
}

// note takes down whether a holder has proven that it holds some of a tessera.
func (p *proofs) note(t sdk.TesseraID, holder sdk.NodeKey, proven bool) {
	at := maphash.Comparable(p.seed, pair{t, holder})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !proven:
		delete(p.pass, at)
	case len(p.pass) < maxProofs:
		p.pass[at] = struct{}{}
	}
}

func (p *proofs) has(t sdk.TesseraID, holder sdk.NodeKey) bool {
	at := maphash.Comparable(p.seed, pair{t, holder})
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, proven := p.pass[at]
	return proven
}

// hasProof tells whether a holder has proven a fragment, and did not fail with it since.
func hasProof(h catalog.Holder) bool {
	return slices.ContainsFunc(h.Fragments, func(f catalog.HeldFragment) bool {
		return !f.Proven.IsZero() && f.Failed.IsZero()
	})
}

// Proven tells whether a holder passed a proof for a tessera here and did not fail or give it up since. It
// reads nothing but memory and may be called from anywhere; what was proven before this start it knows
// after LoadProofs.
func (b *Book) Proven(t sdk.TesseraID, holder sdk.NodeKey) bool { return b.proofs.has(t, holder) }

// LoadProofs has Proven know what the rows tell. It is for the start, before others use the book.
func (b *Book) LoadProofs() error {
	return b.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.Holders() {
			if err != nil {
				return err
			}
			b.proofs.note(h.Tessera, h.Key, hasProof(h))
		}
		return nil
	})
}
