package quicnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/wire"
)

// When a peer cannot be had.
var (
	// ErrUnreachable tells that nobody answered at the address.
	ErrUnreachable = errors.New("peer cannot be reached")
	// ErrWrongPeer tells that another node answered than the one that was dialled.
	ErrWrongPeer = errors.New("another node answers at that address")
	// ErrSelf tells that the address is this node's own.
	ErrSelf = errors.New("that is this node itself")
	// ErrFull tells that every connection of the pool is in use.
	ErrFull = errors.New("every connection is in use")
	// ErrClosed tells that this Net was closed.
	ErrClosed = errors.New("network is closed")
)

// When a request fails on its way. A peer's own no is a *wire.Refusal.
var (
	// ErrGone tells that the peer closed the connection, without blame, or lost it by a restart.
	ErrGone = errors.New("peer closed the connection")
	// ErrSilent tells that the peer did not answer in time.
	ErrSilent = errors.New("no answer in time")
)

// errCrowded turns away a stranger that keeps others from the door.
var errCrowded = named(RefusedStranger, wire.Refuse(wire.Code_BUSY, "too many strangers at the door"))

// closeCode is what a connection is closed with: a wire.Code, or closeFaultless.
type closeCode = quic.ApplicationErrorCode

// closeFaultless closes a connection that is idle, doubled, or whose node stops. Nothing that was
// asked over it and not answered was begun, so the other side may simply ask again.
const closeFaultless closeCode = 0

// explainIn gives the reason of a failure under ctx: ctx itself, if it ended.
func explainIn(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return translate(err)
}

// translate turns quic-go's errors into this package's and wire's.
func translate(err error) error {
	var (
		stream    *quic.StreamError
		app       *quic.ApplicationError
		transport *quic.TransportError
		reset     *quic.StatelessResetError
		silent    *quic.IdleTimeoutError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stream) && stream.Remote:
		return &wire.Refusal{Code: codeOf(uint64(stream.ErrorCode), wire.Code_CANCELLED)}
	case errors.As(err, &app) && app.Remote && app.ErrorCode != closeFaultless:
		return (&wire.Error{Code: codeOf(uint64(app.ErrorCode), wire.Code_INTERNAL), Text: app.ErrorMessage}).Refusal()
	case errors.As(err, &app) && !app.Remote && app.ErrorCode == closeSilent:
		return ErrSilent
	case errors.As(err, &app), errors.As(err, &reset):
		return ErrGone
	case errors.As(err, &transport) && transport.Remote && transport.ErrorCode.IsCryptoError():
		return wire.Refuse(wire.Code_BAD_SIGNATURE, "the peer does not accept this node's certificate")
	case errors.As(err, &silent), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSilent
	}
	return err
}

// refusalFor is what to tell a peer about err, which this package's errors are part of.
func refusalFor(err error) *wire.Refusal {
	switch {
	case wire.CodeOf(err) != wire.Code_OK:
	case errors.Is(err, ErrSilent):
		return wire.Refuse(wire.Code_TOO_SLOW, "nothing came in time")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return wire.Refuse(wire.Code_MALFORMED, "it breaks off")
	}
	return wire.RefusalFor(err)
}

func codeOf(n uint64, zero wire.Code) wire.Code {
	if n == 0 || n > math.MaxInt32 {
		return zero
	}
	return wire.Code(n)
}

// unreachable says why a dial failed.
func unreachable(err error) error {
	var r *wire.Refusal
	for _, known := range []error{ErrWrongPeer, ErrSelf, ErrFull, ErrClosed, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.As(err, &r) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
