package catalog

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Audit is what a node proved of all that it says it holds, as far as this node asked it.
type Audit struct {
	Key sdk.NodeKey
	// Passed is when it last proved everything it was asked in a round; Failed when it last failed a
	// proof. Grace is when it used the one grace for a challenge it did not answer in time or refused;
	// Lapsed, when set, is since when another is open.
	Passed, Failed, Grace, Lapsed time.Time
	// How many challenges it was asked, and how they ended.
	Asked, Proven, Failures, Unanswered uint64
	Open                                *OpenChallenge // nil when nothing is open
	Evidence                            []Evidence     // oldest first, at most MaxEvidence
	// Gone is what it attested, and when challenged said that it does not have: oldest first, at most
	// MaxGone.
	Gone []GoneFragment
}

// GoneFragment is a fragment that a node said is gone.
type GoneFragment struct {
	Tessera sdk.TesseraID
	Index   int
}

// OpenChallenge is a challenge that was neither met nor failed, and is asked again as it was.
type OpenChallenge struct {
	Since   time.Time
	Tessera sdk.TesseraID
	Index   int
	Nonce   [32]byte
}

// Evidence is one answer and what it showed: what the node signed, so that anybody can judge it again.
// Where it signed nothing the signature is zero.
type Evidence struct {
	Outcome    int
	Time       time.Time // by our clock
	Tessera    sdk.TesseraID
	Index      int
	Checksum   digest.Hash
	Nonce      [32]byte
	HolderTime time.Time
	Slices     digest.Hash
	Whole      digest.Hash
	Signature  [64]byte
}

// MaxEvidence is how many answers are kept of a node, the newest.
const MaxEvidence = 8

// MaxGone is how many fragments are remembered that a node said are gone, the newest.
const MaxGone = 64

// PutAudit writes the row, replacing the one of the same node. Of the evidence and of what is gone it keeps
// the newest.
func (tx *Tx) PutAudit(a Audit) error {
	v := newValue().time(a.Passed).time(a.Failed).time(a.Grace).time(a.Lapsed).
		uint(a.Asked).uint(a.Proven).uint(a.Failures).uint(a.Unanswered).flag(a.Open != nil)
	if o := a.Open; o != nil {
		v = v.time(o.Since).raw(o.Tessera[:]).uint(uint64(o.Index)).raw(o.Nonce[:])
	}
	a.Evidence = a.Evidence[max(0, len(a.Evidence)-MaxEvidence):]
	v = v.uint(uint64(len(a.Evidence)))
	for _, e := range a.Evidence {
		v = v.uint(uint64(e.Outcome)).time(e.Time).raw(e.Tessera[:]).uint(uint64(e.Index)).raw(e.Checksum[:]).
			raw(e.Nonce[:]).time(e.HolderTime).raw(e.Slices[:]).raw(e.Whole[:]).raw(e.Signature[:])
	}
	for _, g := range a.Gone[max(0, len(a.Gone)-MaxGone):] { // few have: these come last, and most rows end before them
		v = v.raw(g.Tessera[:]).uint(uint64(g.Index))
	}
	return tx.set(nodeKey(kindAudit, a.Key), v)
}

// Audit gives the row of a node, all zero when there is none.
func (tx *Tx) Audit(k sdk.NodeKey) (Audit, error) {
	a, err := one(tx, nodeKey(kindAudit, k), decodeAudit)
	if errors.Is(err, ErrNotFound) {
		return Audit{Key: k}, nil
	}
	return a, err
}

// Audits gives the rows of all nodes, in order of their keys.
func (tx *Tx) Audits() iter.Seq2[Audit, error] {
	return list(tx, []byte{kindAudit}, nil, decodeAudit)
}

// DropAudit forgets what a node proved. One that has no row is no error.
func (tx *Tx) DropAudit(k sdk.NodeKey) error { return tx.del(nodeKey(kindAudit, k)) }

func decodeAudit(r row) (a Audit, err error) {
	k := openKey("audit", r.key[1:])
	a.Key = k.node()
	v := openValue("audit", r.value)
	a.Passed, a.Failed, a.Grace, a.Lapsed = v.time(), v.time(), v.time(), v.time()
	a.Asked, a.Proven, a.Failures, a.Unanswered = v.uint(), v.uint(), v.uint(), v.uint()
	if v.flag() {
		a.Open = &OpenChallenge{Since: v.time(), Tessera: v.tessera(), Index: int(v.uint()), Nonce: v.hash()}
	}
	n := v.uint()
	if n > MaxEvidence {
		return Audit{}, fmt.Errorf("audit row: %w", ErrDamaged)
	}
	for range n {
		a.Evidence = append(a.Evidence, Evidence{
			Outcome: int(v.uint()), Time: v.time(), Tessera: v.tessera(), Index: int(v.uint()), Checksum: v.hash(),
			Nonce: v.hash(), HolderTime: v.time(), Slices: v.hash(), Whole: v.hash(), Signature: [64]byte(v.raw(64)),
		})
	}
	for len(v.b) > 0 && v.err == nil {
		a.Gone = append(a.Gone, GoneFragment{v.tessera(), int(v.uint())})
	}
	return a, errors.Join(k.done(), v.done())
}
