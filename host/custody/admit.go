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
// both granted the last bytes.
type desk struct {
	mu       sync.Mutex // guards below
	reserved map[sdk.OwnerKey]int64
	total    int64
}

func (d *desk) reserve(owner sdk.OwnerKey, size int64) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved[owner] += size
	d.total += size
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.total -= size
		if d.reserved[owner] -= size; d.reserved[owner] == 0 {
			delete(d.reserved, owner)
		}
	}
}

func (d *desk) promised(owner sdk.OwnerKey) (owners, total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reserved[owner], d.total
}

// admit asks the policy and reserves the bytes. The reservation is made first and taken into account
// by everyone else, then given back when the answer is no. custody tells that the fragment is charged to
// the custody budget.
func (s *Service) admit(ctx context.Context, from Sender, q *wire.Replicate, plan *fragment.FragmentPlan, proved bool) (custody bool, release func(), err error) {
	owner := plan.Owner()
	ofOwner, total := s.desk.promised(owner)
	release = s.desk.reserve(owner, plan.ShardSize())
	request, err := s.question(from, q, plan, ofOwner, total)
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
	return answer.Custody, release, nil
}

func (s *Service) question(from Sender, q *wire.Replicate, plan *fragment.FragmentPlan, ofOwner, total int64) (*sdk.AdmitRequest, error) {
	free, err := s.config.Free()
	if err != nil {
		return nil, err
	}
	owner, now := plan.Owner(), s.Now()
	free -= min(free, uint64(total))
	r := &sdk.AdmitRequest{
		Tessera: plan.Tessera[:], Sender: from.ID[:], Owner: owner[:], SizeBytes: q.GetSize(),
		Purpose:          sdk.Purpose(q.GetPurpose()),
		Institutional:    owner == s.Owner || s.config.Institutional(owner),
		DeficitAllowance: s.config.DeficitAllowance, PeerLimit: s.config.PeerLimit,
		FreeBytes: free, MinFreeBytes: s.config.MinFree,
		NewcomerBudget: free / newcomerShare, CustodyBudget: free / custodyShare,
		FragmentsTotal: uint32(plan.Total()), PeersKnown: uint32(s.Peers()),
		NowUnixMs: now.UnixMilli(), Seed: uint64(now.UnixNano()),
	}
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		row, err := tx.Ledger(owner)
		if err != nil {
			return err
		}
		r.StoredForThem, r.TheyStoreForUs = row.StoredForThem+uint64(ofOwner), row.TheyStoreForUs
		if r.NewcomerGranted, err = ledger.NewcomerGranted(tx); err != nil {
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
	})
	return r, err
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
