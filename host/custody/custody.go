// Package custody answers: do I take this fragment of another's tessera, and is it safe here?
//
// What is offered is checked in one order: the plan's signatures, the owner's standing, the limit per
// owner, free space; only then is a byte of the body read. A receipt is signed when the fragment is
// on stable storage and in the books, never before.
package custody

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Admitter answers whether to take what is offered; the answer keeps the host's rules.
type Admitter interface {
	Admit(ctx context.Context, request *sdk.AdmitRequest) (*policy.Admission, error)
}

// Documents keeps plans and tombstones as plain files, each durable when Put returns. A missing one
// is fs.ErrNotExist.
type Documents interface {
	Plan(sdk.TesseraID) ([]byte, error)
	PutPlan(sdk.TesseraID, []byte) error
	DropPlan(sdk.TesseraID) error
	Tombstone(sdk.TesseraID) ([]byte, error)
	PutTombstone(sdk.TesseraID, []byte) error
}

// Fragments reads objects. The reader checks what it reads: its last read is an error when the object
// is not what its name says.
type Fragments interface {
	Open(h digest.Hash, size int64) (io.ReadCloser, error)
}

// Sender is the authenticated peer that asks.
type Sender struct {
	Key   sdk.NodeKey
	ID    sdk.NodeID
	Owner sdk.OwnerKey
}

// Deps are the rooms custody works with.
type Deps struct {
	Objects   *cas.Store
	Fragments Fragments // by which fragments are served; nil reads them from Objects
	Catalog   *catalog.Catalog
	Documents Documents
	Journal   holders.Journal
	Admitter  Admitter
	Node      *identity.Node
	Owner     sdk.OwnerKey
	Peers     func() int // peers known, for the share of one holder
	// Proves challenges a peer for a fragment that it says it holds, and gives nil when it proved it.
	Proves func(ctx context.Context, holder sdk.NodeKey, c proof.Claim) error
	// Stored is told of each tessera of which a fragment came, and whether it is the first one kept here; it
	// returns at once.
	Stored func(t sdk.TesseraID, first bool)
	// GivenUp is told of fragments, or of all of a tessera, before the index forgets them, for whoever wrote
	// down elsewhere that they are kept; nil is nobody.
	GivenUp func(t sdk.TesseraID, indexes ...int) error
	Log     *slog.Logger
	Now     func() time.Time
}

// Service keeps fragments for others.
type Service struct {
	Deps
	config Config
	desk   desk
	proofs proofs
}

// New returns a Service.
func New(d Deps, c Config) *Service {
	if d.Fragments == nil {
		d.Fragments = direct{d.Objects}
	}
	if d.GivenUp == nil {
		d.GivenUp = func(sdk.TesseraID, ...int) error { return nil }
	}
	return &Service{Deps: d, config: c, desk: desk{promises: map[*promise]struct{}{}}, proofs: proofs{seen: map[proofKey]time.Time{}}}
}

// direct reads fragments from their files.
type direct struct{ objects *cas.Store }

func (d direct) Open(h digest.Hash, size int64) (io.ReadCloser, error) {
	return d.objects.Open(h, size)
}

// Replicate decides about an offered fragment and, when it is taken, reads exactly q.Size bytes of
// body. What it refuses is a *wire.Refusal. A fragment that is here already is acknowledged anew
// without its bytes, to whom the plan's public facts are no news.
func (s *Service) Replicate(ctx context.Context, from Sender, q *wire.Replicate, body io.Reader) (*wire.ReplicateAck, error) {
	plan, err := s.checkPlan(from, q)
	if err != nil {
		return nil, err
	}
	if err := s.adopt(plan, q.GetPlan()); err != nil {
		return nil, err
	}
	id := plan.ID(int(q.GetIndex()))
	if s.has(id) {
		return s.receipt(from, plan, id)
	}
	proved, err := s.proved(ctx, from, q, plan)
	if err != nil {
		return nil, err
	}
	custody, release, err := s.admit(ctx, from, q, plan, proved)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.take(ctx, plan, id, q.GetPlan(), body, custody); err != nil {
		return nil, err
	}
	return s.receipt(from, plan, id)
}

func (s *Service) checkPlan(from Sender, q *wire.Replicate) (*fragment.FragmentPlan, error) {
	plan, err := fragment.ParsePlan(q.GetPlan())
	if err != nil {
		return nil, wire.Refuse(wire.Code_MALFORMED, "%v", err)
	}
	if err := plan.Verify(); err != nil {
		return nil, wire.Refuse(wire.Code_BAD_SIGNATURE, "%v", err)
	}
	if err := s.notDeleted(plan.Tessera); err != nil {
		return nil, err
	}
	if int(q.GetIndex()) >= plan.Total() {
		return nil, wire.Refuse(wire.Code_MALFORMED, "the plan has no fragment of this index")
	}
	if int64(q.GetSize()) != plan.ShardSize() {
		return nil, wire.Refuse(wire.Code_MALFORMED, "the fragment has another size in the plan")
	}
	if q.GetPurpose() == wire.Purpose_PUBLISH && from.Owner != plan.Owner() {
		return nil, wire.Refuse(wire.Code_DENIED, "only a node of the tessera's owner publishes it")
	}
	return plan, nil
}

func (s *Service) notDeleted(t sdk.TesseraID) error {
	_, err := s.Documents.Tombstone(t)
	switch {
	case err == nil:
		return wire.Refuse(wire.Code_DELETED, "its owner deleted this tessera")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// has tells whether the fragment is in the index and its file is there and right: a receipt is about
// to be signed for it.
func (s *Service) has(id fragment.FragmentID) bool {
	var ref catalog.FragmentRef
	err := s.Catalog.View(func(tx *catalog.Tx) (err error) {
		ref, err = tx.Fragment(id.Tessera, id.Index)
		if err == nil && ref.Hash != id.Checksum {
			return catalog.ErrNotFound
		}
		return err
	})
	if err != nil {
		return false
	}
	r, err := s.Objects.Open(ref.Hash, ref.Size)
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err == nil
}

// take makes the fragment durable: object, plan, then references and ledger in one transaction.
func (s *Service) take(ctx context.Context, plan *fragment.FragmentPlan, id fragment.FragmentID, planBytes []byte, body io.Reader, custody bool) error {
	arriving := &arrival{r: body}
	object, err := s.Objects.StageProvable(ctx, arriving, id.Checksum)
	switch {
	case arriving.err != nil:
		return arriving.err // the sender's to mend
	case errors.Is(err, digest.ErrMismatch):
		return wire.Refuse(wire.Code_HASH_MISMATCH, "the bytes are not those the plan names")
	case errors.Is(err, cas.ErrNoSpace):
		return wire.Refuse(wire.Code_NO_SPACE, "%v", err)
	case err != nil:
		return notDurable(s.Log, "store fragment", err)
	}
	defer s.Objects.Unpin(id.Checksum)
	if err := s.keepPlan(plan.Tessera, planBytes); err != nil {
		return notDurable(s.Log, "store plan", err)
	}
	var more bool
	err = s.Catalog.Update(func(tx *catalog.Tx) error {
		if err := s.notDeleted(plan.Tessera); err != nil { // while the body came
			return err
		}
		if more, err = tx.KeepsAny(plan.Tessera); err != nil {
			return err
		}
		if err := s.planned(tx, plan); err != nil {
			return err
		}
		added, err := tx.AddFragment(catalog.FragmentRef{
			Tessera: plan.Tessera, Index: id.Index, Hash: id.Checksum, Size: object.Size, Stored: s.Now(), Custody: custody,
		})
		if err != nil {
			return err
		}
		if !added { // it was here before, damaged perhaps
			_, err := tx.Healed(id.Checksum)
			return err
		}
		return ledger.Kept(tx, s.Owner, plan.Owner(), object.Size)
	})
	if err != nil {
		return notDurable(s.Log, "record fragment", err)
	}
	if s.Stored != nil {
		s.Stored(plan.Tessera, !more)
	}
	return nil
}

// arrival remembers why a body broke off, which is no fault of this disk.
type arrival struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (a *arrival) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// keepPlan writes the plan unless the same is here. A plan is a pure function of its tessera, so a
// different one with good signatures is the owner's own contradiction: the first stays, unless it was
// damaged since.
func (s *Service) keepPlan(t sdk.TesseraID, text []byte) error {
	old, err := s.Documents.Plan(t)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.Documents.PutPlan(t, text)
	case err != nil:
		return err
	case bytes.Equal(old, text):
		return nil
	}
	if first, err := fragment.OpenPlan(old); err != nil || first.Tessera != t {
		s.Log.Warn("a damaged plan is replaced", "tessera", t.Short(), "err", err)
		return s.Documents.PutPlan(t, text)
	}
	return wire.Refuse(wire.Code_DENIED, "another plan of this tessera is kept here")
}

// notDurable hides from the peer what only the operator can mend.
func notDurable(log *slog.Logger, what string, err error) error {
	var refusal *wire.Refusal
	if errors.As(err, &refusal) || errors.Is(err, context.Canceled) {
		return err
	}
	log.Error(what, "err", err)
	return wire.Refuse(wire.Code_NOT_DURABLE, "it could not be made durable here")
}

// receipt signs for a fragment that is safe, after the journal has it.
func (s *Service) receipt(from Sender, plan *fragment.FragmentPlan, id fragment.FragmentID) (*wire.ReplicateAck, error) {
	ack := wire.SignReceipt(s.Node, wire.Receipt{
		Tessera: id.Tessera, Owner: plan.Owner(), Index: uint32(id.Index), Checksum: id.Checksum,
		Size: uint64(plan.ShardSize()), HolderOwner: s.Owner, Sender: from.Key, Time: s.Now(),
	})
	record, err := proto.Marshal(ack)
	if err != nil {
		return nil, err
	}
	if err := s.Journal.Append(holders.RecordGiven, record); err != nil {
		return nil, notDurable(s.Log, "keep receipt", err)
	}
	return ack, nil
}

// Plan gives the plan of a tessera that is kept here, or its owner's tombstone.
func (s *Service) Plan(t sdk.TesseraID) (*wire.PlanResponse, error) {
	if tomb, err := s.Documents.Tombstone(t); err == nil {
		return &wire.PlanResponse{Tombstone: tomb}, nil
	}
	plan, err := s.Documents.Plan(t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wire.Refuse(wire.Code_NOT_FOUND, "no plan of this tessera here")
	}
	if err != nil {
		return nil, err
	}
	return &wire.PlanResponse{Plan: plan}, nil
}

// Fragment opens a fragment that is kept here. The reader checks what it reads: its last read is an
// error when the file does not hold the right bytes, and the caller must not pass the end on then.
func (s *Service) Fragment(q *wire.FetchFragment) (size int64, body io.ReadCloser, err error) {
	var ref catalog.FragmentRef
	err = s.Catalog.View(func(tx *catalog.Tx) (err error) {
		ref, err = tx.Fragment(sdk.TesseraID(q.GetTessera()), int(q.GetIndex()))
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) || err == nil && !bytes.Equal(ref.Hash[:], q.GetChecksum()) {
		return 0, nil, wire.Refuse(wire.Code_NOT_FOUND, "this fragment is not kept here")
	}
	if err != nil {
		return 0, nil, err
	}
	r, err := s.Fragments.Open(ref.Hash, ref.Size)
	if err != nil {
		s.Log.Error("a fragment that is needed cannot be read", "tessera", ref.Tessera.Short(), "fragment", ref.Index, "err", err)
		return 0, nil, wire.Refuse(wire.Code_NOT_FOUND, "this fragment is damaged here")
	}
	return ref.Size, r, nil
}

// Forget removes the fragments of a tessera whose owner deleted it, and keeps the tombstone. Only
// the signature of the owner named in the plan deletes.
func (s *Service) Forget(ctx context.Context, text []byte) (removed int, err error) {
	tomb, err := tessera.ParseTombstone(text)
	if err != nil {
		return 0, wire.Refuse(wire.Code_MALFORMED, "%v", err)
	}
	var plan catalog.PlanRow // as it was verified when the first fragment came
	err = s.Catalog.View(func(tx *catalog.Tx) (err error) {
		plan, err = tx.Plan(tomb.Tessera)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return 0, wire.Refuse(wire.Code_NOT_FOUND, "nothing of this tessera is kept here")
	}
	if err != nil {
		return 0, err
	}
	if err := tomb.Verify(plan.Owner); err != nil {
		return 0, wire.Refuse(wire.Code_BAD_SIGNATURE, "%v", err)
	}
	if err := s.Documents.PutTombstone(tomb.Tessera, text); err != nil {
		return 0, err
	}
	return s.drop(ctx, plan)
}

// drop takes every fragment of a plan out of index and ledger, then removes the objects nobody needs.
// The plan goes too, unless this is the owner's node and other holders are still to be told.
func (s *Service) drop(ctx context.Context, plan catalog.PlanRow) (removed int, err error) {
	if err := s.GivenUp(plan.Tessera); err != nil {
		return 0, err
	}
	var needed bool // the plan
	err = s.Catalog.Reclaim(func(tx *catalog.Tx) error {
		removed, needed = 0, false
		var refs []catalog.FragmentRef
		for f, err := range tx.Fragments(plan.Tessera) {
			if err != nil {
				return err
			}
			refs = append(refs, f)
		}
		for _, f := range refs {
			if _, err := tx.DropFragment(f.Tessera, f.Index); err != nil {
				return err
			}
			if err := ledger.Released(tx, s.Owner, plan.Owner, f.Size); err != nil {
				return err
			}
			removed++
		}
		for _, err := range tx.HoldersOf(plan.Tessera) {
			needed = true
			return err
		}
		return tx.DropPlan(plan.Tessera)
	})
	if err != nil {
		return 0, err
	}
	if _, err := s.Catalog.Collect(ctx, s.Objects); err != nil || needed {
		return removed, err
	}
	return removed, s.Documents.DropPlan(plan.Tessera)
}
