package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// What a node spends on others' challenges at most. Who comes when it is spent is asked to come later.
const (
	provedAtOnce = 8
	wholeAtOnce  = 1 // reads all of a fragment
	queueTime    = 500 * time.Millisecond
)

// Prover answers challenges: unlike an attestation, from the objects themselves.
type Prover struct {
	objects *cas.Store
	catalog *catalog.Catalog
	node    *identity.Node
	log     *slog.Logger
	now     func() time.Time
	suspect func(digest.Hash, error)
	seats   chan struct{}
	whole   chan struct{}
	buffers sync.Pool // of *[]byte, smallFragment each
}

// NewProver returns a Prover that signs as node. suspect is told of an object that could not be read, and
// why, and returns at once.
func NewProver(objects *cas.Store, c *catalog.Catalog, node *identity.Node, suspect func(digest.Hash, error), log *slog.Logger, now func() time.Time) *Prover {
	return &Prover{
		objects: objects, catalog: c, node: node, suspect: suspect, log: log, now: now,
		seats: make(chan struct{}, provedAtOnce), whole: make(chan struct{}, wholeAtOnce),
		buffers: sync.Pool{New: func() any { b := make([]byte, smallFragment); return &b }},
	}
}

// Prove answers a challenge of verifier. What it cannot prove is a *wire.Refusal: NOT_FOUND for a
// fragment that is not kept here, DAMAGED for one that should be.
func (p *Prover) Prove(ctx context.Context, verifier sdk.NodeKey, q *wire.Challenge) (*wire.Proof, error) {
	leave, err := p.enter(ctx, q.GetWhole())
	if err != nil {
		return nil, err
	}
	defer leave()
	ref, err := p.kept(q)
	if err != nil {
		return nil, err
	}
	slices, err := p.slices(q, ref)
	var whole digest.Hash
	if err == nil && q.GetWhole() {
		whole, err = keyed(p.objects, ref, [32]byte(q.GetNonce()))
	}
	if err != nil {
		p.log.Error("a fragment that is needed cannot be proven", "tessera", ref.Tessera.Short(), "fragment", ref.Index, "err", err)
		p.suspect(ref.Hash, err)
		return nil, p.refusalOf(err)
	}
	return wire.SignProof(p.node, q, verifier, slices, whole, p.now()), nil
}

// refusalOf tells the asker what it may know: whether the fragment is lost or only out of reach. Of a disk
// that is not there nothing is lost.
func (p *Prover) refusalOf(err error) error {
	if p.objects.Mounted() != nil {
		return wire.Refuse(wire.Code_MAINTENANCE, "the disk is not there now")
	}
	if errors.Is(err, cas.ErrMissing) || errors.Is(err, cas.ErrDamaged) || errors.Is(err, digest.ErrMismatch) {
		return wire.Refuse(wire.Code_DAMAGED, "this fragment is damaged here")
	}
	return wire.Refuse(wire.Code_MAINTENANCE, "the disk cannot be read now")
}

// enter takes a seat, or asks to come later.
func (p *Prover) enter(ctx context.Context, whole bool) (leave func(), err error) {
	room := p.seats
	if whole {
		room = p.whole
	}
	patience := time.NewTimer(queueTime)
	defer patience.Stop()
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return nil, wire.Refuse(wire.Code_BUSY, "too many challenges at once").Later(time.Second)
	}
}

func (p *Prover) kept(q *wire.Challenge) (ref catalog.FragmentRef, err error) {
	err = p.catalog.View(func(tx *catalog.Tx) (err error) {
		ref, err = tx.Fragment(sdk.TesseraID(q.GetTessera()), int(q.GetIndex()))
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) || err == nil && !bytes.Equal(ref.Hash[:], q.GetChecksum()) {
		return ref, wire.Refuse(wire.Code_NOT_FOUND, "this fragment is not kept here")
	}
	if err != nil {
		return ref, fmt.Errorf("prove: %w", err)
	}
	return ref, nil
}

// smallFragment is up to which size in bytes a fragment is read whole for its proof: that is one read, and shows
// rot anywhere in it.
const smallFragment = 1 << 20

// slices makes the answer. For a large fragment it reads little more than it shows, with a fresh outboard when the
// one on disk turns out wrong.
func (p *Prover) slices(q *wire.Challenge, ref catalog.FragmentRef) (slices [][]byte, err error) {
	f, err := p.objects.OpenAt(ref.Hash, ref.Size)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if ref.Size <= smallFragment {
		return p.slicesOfWhole(q, ref, f)
	}
	for _, fresh := range []bool{false, true} {
		outboard, err := p.objects.Outboard(ref.Hash, ref.Size, fresh)
		if err != nil {
			return nil, err
		}
		slices, err = proof.Make(q, ref.Size, f, outboard)
		if err == nil {
			return slices, nil
		}
		if fresh || !errors.Is(err, digest.ErrMismatch) {
			return nil, err
		}
	}
	return slices, nil
}

// slicesOfWhole reads a fragment once, for its tree and for what is shown of it.
func (p *Prover) slicesOfWhole(q *wire.Challenge, ref catalog.FragmentRef, r io.Reader) ([][]byte, error) {
	b := p.buffers.Get().(*[]byte)
	defer p.buffers.Put(b)
	content := (*b)[:ref.Size]
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("fragment %s: %w", ref.Hash.Short(), err)
	}
	tree := digest.NewOutboard()
	_, _ = tree.Write(content) // it never fails
	outboard, root := tree.Bytes()
	if root != ref.Hash {
		return nil, fmt.Errorf("fragment %s: %w", ref.Hash.Short(), digest.ErrMismatch)
	}
	return proof.Make(q, ref.Size, bytes.NewReader(content), outboard)
}

// keyed hashes a whole fragment under a key, and checks on the way that it is the fragment.
func keyed(objects *cas.Store, ref catalog.FragmentRef, key [32]byte) (digest.Hash, error) {
	r, err := objects.Open(ref.Hash, ref.Size)
	if err != nil {
		return digest.Hash{}, err
	}
	defer r.Close()
	h := digest.NewKeyed(key)
	_, err = io.Copy(h, r)
	return h.Sum(), err
}
