package repair

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// claim is what a holder has just said that it holds.
type claim struct {
	proof.Claim
	owner sdk.OwnerKey // of the tessera
}

// claimsOf lists what statements of a holder claim.
func claimsOf(asked []*patient, said []holders.Statement) (out []claim) {
	for i, s := range said {
		for _, index := range s.Fragments {
			out = append(out, claim{proof.Claim{
				Tessera: s.Tessera, Index: index, Checksum: asked[i].plan.Fragments[index], Size: s.ShardSize,
			}, s.Owner})
		}
	}
	return out
}

// audit asks a holder to prove some of what it claims, drawn at random over all of it, and records the
// outcome. What was left open the last time is asked again first, as it was. Where one challenge stays
// open the others can wait for the next round.
func (s *Service) audit(ctx context.Context, holder identity.Contact, claims []claim) error {
	return s.auditInto(ctx, holder, claims, s.Book.Audited)
}

// auditSome is audit for claims that are not all of a holder's: what they show tells of them alone.
func (s *Service) auditSome(ctx context.Context, holder identity.Contact, claims []claim) error {
	return s.auditInto(ctx, holder, claims, s.Book.Challenged)
}

func (s *Service) auditInto(ctx context.Context, holder identity.Contact, claims []claim, record func(sdk.NodeKey, []holders.Result) error) error {
	if s.config.Proofs == 0 || len(claims) == 0 {
		return nil
	}
	asked, err := s.draw(holder.Key, claims)
	if err != nil {
		return err
	}
	var results []holders.Result
	for _, r := range asked {
		r.Outcome, r.Statement = s.challenge(ctx, holder, r.Claim, r.Nonce)
		if r.Outcome == proof.Gone {
			if r.Outcome, err = s.denied(ctx, holder, r.Claim); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			break // nobody is late because we stopped listening
		}
		if r.Outcome != proof.Proven {
			s.Log.Warn("a proof was not given", "peer", holder.ID().Short(), "tessera", r.Claim.Tessera.Short(),
				"fragment", r.Claim.Index, "outcome", r.Outcome.String())
		}
		results = append(results, r)
		if r.Outcome.Open() {
			break
		}
	}
	return errors.Join(record(holder.Key, results), ctx.Err())
}

// denied asks a holder once more what it holds of a tessera, of which it said that it does not have a
// fragment that it had claimed. It may have given the fragment up in between, and says so now; who signs
// for it again has failed.
func (s *Service) denied(ctx context.Context, holder identity.Contact, c proof.Claim) (proof.Outcome, error) {
	plan, _, err := s.loadPlan(catalog.PlanRow{Tessera: c.Tessera})
	if err != nil {
		return proof.Gone, nil // deleted meanwhile
	}
	row := catalog.PlanRow{Tessera: c.Tessera, Owner: plan.Owner(), ShardSize: plan.ShardSize()}
	owner, said, err := s.attest(ctx, holder, []*patient{{row: row, plan: plan}})
	if err != nil {
		return proof.Busy, nil // the challenge stays open
	}
	if slices.Contains(said[0].Fragments, c.Index) {
		return proof.Failed, nil
	}
	return proof.Gone, s.Book.Attested(holder, owner, said)
}

// draw chooses what is asked: at most as many as the operator says, each with a nonce of its own.
func (s *Service) draw(holder sdk.NodeKey, claims []claim) (asked []holders.Result, err error) {
	row, err := s.Book.Audit(holder)
	if err != nil {
		return nil, err
	}
	order := rand.Perm(len(claims))
	if open := row.Open; open != nil {
		first := func(i int) bool { return claims[i].Tessera == open.Tessera && claims[i].Index == open.Index }
		if at := slices.IndexFunc(order, first); at >= 0 {
			order[0], order[at] = order[at], order[0]
		}
	}
	for _, i := range order[:min(s.config.Proofs, len(order))] {
		r := holders.Result{Claim: claims[i].Claim, Owner: claims[i].owner}
		if o := row.Open; o != nil && o.Tessera == r.Claim.Tessera && o.Index == r.Claim.Index {
			r.Nonce = o.Nonce
		} else {
			crand.Read(r.Nonce[:])
		}
		asked = append(asked, r)
	}
	return asked, nil
}

// challenge asks for one proof and tells how it ended.
func (s *Service) challenge(ctx context.Context, holder identity.Contact, c proof.Claim, nonce [32]byte) (proof.Outcome, wire.ProofStatement) {
	p, outcome := s.prove(ctx, holder, c, nonce, false)
	return outcome, p.Statement
}

// lateness is how many times its budget an answer may take to be late rather than none.
const lateness = 3

func (s *Service) prove(ctx context.Context, holder identity.Contact, c proof.Claim, nonce [32]byte, whole bool) (peer.Proof, proof.Outcome) {
	budget := proof.Budget(s.Network.RoundTrip(holder), c.Size, whole)
	ctx, cancel := context.WithTimeout(ctx, lateness*budget)
	defer cancel()
	p, err := s.Network.Prove(ctx, holder, c, nonce, whole)
	return p, outcomeOf(p, err, budget)
}

// outcomeOf tells what an answer is worth. Only a wrong answer, or the holder's own word that the bytes
// are lost, is held against it.
func outcomeOf(p peer.Proof, err error, budget time.Duration) proof.Outcome {
	switch code := wire.CodeOf(err); {
	case err == nil && p.Took > budget:
		return proof.Late
	case err == nil:
		return proof.Proven
	case errors.Is(err, proof.ErrWrong), code == wire.Code_DAMAGED:
		return proof.Failed
	case code == wire.Code_NOT_FOUND:
		return proof.Gone
	case code != wire.Code_OK:
		return proof.Busy
	case errors.Is(err, quicnet.ErrSilent), errors.Is(err, context.DeadlineExceeded):
		return proof.Late
	}
	return proof.Offline
}

// auditWhole asks now and then one holder of an own tessera for the keyed hash of all bytes of a
// fragment, which nobody can give who would have to fetch it first, and computes the same.
func (s *Service) auditWhole(ctx context.Context, rows []catalog.PlanRow) error {
	if s.config.Proofs == 0 || s.config.Whole == 0 || len(rows) == 0 || rand.IntN(s.config.Whole) != 0 {
		return nil
	}
	at := rand.IntN(len(rows))
	patients, _, err := s.admit(rows[at : at+1])
	if err != nil || len(patients) == 0 || len(patients[0].holders) == 0 {
		return err
	}
	p := patients[0]
	h := p.holders[rand.IntN(len(p.holders))]
	contact, ok := holders.Contact(h)
	if !ok || !h.SilentSince.IsZero() || len(h.Fragments) == 0 {
		return nil
	}
	index := h.Fragments[rand.IntN(len(h.Fragments))].Index
	return s.AuditWhole(ctx, s.Network.Locate(contact), p.plan, index)
}

// AuditWhole asks a holder for the keyed hash of a whole fragment of an own tessera and compares it with
// that of the own copy.
func (s *Service) AuditWhole(ctx context.Context, holder identity.Contact, plan *fragment.FragmentPlan, index int) error {
	r := holders.Result{Owner: plan.Owner(), Claim: proof.Claim{
		Tessera: plan.Tessera, Index: index, Checksum: plan.Fragments[index], Size: plan.ShardSize(),
	}}
	crand.Read(r.Nonce[:])
	p, outcome := s.prove(ctx, holder, r.Claim, r.Nonce, true)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.Outcome, r.Statement = outcome, p.Statement; outcome == proof.Proven {
		want, err := s.keyed(ctx, plan, index, r.Nonce)
		if err != nil {
			s.Log.Warn("a keyed hash cannot be compared with the own copy", "tessera", plan.Tessera.Short(), "err", err)
			return ctx.Err()
		}
		if p.Whole != want {
			r.Outcome = proof.Failed
		}
	}
	if r.Outcome != proof.Proven && r.Outcome != proof.Failed {
		return nil // a holder may be too busy for this
	}
	return s.Book.Challenged(holder.Key, []holders.Result{r})
}

// keyed computes the keyed hash of a fragment from the owner's copy.
func (s *Service) keyed(ctx context.Context, plan *fragment.FragmentPlan, index int, key [32]byte) (digest.Hash, error) {
	sink := &keyedSink{index: index, h: digest.NewKeyed(key)}
	err := s.encodeOwn(ctx, plan, sink)
	return sink.h.Sum(), err
}

// keyedSink hashes one shard and drops the others.
type keyedSink struct {
	index int
	h     *digest.Keyed
}

func (k *keyedSink) Create(index int) (io.WriteCloser, error) {
	if index != k.index {
		return discard{}, nil
	}
	return writeCloser{k.h}, nil
}

type writeCloser struct{ io.Writer }

func (writeCloser) Close() error { return nil }
