// Package peer answers: what can be asked of a peer, and is its answer what was asked?
//
// Each call is one stream. Every signed answer is verified here, so that the services above deal in
// facts about peers and never in messages.
package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// What callers decide on.
var (
	// ErrAnswer tells that a peer answered something else than was asked.
	ErrAnswer = errors.New("the peer answered another question")
	// ErrDeleted tells that the owner of a tessera deleted it; the tombstone was verified.
	ErrDeleted = errors.New("its owner deleted it")
)

// Network is what a Client needs of the transport; *quicnet.Net has it.
type Network interface {
	// Open begins a request.
	Open(ctx context.Context, to identity.Contact) (*quicnet.Stream, error)
	// Call asks and returns the answer.
	Call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error)
}

var _ Network = (*quicnet.Net)(nil)

// Client asks peers.
type Client struct {
	net  Network
	self sdk.NodeKey
}

// NewClient returns a Client that asks over net as the node self.
func NewClient(net Network, self sdk.NodeKey) *Client { return &Client{net, self} }

// Push gives one fragment to a peer and returns its receipt, checked to be for this fragment, from
// this peer. The body is not hashed here: the receiver does, and signs for nothing else.
func (c *Client) Push(ctx context.Context, to identity.Contact, e fragment.FragmentEnvelope, why wire.Purpose) (wire.Receipt, error) {
	r, err := c.push(ctx, to, e, why)
	if err != nil {
		return r, fmt.Errorf("push %v: %w", e.ID, err)
	}
	return r, nil
}

func (c *Client) push(ctx context.Context, to identity.Contact, e fragment.FragmentEnvelope, why wire.Purpose) (wire.Receipt, error) {
	s, err := c.net.Open(ctx, to)
	if err != nil {
		return wire.Receipt{}, err
	}
	defer s.Close()
	header := &wire.Replicate{Plan: e.Plan, Index: uint32(e.ID.Index), Size: uint64(e.Size), Purpose: why, Holds: uint32(e.Holds)}
	if err := s.Send(header); err != nil {
		return wire.Receipt{}, err
	}
	if err := s.SendBody(e.Body, e.Size); err != nil {
		return wire.Receipt{}, err
	}
	answer, err := recv[*wire.ReplicateAck](s)
	if err != nil {
		return wire.Receipt{}, err
	}
	r, err := wire.VerifyReceipt(answer)
	if err != nil {
		return wire.Receipt{}, err
	}
	peer := s.Peer()
	if r.Holder != peer.Contact.Key || r.HolderOwner != peer.Owner || r.Sender != c.self ||
		r.Tessera != e.ID.Tessera || int(r.Index) != e.ID.Index || r.Checksum != e.ID.Checksum || r.Size != uint64(e.Size) {
		return wire.Receipt{}, ErrAnswer
	}
	return r, nil
}

// Fragment writes a fragment as the peer sends it. Nothing is promised about its bytes: the caller
// hashes them.
func (c *Client) Fragment(ctx context.Context, from identity.Contact, id fragment.FragmentID, size int64, w io.Writer) error {
	if err := c.fragment(ctx, from, id, size, w); err != nil {
		return fmt.Errorf("fetch %v: %w", id, err)
	}
	return nil
}

func (c *Client) fragment(ctx context.Context, from identity.Contact, id fragment.FragmentID, size int64, w io.Writer) error {
	s, err := c.net.Open(ctx, from)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&wire.FetchFragment{Tessera: id.Tessera[:], Index: uint32(id.Index), Checksum: id.Checksum[:]}); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	header, err := recv[*wire.FragmentHeader](s)
	if err != nil {
		return err
	}
	if int64(header.GetSize()) != size {
		return ErrAnswer
	}
	buf := make([]byte, copyBuffer)
	_, err = io.CopyBuffer(onlyWriter{w}, s.Body(size), buf)
	return err
}

// copyBuffer is how many bytes of a body are taken at a time.
const copyBuffer = 128 << 10

// onlyWriter keeps io.CopyBuffer to the buffer it was given.
type onlyWriter struct{ io.Writer }

// Plan asks for the signed plan of a tessera and verifies it. Where the owner deleted the tessera the
// error is ErrDeleted.
func (c *Client) Plan(ctx context.Context, from identity.Contact, t sdk.TesseraID) (*fragment.FragmentPlan, error) {
	answer, err := call[*wire.PlanResponse](ctx, c.net, from, &wire.FetchPlan{Tessera: t[:]})
	if err != nil {
		return nil, err
	}
	if len(answer.GetTombstone()) > 0 {
		return nil, deleted(answer, t)
	}
	plan, err := fragment.OpenPlan(answer.GetPlan())
	if err != nil {
		return nil, err
	}
	if plan.Tessera != t {
		return nil, ErrAnswer
	}
	return plan, nil
}

// deleted checks a tombstone as far as that is possible without the plan: it names its own signer, so
// somebody could forge one for a tessera that nobody else remembers, and nothing is removed on its word.
func deleted(answer *wire.PlanResponse, t sdk.TesseraID) error {
	tomb, err := tessera.ParseTombstone(answer.GetTombstone())
	if err != nil {
		return err
	}
	if tomb.Tessera != t {
		return ErrAnswer
	}
	if err := tomb.Verify(tomb.Owner); err != nil {
		return err
	}
	return ErrDeleted
}

// Attest asks what a peer holds of these tesseras. The answer was signed for this question; it covers
// the first so many of them.
func (c *Client) Attest(ctx context.Context, holder identity.Contact, tesseras []sdk.TesseraID) (owner sdk.OwnerKey, held []wire.Holding, covered int, err error) {
	q := &wire.AttestRequest{Nonce: make([]byte, 32)}
	rand.Read(q.Nonce)
	for _, t := range tesseras {
		q.Tesseras = append(q.Tesseras, t[:])
	}
	s, err := c.net.Open(ctx, holder)
	if err != nil {
		return owner, nil, 0, err
	}
	defer s.Close()
	if err := s.Send(q); err != nil {
		return owner, nil, 0, err
	}
	if err := s.CloseWrite(); err != nil {
		return owner, nil, 0, err
	}
	answer, err := recv[*wire.AttestResponse](s)
	if err != nil {
		return owner, nil, 0, err
	}
	a, err := wire.VerifyAttestation(answer, q, holder.Key, c.self)
	if err != nil {
		return owner, nil, 0, err
	}
	return s.Peer().Owner, a.Held, a.Covered, nil
}

// Held asks a peer which fragments of a plan it holds, by the checksums it stored.
func (c *Client) Held(ctx context.Context, from identity.Contact, plan *fragment.FragmentPlan) ([]int, error) {
	_, held, _, err := c.Attest(ctx, from, []sdk.TesseraID{plan.Tessera})
	if err != nil {
		return nil, err
	}
	var indices []int
	for _, h := range held {
		for _, f := range h.Fragments {
			if f.Index < plan.Total() && f.Checksum == plan.Fragments[f.Index] {
				indices = append(indices, f.Index)
			}
		}
	}
	return indices, nil
}

// Ping tells whether a peer is alive; it says nothing about what the peer holds.
func (c *Client) Ping(ctx context.Context, to identity.Contact) error {
	_, err := call[*wire.Pong](ctx, c.net, to, &wire.Ping{})
	return err
}

// Forget hands a holder the owner's signed deletion and tells how many fragments it removed.
func (c *Client) Forget(ctx context.Context, to identity.Contact, tombstone []byte) (removed int, err error) {
	answer, err := call[*wire.ForgetAck](ctx, c.net, to, &wire.Forget{Tombstone: tombstone})
	return int(answer.GetRemoved()), err
}

// Account asks what the peer and this node keep for each other by the peer's books, and whose node the
// peer is.
func (c *Client) Account(ctx context.Context, with identity.Contact) (owner sdk.OwnerKey, kept, given uint64, err error) {
	s, err := c.net.Open(ctx, with)
	if err != nil {
		return owner, 0, 0, err
	}
	defer s.Close()
	if err := s.Send(&wire.AccountRequest{}); err != nil {
		return owner, 0, 0, err
	}
	if err := s.CloseWrite(); err != nil {
		return owner, 0, 0, err
	}
	answer, err := recv[*wire.Account](s)
	return s.Peer().Owner, answer.GetKept(), answer.GetGiven(), err
}

// Released tells a node that this one gave up a fragment, and gives whether it has ceased to count on it.
func (c *Client) Released(ctx context.Context, to identity.Contact, t sdk.TesseraID, index int) (noted bool, err error) {
	answer, err := call[*wire.ReleasedAck](ctx, c.net, to, &wire.Released{Tessera: t[:], Index: uint32(index)})
	return answer.GetNoted(), err
}

// call asks and takes only an answer of the kind wanted.
func call[A wire.Message](ctx context.Context, net Network, to identity.Contact, q wire.Message) (answer A, err error) {
	m, err := net.Call(ctx, to, q)
	if err != nil {
		return answer, err
	}
	return kind[A](m)
}

func recv[A wire.Message](s *quicnet.Stream) (answer A, err error) {
	m, err := s.Recv()
	if err != nil {
		return answer, err
	}
	return kind[A](m)
}

func kind[A wire.Message](m wire.Message) (A, error) {
	answer, ok := m.(A)
	if !ok {
		return answer, fmt.Errorf("%w: %s", ErrAnswer, wire.KindOf(m))
	}
	return answer, nil
}
