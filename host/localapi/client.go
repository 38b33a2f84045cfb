package localapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// OpenLocal opens a data directory in this process, making it where it is missing. An error of
// CodeInUse tells that another process has it.
type OpenLocal func(ctx context.Context, dataDir string) (Backend, io.Closer, error)

// Client asks a node, wherever it is. Ids may be unique prefixes. Close it when done.
type Client struct {
	// Daemon tells whether a node answers, and not this process by itself.
	Daemon bool

	rpc       LocalClient
	policies  PoliciesClient
	http      *http.Client
	transport *http.Transport
	close     func() error
}

// base is the host of every URL; the socket is what leads to the node.
const base = "http://node"

// Dial connects to the node that runs on a data directory; ErrNoDaemon tells that none does.
func Dial(ctx context.Context, dataDir string) (*Client, error) {
	first, err := dialSocket(ctx, dataDir)
	if err != nil {
		return nil, err
	}
	_ = first.Close() // it has told what we wanted to know
	c := newClient(func(ctx context.Context) (net.Conn, error) { return dialSocket(ctx, dataDir) })
	c.Daemon = true
	c.close = func() error { return nil }
	return c, nil
}

// Local serves a backend from this process's memory, with the same handlers as a node. Closing the
// client ends what is under way, and then closes the backend.
func Local(backend Backend, closer io.Closer, log *slog.Logger) *Client {
	l := newMemory()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- NewServer(backend, log).Serve(ctx, l) }()
	c := newClient(l.dial)
	c.close = func() error {
		stop()
		return errors.Join(<-served, closer.Close())
	}
	return c
}

// Connect dials the node of a data directory; where none runs, open does without one.
func Connect(ctx context.Context, dataDir string, open OpenLocal, log *slog.Logger) (*Client, error) {
	c, err := Dial(ctx, dataDir)
	if !errors.Is(err, ErrNoDaemon) {
		return c, err
	}
	backend, closer, err := open(ctx, dataDir)
	if err != nil {
		return nil, err
	}
	return Local(backend, closer, log), nil
}

func newClient(dial func(context.Context) (net.Conn, error)) *Client {
	t := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
		// Large pieces pass these buffers by, so they are only as large as a trailer may be.
		ReadBufferSize:  2 * maxErrorText,
		WriteBufferSize: 2 * maxErrorText,
		IdleConnTimeout: time.Minute,
	}
	client := &http.Client{Transport: t}
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	return &Client{
		rpc:       NewLocalClient(client, base, plain),
		policies:  NewPoliciesClient(client, base, plain),
		http:      client,
		transport: t,
	}
}

// Close lets go of the node.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return c.close()
}

// List lists the owner's tesseras.
func (c *Client) List(ctx context.Context) ([]Summary, error) {
	r, err := c.rpc.List(ctx, &ListRequest{})
	return answer(ctx, err, func(d *decoder) []Summary { return mapped(r.Tesseras, d.summary) })
}

// Show gives what the documents of a tessera say.
func (c *Client) Show(ctx context.Context, id string) (Details, error) {
	r, err := c.rpc.Show(ctx, &ShowRequest{Id: id})
	return answer(ctx, err, func(d *decoder) Details { return d.details(r) })
}

// Delete removes an own tessera.
func (c *Client) Delete(ctx context.Context, id string) (Deleted, error) {
	r, err := c.rpc.Delete(ctx, &DeleteRequest{Id: id})
	return answer(ctx, err, func(d *decoder) Deleted { return Deleted{d.tessera(r.Id), r.FreedBytes} })
}

// Status tells how a tessera stands.
func (c *Client) Status(ctx context.Context, id string) (Status, error) {
	r, err := c.rpc.Status(ctx, &StatusRequest{Id: id})
	return answer(ctx, err, func(d *decoder) Status { return d.status(r) })
}

// NodeStatus tells how the node stands.
func (c *Client) NodeStatus(ctx context.Context) (NodeStatus, error) {
	r, err := c.rpc.Node(ctx, &NodeRequest{})
	return answer(ctx, err, func(d *decoder) NodeStatus { return d.nodeStatus(r) })
}

// Identity tells who the node is.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	r, err := c.rpc.Identity(ctx, &IdentityRequest{})
	return answer(ctx, err, func(d *decoder) Identity { return d.identity(r) })
}

// Peers lists the nodes it knows.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	r, err := c.rpc.Peers(ctx, &PeersRequest{})
	return answer(ctx, err, func(d *decoder) []Peer { return mapped(r.Peers, d.peer) })
}

// NetCheck finds out how the network sees the node.
func (c *Client) NetCheck(ctx context.Context) (NetCheck, error) {
	r, err := c.rpc.NetCheck(ctx, &NetCheckRequest{})
	return answer(ctx, err, func(d *decoder) NetCheck { return d.netCheck(r) })
}

// Ledger lists what we and others owe each other.
func (c *Client) Ledger(ctx context.Context) ([]Account, error) {
	r, err := c.rpc.Ledger(ctx, &LedgerRequest{})
	return answer(ctx, err, func(d *decoder) []Account { return mapped(r.Accounts, d.account) })
}

// AuditLedger compares the node's books with the facts and with its peers' books.
func (c *Client) AuditLedger(ctx context.Context) (Audit, error) {
	r, err := c.rpc.AuditLedger(ctx, &AuditLedgerRequest{})
	return answer(ctx, err, func(d *decoder) Audit { return d.audit(r) })
}

// RepairPlan lists what a repair would do.
func (c *Client) RepairPlan(ctx context.Context) ([]RepairStep, error) {
	r, err := c.rpc.RepairPlan(ctx, &RepairPlanRequest{})
	return answer(ctx, err, func(d *decoder) []RepairStep { return mapped(r.Steps, d.step) })
}

// Verify reads every byte of a tessera.
func (c *Client) Verify(ctx context.Context, id string, progress ProgressFunc) (Verified, error) {
	stream, err := c.rpc.Verify(ctx, &VerifyRequest{Id: id})
	return follow(ctx, stream, err, progress, func(d *decoder, e *Event) Verified { return d.verified(e.GetVerified()) })
}

// Publish places the fragments of a tessera. Together with an error comes what was reached; it has no
// ID if that is nothing.
func (c *Client) Publish(ctx context.Context, id string, o PublishOptions, progress ProgressFunc) (Published, error) {
	stream, err := c.rpc.Publish(ctx, &PublishRequest{Id: id, Wait: o.Wait, TimeoutNs: int64(o.Timeout)})
	return follow(ctx, stream, err, progress, func(d *decoder, e *Event) Published { return d.published(e.GetPublished()) })
}

// RepairRun looks after one tessera, or after all for "".
func (c *Client) RepairRun(ctx context.Context, id string, progress ProgressFunc) (RepairReport, error) {
	stream, err := c.rpc.RepairRun(ctx, &RepairRunRequest{Id: id})
	return follow(ctx, stream, err, progress, func(d *decoder, e *Event) RepairReport { return d.repaired(e.GetRepaired()) })
}

// answer decodes a response, unless there was an error.
func answer[T any](ctx context.Context, err error, decode func(*decoder) T) (T, error) {
	if err != nil {
		var zero T
		return zero, failure(ctx, err)
	}
	return decoded(decode)
}

// follow passes on progress until the result comes. A result and an error may come together.
func follow[T any](ctx context.Context, s *connect.ServerStreamForClient[Event], err error,
	progress ProgressFunc, decode func(*decoder, *Event) T,
) (result T, _ error) {
	if err != nil {
		return result, failure(ctx, err)
	}
	defer s.Close()
	found := false
	for s.Receive() {
		if note := s.Msg().GetProgress(); note != nil {
			progress(progressOf(note))
			continue
		}
		if result, err = decoded(func(d *decoder) T { return decode(d, s.Msg()) }); err != nil {
			return result, err
		}
		found = true
	}
	if err := s.Err(); err != nil {
		return result, failure(ctx, err)
	}
	if !found {
		return result, lost(io.ErrUnexpectedEOF)
	}
	return result, nil
}

// failure is what an error of Connect means to the caller, whose own ctx explains most.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return offWire(err)
}
