package peer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Proof is a holder's answer to a challenge: signed by it, for this nonce, its slices right.
type Proof struct {
	Statement wire.ProofStatement // evidence, also when the answer was wrong
	Whole     digest.Hash         // what it says is the keyed hash; for the caller to check
	Took      time.Duration
}

// Prove challenges a holder for a fragment and checks the answer. A wrong answer is proof.ErrWrong, with
// the signed statement where there was one. Where whole is set the keyed hash under nonce comes too.
func (c *Client) Prove(ctx context.Context, holder identity.Contact, claim proof.Claim, nonce [32]byte, whole bool) (Proof, error) {
	p, err := c.prove(ctx, holder, claim, nonce, whole)
	if err != nil {
		return p, fmt.Errorf("challenge for %s/%d: %w", claim.Tessera.Short(), claim.Index, err)
	}
	return p, nil
}

func (c *Client) prove(ctx context.Context, holder identity.Contact, claim proof.Claim, nonce [32]byte, whole bool) (p Proof, err error) {
	q := claim.Challenge(nonce, whole)
	s, err := c.net.Open(ctx, holder) // the clock starts once there is a connection
	if err != nil {
		return p, err
	}
	defer s.Close()
	begun := time.Now()
	if err := s.Send(q); err != nil {
		return p, err
	}
	if err := s.CloseWrite(); err != nil {
		return p, err
	}
	answer, err := recv[*wire.Proof](s)
	p.Took = time.Since(begun)
	if err != nil {
		return p, err
	}
	if p.Statement, err = wire.VerifyProof(answer, q, holder.Key, c.self); err != nil {
		return p, fmt.Errorf("%w: %w", proof.ErrWrong, err)
	}
	p.Whole = p.Statement.Whole
	return p, proof.Check(q, claim.Size, answer.GetSlices())
}

// Watch asks a peer how long ago it checked each of these tesseras, and which of them it is moving.
func (c *Client) Watch(ctx context.Context, to identity.Contact, tesseras []sdk.TesseraID) ([]wire.CheckHeard, error) {
	q := &wire.Watch{Nonce: make([]byte, 32)}
	rand.Read(q.Nonce)
	for _, t := range tesseras {
		q.Tesseras = append(q.Tesseras, t[:])
	}
	answer, err := call[*wire.Checked](ctx, c.net, to, q)
	if err != nil {
		return nil, err
	}
	return wire.VerifyChecked(answer, q, to.Key, c.self)
}
