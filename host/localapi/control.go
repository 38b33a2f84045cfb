package localapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/tesseras/tesseras/sdk"
)

// control is the Connect service over a backend.
type control struct{ backend Backend }

var _ LocalHandler = (*control)(nil)

// List implements LocalHandler.
func (c *control) List(ctx context.Context, _ *ListRequest) (*ListResponse, error) {
	list, err := c.backend.List(ctx)
	return &ListResponse{Tesseras: mapped(list, Summary.message)}, onWire(ctx, err)
}

// Show implements LocalHandler.
func (c *control) Show(ctx context.Context, r *ShowRequest) (*ShowResponse, error) {
	details, err := with(ctx, c.backend, r.Id, c.backend.Show)
	return details.message(), onWire(ctx, err)
}

// Delete implements LocalHandler.
func (c *control) Delete(ctx context.Context, r *DeleteRequest) (*DeleteResponse, error) {
	deleted, err := with(ctx, c.backend, r.Id, c.backend.Delete)
	return &DeleteResponse{Id: deleted.ID.String(), FreedBytes: deleted.FreedBytes}, onWire(ctx, err)
}

// Verify implements LocalHandler.
func (c *control) Verify(ctx context.Context, r *VerifyRequest, out *connect.ServerStream[Event]) error {
	return onWire(ctx, c.report(out, func(progress ProgressFunc) (*Event, error) {
		id, err := resolve(ctx, c.backend, r.Id)
		if err != nil {
			return nil, err
		}
		v, err := c.backend.Verify(ctx, id, progress)
		if err != nil {
			return nil, err
		}
		return v.event(), nil
	}))
}

// Publish implements LocalHandler.
func (c *control) Publish(ctx context.Context, r *PublishRequest, out *connect.ServerStream[Event]) error {
	return onWire(ctx, c.report(out, func(progress ProgressFunc) (*Event, error) {
		id, err := resolve(ctx, c.backend, r.Id)
		if err != nil {
			return nil, err
		}
		p, err := c.backend.Publish(ctx, id, PublishOptions{r.Wait, time.Duration(r.TimeoutNs)}, progress)
		if p.ID.IsZero() {
			return nil, err
		}
		return p.event(), err
	}))
}

// RepairRun implements LocalHandler.
func (c *control) RepairRun(ctx context.Context, r *RepairRunRequest, out *connect.ServerStream[Event]) error {
	return onWire(ctx, c.report(out, func(progress ProgressFunc) (*Event, error) {
		var id sdk.TesseraID
		if r.Id != "" {
			var err error
			if id, err = resolve(ctx, c.backend, r.Id); err != nil {
				return nil, err
			}
		}
		report, err := c.backend.RepairRun(ctx, id, progress)
		return report.event(), err
	}))
}

// report sends the progress of an operation and at last its result, if it has one.
func (c *control) report(out *connect.ServerStream[Event], run func(ProgressFunc) (*Event, error)) error {
	// A failure to send needs no answer: the client is gone, and ctx ends with its connection.
	reporter := newReporter(func(p Progress) { _ = out.Send(p.event()) })
	result, err := run(reporter.report)
	reporter.stop()
	if result != nil {
		err = errors.Join(err, out.Send(result))
	}
	return err
}

// Status implements LocalHandler.
func (c *control) Status(ctx context.Context, r *StatusRequest) (*StatusResponse, error) {
	status, err := with(ctx, c.backend, r.Id, c.backend.Status)
	return status.message(), onWire(ctx, err)
}

// Peers implements LocalHandler.
func (c *control) Peers(ctx context.Context, _ *PeersRequest) (*PeersResponse, error) {
	peers, err := c.backend.Peers(ctx)
	return &PeersResponse{Peers: mapped(peers, Peer.message)}, onWire(ctx, err)
}

// NetCheck implements LocalHandler.
func (c *control) NetCheck(ctx context.Context, _ *NetCheckRequest) (*NetCheckResponse, error) {
	check, err := c.backend.NetCheck(ctx)
	return check.message(), onWire(ctx, err)
}

// Ledger implements LocalHandler.
func (c *control) Ledger(ctx context.Context, _ *LedgerRequest) (*LedgerResponse, error) {
	accounts, err := c.backend.Ledger(ctx)
	return &LedgerResponse{Accounts: mapped(accounts, Account.message)}, onWire(ctx, err)
}

// AuditLedger implements LocalHandler.
func (c *control) AuditLedger(ctx context.Context, _ *AuditLedgerRequest) (*AuditLedgerResponse, error) {
	audit, err := c.backend.AuditLedger(ctx)
	return audit.message(), onWire(ctx, err)
}

// RepairPlan implements LocalHandler.
func (c *control) RepairPlan(ctx context.Context, _ *RepairPlanRequest) (*RepairPlanResponse, error) {
	steps, err := c.backend.RepairPlan(ctx)
	return &RepairPlanResponse{Steps: mapped(steps, RepairStep.message)}, onWire(ctx, err)
}

// Node implements LocalHandler.
func (c *control) Node(ctx context.Context, _ *NodeRequest) (*NodeResponse, error) {
	status, err := c.backend.NodeStatus(ctx)
	return status.message(), onWire(ctx, err)
}

// Identity implements LocalHandler.
func (c *control) Identity(ctx context.Context, _ *IdentityRequest) (*IdentityResponse, error) {
	identity, err := c.backend.Identity(ctx)
	return identity.message(), onWire(ctx, err)
}

// with finds the tessera that text means and asks about it.
func with[T any](ctx context.Context, t Tesseras, text string, ask func(context.Context, sdk.TesseraID) (T, error)) (T, error) {
	id, err := resolve(ctx, t, text)
	if err != nil {
		var zero T
		return zero, err
	}
	return ask(ctx, id)
}

// onWire makes an error one of Connect's, with code and hint.
func onWire(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if context.Cause(ctx) == errStopping {
		err = Fail(CodeFailed, "start tesd again", fmt.Errorf("interrupted: %w", errStopping))
	}
	wire := connect.NewError(wireCode(err), err)
	detail, detailErr := connect.NewErrorDetail(&ErrorDetail{Code: int32(CodeOf(err)), Hint: HintOf(err)})
	if detailErr == nil {
		wire.AddDetail(detail)
	}
	return wire
}

// wireCode is the nearest of Connect's codes, for clients that know no other.
func wireCode(err error) connect.Code {
	switch CodeOf(err) {
	case CodeUsage:
		return connect.CodeInvalidArgument
	case CodeNotFound:
		return connect.CodeNotFound
	case CodeInUse, CodeNoDaemon, CodeCannotRestore:
		return connect.CodeUnavailable
	case CodeBelowTarget, CodePartly:
		return connect.CodeFailedPrecondition
	case CodeInterrupted:
		return connect.CodeCanceled
	}
	return connect.CodeInternal
}

// offWire makes an error of Connect's one of ours again.
func offWire(err error) error {
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return err
	}
	for _, d := range wire.Details() {
		if v, detailErr := d.Value(); detailErr == nil {
			if detail, ok := v.(*ErrorDetail); ok {
				return Fail(Code(detail.Code), detail.Hint, errors.New(wire.Message()))
			}
		}
	}
	switch wire.Code() {
	case connect.CodeUnimplemented:
		return Fail(CodeFailed, hintVersions, errors.New("the node does not know this request"))
	case connect.CodeCanceled:
		return fmt.Errorf("%w: %s", context.Canceled, wire.Message())
	}
	return lost(wire)
}

const hintVersions = "tes and tesd are of different versions: restart tesd"

// lost tells that the connection to the node broke.
func lost(err error) error {
	return Fail(CodeFailed, "see whether tesd still runs, and what it logged", fmt.Errorf("connection to the node: %w", err))
}
