package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is one end of a real connection.
type node struct {
	net *quicnet.Net
	id  *identity.Identity
}

func start(t *testing.T) node {
	t.Helper()
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := quicnet.Listen(quicnet.Config{PowBits: -1}, id, conn)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- n.Serve(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return node{n, id}
}

// pair is a client and the peer it asks, whose answers the test makes up.
type pair struct {
	*peer.Client
	self, other node
	to          identity.Contact
	mu          *sync.Mutex // held while the other answers; guards what the test and its answers share
}

func newPair(t *testing.T) pair {
	t.Helper()
	a, b := start(t), start(t)
	return pair{peer.NewClient(a.net, a.id.Node.Key()), a, b, b.net.Self(), &sync.Mutex{}}
}

// answers lets the other one answer a kind of question.
func (p pair) answers(kind wire.Kind, answer func(s *quicnet.Stream, q wire.Message) error) {
	p.other.net.Handle(kind, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, q wire.Message) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		return answer(s, q)
	})
}

// with changes what the answers see.
func (p pair) with(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// parcel is a fragment of somebody's tessera, cut 2+1.
type parcel struct {
	owner *identity.Identity
	plan  *fragment.FragmentPlan
	bytes []byte // of fragment 0
}

type memory [3]bytes.Buffer

func (m *memory) Create(i int) (io.WriteCloser, error) { return closer{&m[i]}, nil }

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

func newParcel(t *testing.T) parcel {
	t.Helper()
	owner, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte("a")), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
	m, err := tessera.Seal(list, "t", time.Unix(2, 0).UTC(), owner.Owner)
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("so much to keep, ", 5000)
	params := fragment.Params{Tier: fragment.Medium, Data: 2, Parity: 1, Chunk: 512, Packed: int64(len(content)), Copies: 1}
	var shards memory
	hashes, err := fragment.Encode(t.Context(), params, strings.NewReader(content), &shards)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature)
	if err == nil {
		err = plan.Sign(owner.Owner)
	}
	if err != nil {
		t.Fatal(err)
	}
	return parcel{owner, plan, shards[0].Bytes()}
}

func (p parcel) push(t *testing.T, to pair) (wire.Receipt, error) {
	t.Helper()
	return to.Push(t.Context(), to.to, p.plan.Envelope(0, bytes.NewReader(p.bytes)), wire.Purpose_PUBLISH)
}

func TestOnlyTheReceiptForThisFragmentCounts(t *testing.T) {
	p, c := newParcel(t), newPair(t)
	var got []byte
	receipt := wire.Receipt{}
	signer := c.other.id.Node
	spoil := func(*wire.ReplicateAck) {}
	c.answers(wire.KindReplicate, func(s *quicnet.Stream, m wire.Message) (err error) {
		q := m.(*wire.Replicate)
		if got, err = io.ReadAll(s.Body(int64(q.GetSize()))); err != nil {
			return err
		}
		ack := wire.SignReceipt(signer, receipt)
		spoil(ack)
		return s.Send(ack)
	})
	right := wire.Receipt{
		Tessera: p.plan.Tessera, Owner: p.owner.Owner.Key(), Index: 0, Checksum: p.plan.Fragments[0], Size: uint64(len(p.bytes)),
		HolderOwner: c.other.id.Owner.Key(), Sender: c.self.id.Node.Key(), Time: time.Now(),
	}
	c.with(func() { receipt = right })
	r, err := p.push(t, c)
	if err != nil || r.Holder != c.other.id.Node.Key() {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	c.with(func() {
		if !bytes.Equal(got, p.bytes) {
			t.Errorf("%d of %d bytes came", len(got), len(p.bytes))
		}
	})
	for name, change := range map[string]func(*wire.Receipt){
		"another tessera":  func(r *wire.Receipt) { r.Tessera[0] ^= 1 },
		"another fragment": func(r *wire.Receipt) { r.Index = 1 },
		"other bytes":      func(r *wire.Receipt) { r.Checksum = p.plan.Fragments[1] },
		"another size":     func(r *wire.Receipt) { r.Size-- },
		"another sender":   func(r *wire.Receipt) { r.Sender = c.other.id.Node.Key() },
		"another owner":    func(r *wire.Receipt) { r.HolderOwner = c.self.id.Owner.Key() },
	} {
		c.with(func() { receipt = right; change(&receipt) })
		if _, err := p.push(t, c); !errors.Is(err, peer.ErrAnswer) {
			t.Errorf("a receipt for %s: %v", name, err)
		}
	}
	c.with(func() { receipt, signer = right, p.owner.Node })
	if _, err := p.push(t, c); !errors.Is(err, peer.ErrAnswer) {
		t.Errorf("another's receipt: %v", err)
	}
	c.with(func() { signer, spoil = c.other.id.Node, func(a *wire.ReplicateAck) { a.Signature[3] ^= 1 } })
	if _, err := p.push(t, c); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("a receipt nobody signed: %v", err)
	}
}

func TestARefusalArrivesWithItsSentence(t *testing.T) {
	p, c := newParcel(t), newPair(t)
	c.answers(wire.KindReplicate, func(*quicnet.Stream, wire.Message) error {
		return wire.Refuse(wire.Code_NO_SPACE, "no room for it").Later(time.Minute) // before a byte of the body
	})
	_, err := p.push(t, c)
	var r *wire.Refusal
	if !errors.As(err, &r) || r.Code != wire.Code_NO_SPACE || r.Text != "no room for it" || r.RetryAfter != time.Minute {
		t.Errorf("refused with %v", err)
	}
	if _, err := c.Forget(t.Context(), c.to, []byte("tomb")); wire.CodeOf(err) != wire.Code_UNSUPPORTED {
		t.Errorf("asked for what it does not serve: %v", err)
	}
	c.answers(wire.KindForget, func(s *quicnet.Stream, _ wire.Message) error { return s.Send(&wire.ForgetAck{Removed: 3}) })
	if n, err := c.Forget(t.Context(), c.to, []byte("tomb")); n != 3 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	c.answers(wire.KindPing, func(s *quicnet.Stream, _ wire.Message) error { return s.Send(&wire.ForgetAck{}) })
	if err := c.Ping(t.Context(), c.to); !errors.Is(err, peer.ErrAnswer) {
		t.Errorf("pinged: %v", err)
	}
}

func TestAFragmentIsWrittenAsItComes(t *testing.T) {
	p, c := newParcel(t), newPair(t)
	size := uint64(len(p.bytes))
	c.answers(wire.KindFetchFragment, func(s *quicnet.Stream, m wire.Message) error {
		q := m.(*wire.FetchFragment)
		if q.GetIndex() != 0 || digest.Hash(q.GetChecksum()) != p.plan.Fragments[0] {
			return wire.Refuse(wire.Code_NOT_FOUND, "not here")
		}
		return errors.Join(s.Send(&wire.FragmentHeader{Size: size}), s.SendBody(bytes.NewReader(p.bytes), int64(size)))
	})
	var got bytes.Buffer
	if err := c.Fragment(t.Context(), c.to, p.plan.ID(0), int64(size), &got); err != nil || !bytes.Equal(got.Bytes(), p.bytes) {
		t.Errorf("%d of %d bytes, %v", got.Len(), size, err)
	}
	if err := c.Fragment(t.Context(), c.to, p.plan.ID(1), int64(size), io.Discard); wire.CodeOf(err) != wire.Code_NOT_FOUND {
		t.Errorf("a fragment that is not there: %v", err)
	}
	got.Reset()
	if err := c.Fragment(t.Context(), c.to, p.plan.ID(0), int64(size)-1, &got); !errors.Is(err, peer.ErrAnswer) || got.Len() > 0 {
		t.Errorf("a size that is not the plan's: %v, %d bytes were written", err, got.Len())
	}
	full := errors.New("full")
	if err := c.Fragment(t.Context(), c.to, p.plan.ID(0), int64(size), broken{full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestOnlyTheOwnersPlanIsAPlan(t *testing.T) {
	p, other, c := newParcel(t), newParcel(t), newPair(t)
	answer := &wire.PlanResponse{}
	c.answers(wire.KindFetchPlan, func(s *quicnet.Stream, _ wire.Message) error { return s.Send(answer) })
	forged := *p.plan
	copy(forged.Signature[:], other.owner.Owner.Sign([]byte("tesseras plan 1")))
	tomb := func(by *identity.Owner, id sdk.TesseraID) []byte {
		made, err := tessera.SignTombstone(id, time.Now(), by)
		if err != nil {
			t.Fatal(err)
		}
		return made.Bytes()
	}
	broken := tomb(p.owner.Owner, p.plan.Tessera)
	if last := &broken[len(broken)-2]; *last == '0' { // another digit, so that it is still a signature
		*last = '1'
	} else {
		*last = '0'
	}
	for name, tt := range map[string]struct {
		answer *wire.PlanResponse
		want   error
	}{
		"the plan":            {&wire.PlanResponse{Plan: p.plan.Bytes()}, nil},
		"another's":           {&wire.PlanResponse{Plan: other.plan.Bytes()}, peer.ErrAnswer},
		"a forged one":        {&wire.PlanResponse{Plan: forged.Bytes()}, fragment.ErrSignature},
		"nothing":             {&wire.PlanResponse{}, fragment.ErrPlan},
		"a tombstone":         {&wire.PlanResponse{Tombstone: tomb(p.owner.Owner, p.plan.Tessera)}, peer.ErrDeleted},
		"another's tombstone": {&wire.PlanResponse{Tombstone: tomb(p.owner.Owner, other.plan.Tessera)}, peer.ErrAnswer},
		"both":                {&wire.PlanResponse{Plan: p.plan.Bytes(), Tombstone: tomb(p.owner.Owner, p.plan.Tessera)}, peer.ErrDeleted},
		"a broken tombstone":  {&wire.PlanResponse{Tombstone: broken}, tessera.ErrSignature},
	} {
		c.with(func() { answer = tt.answer })
		plan, err := c.Plan(t.Context(), c.to, p.plan.Tessera)
		if !errors.Is(err, tt.want) || err == nil && (tt.want != nil || plan.Tessera != p.plan.Tessera) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
