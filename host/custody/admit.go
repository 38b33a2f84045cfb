package custody

import (
	"cmp"
	"context"
	"sync"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Config bounds what is taken.
type Config struct {
	MinFree          uint64 // bytes that stay free on the disk
	PeerLimit        uint64 // most bytes kept for one owner
	DeficitAllowance uint64 // by which an owner may owe us
	// Free tells the bytes free on the disk.
	Free func() (uint64, error)
	// Institutional tells whether this node has verified an owner as an institution: exempt from the
	// allowance, as its own owner is.
	Institutional func(sdk.OwnerKey) bool
}

// Shares of free space that strangers and repairs may fill.
const (
	newcomerShare = 4 // a quarter
	custodyShare  = 5 // a fifth
)

// desk knows what has been promised but is not in the index yet, so that two pushes at once are not
// both granted the last bytes of any limit.
type desk struct {
	mu       sync.Mutex // guards promises and their custody
	promises map[*promise]struct{}
}

// promise is a fragment that is being decided about, or on its way.
type promise struct {
	tessera sdk.TesseraID
	owner   sdk.OwnerKey
	size    uint64
	custody bool // charged to the custody budget, or perhaps soon
}

// promise notes a fragment and gives what was noted before it: each of two at once is either told of the
// other or told to it.
func (d *desk) promise(p *promise) (before []promise) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.promises {
		before = append(before, *other)
	}
	d.promises[p] = struct{}{}
	return before
}

// charged says at last which budget a promise is charged to.
func (d *desk) charged(p *promise, custody bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.custody = custody
}

func (d *desk) release(p *promise) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.promises, p)
}

// admit asks the policy and promises the fragment. The promise is made first and taken into account
// by everyone else, then given back when the answer is no. custody tells that the fragment is charged to
// the custody budget.
func (s *Service) admit(ctx context.Context, from Sender, q *wire.Replicate, plan *fragment.FragmentPlan, proved bool) (custody bool, release func(), err error) {
	p := &promise{plan.Tessera, plan.Owner(), uint64(plan.ShardSize()), proved && q.GetPurpose() == wire.Purpose_CUSTODY}
	before := s.desk.promise(p)
	release = func() { s.desk.release(p) }
	request, err := s.question(from, q, plan, before)
	if err != nil {
		release()
		return false, nil, err
	}
	request.SenderProved = proved
	answer, err := s.Admitter.Admit(ctx, request)
	if err == nil {
		err = verdict(answer, request)
	}
	if err != nil {
		release()
		return false, nil, err
	}
	s.desk.charged(p, answer.Custody)
	return answer.Custody, release, nil
}

// question is what the policy is asked, with the promises counted as if they were kept.
func (s *Service) question(from Sender, q *wire.Replicate, plan *fragment.FragmentPlan, promised []promise) (*sdk.AdmitRequest, error) {
	free, err := s.config.Free()
	if err != nil {
		return nil, err
	}
	for _, p := range promised {
		free -= min(free, p.size)
	}
	owner, now := plan.Owner(), s.Now()
	r := &sdk.AdmitRequest{
		Tessera: plan.Tessera[:], Sender: from.ID[:], Owner: owner[:], SizeBytes: q.GetSize(),
		Purpose:          sdk.Purpose(q.GetPurpose()),
		Institutional:    s.exempt(owner),
		DeficitAllowance: s.config.DeficitAllowance, PeerLimit: s.config.PeerLimit,
		FreeBytes: free, MinFreeBytes: s.config.MinFree,
		NewcomerBudget: free / newcomerShare, CustodyBudget: free / custodyShare,
		FragmentsTotal: uint32(plan.Total()), PeersKnown: uint32(s.Peers()),
		NowUnixMs: now.UnixMilli(), Seed: uint64(now.UnixNano()),
	}
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		if err := s.books(tx, r, plan); err != nil {
			return err
		}
		return s.countPromised(tx, r, plan, promised)
	})
	return r, err
}

// exempt tells whether an owner owes nothing: an institution, or this node's own.
func (s *Service) exempt(owner sdk.OwnerKey) bool {
	return owner == s.Owner || s.config.Institutional(owner)
}

// books puts into a question what the index knows.
func (s *Service) books(tx *catalog.Tx, r *sdk.AdmitRequest, plan *fragment.FragmentPlan) error {
	row, err := tx.Ledger(plan.Owner())
	if err != nil {
		return err
	}
	r.StoredForThem, r.TheyStoreForUs = row.StoredForThem, row.TheyStoreForUs
	if r.NewcomerGranted, err = ledger.NewcomerGranted(tx, s.exempt); err != nil {
		return err
	}
	if r.CustodyUsed, err = tx.CustodyUsed(); err != nil {
		return err
	}
	for _, err := range tx.Fragments(plan.Tessera) {
		if err != nil {
			return err
		}
		r.FragmentsHere++
	}
	return nil
}

// countPromised adds to a question what is promised and not in the index yet.
func (s *Service) countPromised(tx *catalog.Tx, r *sdk.AdmitRequest, plan *fragment.FragmentPlan, promised []promise) error {
	for _, p := range promised {
		row, err := tx.Ledger(p.owner)
		if err != nil {
			return err
		}
		if p.owner == plan.Owner() {
			r.StoredForThem += p.size
		}
		if p.tessera == plan.Tessera {
			r.FragmentsHere++
		}
		if p.custody {
			r.CustodyUsed += p.size
		} else if row.TheyStoreForUs == 0 && !s.exempt(p.owner) {
			r.NewcomerGranted += p.size
		}
	}
	return nil
}

// verdict turns an answer into a refusal, nil when it is accepted. The code follows from the facts,
// the sentence is the policy's.
func verdict(a *policy.Admission, q *sdk.AdmitRequest) error {
	switch {
	case a.Verdict == policy.Accept:
		return nil
	case a.Verdict == policy.Later:
		return wire.Refuse(wire.Code_DEFERRED, "%s", cmp.Or(a.Reason, "not now")).Later(a.RetryAfter)
	case q.FreeBytes < q.SizeBytes || q.FreeBytes-q.SizeBytes < q.MinFreeBytes:
		return wire.Refuse(wire.Code_NO_SPACE, "%s", a.Reason)
	case q.StoredForThem+q.SizeBytes > q.PeerLimit:
		return wire.Refuse(wire.Code_OVER_LIMIT, "%s", a.Reason)
	}
	return wire.Refuse(wire.Code_OVER_ALLOWANCE, "%s", a.Reason)
}
