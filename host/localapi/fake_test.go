package localapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// fake is a backend whose answers a test sets.
type fake struct {
	known   []sdk.TesseraID
	fail    error // of everything
	create  func(ctx context.Context, folder io.Reader) (Created, error)
	packed  func(ctx context.Context, progress ProgressFunc) (Packed, error)
	publish func(ctx context.Context, o PublishOptions, progress ProgressFunc) (Published, error)
	asked   sdk.TesseraID
}

var _ Backend = (*fake)(nil)

func (f *fake) Known(context.Context) ([]sdk.TesseraID, error) { return f.known, f.fail }

func (f *fake) Create(ctx context.Context, folder io.Reader) (Created, error) {
	return f.create(ctx, folder)
}

func (f *fake) List(context.Context) ([]Summary, error) { return []Summary{aSummary}, f.fail }

func (f *fake) Show(_ context.Context, id sdk.TesseraID) (Details, error) {
	f.asked = id
	return aDetails, f.fail
}

func (f *fake) Delete(_ context.Context, id sdk.TesseraID) (Deleted, error) {
	f.asked = id
	return Deleted{id, 12}, f.fail
}

func (f *fake) Verify(_ context.Context, _ sdk.TesseraID, progress ProgressFunc) (Verified, error) {
	progress(Progress{"reading", 1, 2, Bytes})
	return aVerified, f.fail
}

func (f *fake) Pack(ctx context.Context, _ sdk.TesseraID) (Packed, error) {
	return f.packed(ctx, nil)
}

func (f *fake) Publish(ctx context.Context, _ sdk.TesseraID, o PublishOptions, progress ProgressFunc) (Published, error) {
	return f.publish(ctx, o, progress)
}

func (f *fake) Fetch(ctx context.Context, _ sdk.TesseraID, progress ProgressFunc) (Packed, error) {
	return f.packed(ctx, progress)
}

func (f *fake) Peers(context.Context) ([]Peer, error) { return []Peer{aPeer}, f.fail }

func (f *fake) Status(_ context.Context, id sdk.TesseraID) (Status, error) {
	f.asked = id
	return aStatus, f.fail
}

func (f *fake) Ledger(context.Context) ([]Account, error) { return []Account{anAccount}, f.fail }

func (f *fake) NetCheck(context.Context) (NetCheck, error) { return aNetCheck, f.fail }

func (f *fake) AuditLedger(context.Context) (Audit, error) { return anAudit, f.fail }

func (f *fake) RepairPlan(context.Context) ([]RepairStep, error) { return []RepairStep{aStep}, f.fail }

func (f *fake) RepairRun(_ context.Context, id sdk.TesseraID, _ ProgressFunc) (RepairReport, error) {
	f.asked = id
	return aReport, f.fail
}

func (f *fake) GC(_ context.Context, o GCOptions) (Swept, error) {
	s := aSwept
	s.DryRun, s.BytesFreed = o.DryRun, int64(o.Grace)
	return s, f.fail
}

func (f *fake) Scrub(_ context.Context, progress ProgressFunc) (Scrubbed, error) {
	progress(Progress{"reading", 1, 2, Bytes})
	return aScrub, f.fail
}

func (f *fake) ScrubControl(_ context.Context, action ScrubAction) (ScrubStatus, error) {
	s := aScrubStatus
	s.State = string(action)
	return s, f.fail
}

func (f *fake) NodeStatus(context.Context) (NodeStatus, error) { return aNode, f.fail }

func (f *fake) Identity(context.Context) (Identity, error) { return anIdentity, f.fail }

func (f *fake) PolicyList(context.Context) (PolicyList, error)     { return somePolicies, f.fail }
func (f *fake) PolicyReload(context.Context) (PolicyList, error)   { return somePolicies, f.fail }
func (f *fake) PolicyRollback(context.Context) (PolicyList, error) { return somePolicies, f.fail }

// One of each, with every field set.
var (
	anID      = sdk.TesseraID{0xab, 0xcd, 1}
	anOwner   = sdk.OwnerKey{2}
	aNodeID   = sdk.NodeID{3}
	aMoment   = Moment{time.Date(2024, 2, 29, 1, 2, 3, 456789, time.UTC)}
	aFragment = 7

	aSummary = Summary{anID, "latin\xe9", 4, aMoment, "healthy"}
	aDetails = Details{aSummary, anOwner, 5, "small", []Entry{
		{"a\xff/b", false, 6, Moment{time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC)}, "image/png", digest.Of(nil)},
		{"empty", true, 0, aMoment, "", digest.Hash{}},
	}}
	aVerified  = Verified{anID, 3, 4, []Damage{{"a\xff", nil, "gone"}, {"", &aFragment, "rotten"}}}
	aPublished = Published{anID, "medium", 24, 23, 12, 4, true}
	aPeer      = Peer{aNodeID, "192.0.2.1:1", "192.0.2.0/24", aMoment, true}
	anAccount  = Account{anOwner, 1, 2, 1}
	aNetCheck  = NetCheck{
		"0.0.0.0:4433", "203.0.113.7:4433", true, ReachableYes, 3,
		[]AddressView{{"203.0.113.7:4433", 2}},
		[]DialBack{{aNodeID, "203.0.113.7:4433", true}},
		&UDPBuffers{1, 2, 3},
		[]string{"rest"},
	}
	anAudit = Audit{
		true,
		[]WrongRow{{anOwner, 1, 2, 3, 4}},
		[]AuditedPeer{{aNodeID, anOwner, AuditUnreached, 1, 2, 3, 4, "no route"}},
		ReceiptCount{1, 2, 3},
		4,
		[]Unvouched{{anID, 7, aNodeID, UnvouchedCredit}},
	}
	aStatus = Status{
		anID, "title", "medium", "needs_replication", 1, 2, aMoment,
		FragmentCount{16, 24, 23, 22},
		[]Holder{{aNodeID, "192.0.2.1:1", []int{1, 2}, aMoment, true, true, "silent"}},
		health.Survives{Peers: 1, Subnets: 2, Operators: 3},
		[]Damage{{"x", nil, "y"}},
		[]string{"note"},
	}
	aStep   = RepairStep{anID, "title", "corrupt_local", 1, 2, []int{3, 4}, "rebuild", "because"}
	aReport = RepairReport{1, 2, 3, 4, 5, 6, []Failure{{anID, "no peers"}}}
	aSwept  = Swept{1, 2, 3, 4, 5, 6, true, "leapt", "rebuilt"}
	aHit    = Hit{anID, "title", Damage{"x", &aFragment, "y"}, digest.Of(nil)}
	aScrub  = Scrubbed{1, 2, 3, 4, []Hit{aHit}}

	aScrubStatus = ScrubStatus{"pause", 1, 2, 3, 4, 5, 6, aMoment, aMoment, aMoment, []Hit{aHit}}

	aNode      = NodeStatus{aNodeID, "192.0.2.1:1", 1, 2, 3, 4, 5, []Unplanned{{anID, []int{6, 7}, 8, 9}}, UnplannedTotal{10, 11, 12, 13}}
	anIdentity = Identity{aNodeID, "192.0.2.1:1", anOwner}

	somePolicies = PolicyList{
		3, aMoment, true,
		[]Policy{{"law", "wasm", "placement", "guard", true, "2", "ab12", PolicyTakenOut, 9, 8, 7, 6_000, 5_000, "boom", aMoment}},
		[]PolicyAlarm{{"repair", "law", "guard failed", 4}},
	}
)

// body is a packed tar of n random bytes that ends with err.
func body(t testing.TB, n int, err error) (Packed, []byte) {
	t.Helper()
	content := make([]byte, n)
	_, _ = rand.Read(content)
	return Packed{Size: int64(n), Sources: []Source{{aNodeID, []int{1, 2}}}, Write: func(w io.Writer) error {
		if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
			return err
		}
		return err
	}}, content
}

// both runs a test against a node on a socket and against one in memory.
func both(t *testing.T, backend Backend, test func(t *testing.T, c *Client)) {
	t.Run("socket", func(t *testing.T) {
		dir := t.TempDir()
		serve(t, dir, "", backend)
		c, err := Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Daemon {
			t.Error("the client does not know that it asks a node")
		}
		test(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("memory", func(t *testing.T) {
		closed := false
		c := Local(backend, closerFunc(func() error { closed = true; return nil }), slog.New(slog.DiscardHandler))
		test(t, c)
		if err := c.Close(); err != nil || !closed {
			t.Errorf("close: %v, backend closed: %v", err, closed)
		}
	})
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// serve runs a server until the test ends; stop ends it before.
func serve(t testing.TB, dir, group string, backend Backend) (stop func()) {
	t.Helper()
	l, err := Listen(dir, group)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, l, backend)
}

func run(t testing.TB, l net.Listener, backend Backend) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(backend, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// longDir is a folder whose path is too long for a socket.
func longDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

var errBoom = errors.New("boom")

func boom(code Code) error { return Fail(code, fmt.Sprintf("hint %d", code), errBoom) }
