package quicnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// Call asks a peer and returns its answer. Without a deadline of its own, ctx gets one of DialTimeout
// plus AnswerTimeout. A refusal is a *wire.Refusal. A connection that the peer closed without blame is
// made again once.
func (n *Net) Call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error) {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.config.DialTimeout+n.config.AnswerTimeout)
		defer cancel()
	}
	answer, err := n.call(ctx, to, req)
	if errors.Is(err, ErrGone) {
		answer, err = n.call(ctx, to, req)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", wire.KindOf(req), err)
	}
	return answer, nil
}

func (n *Net) call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error) {
	s, err := n.Open(ctx, to)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	answer, err := s.exchange(req)
	if errors.Is(err, ErrGone) {
		n.pool.abandon(s.conn)
	}
	return answer, err
}

func (s *Stream) exchange(req wire.Message) (wire.Message, error) {
	if err := s.Send(req); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	return s.Recv()
}
