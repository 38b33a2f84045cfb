package attest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/attest"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// holder is a node with an index and no objects at all: what it says comes from the index alone.
type holder struct {
	*attest.Service
	catalog *catalog.Catalog
	id      *identity.Identity
	clock   time.Time
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{catalog: c, id: id, clock: time.Unix(1_000_000, 0).UTC()}
	h.Service = attest.New(c, id.Node, func() time.Time { return h.clock })
	return h
}

func sum(id sdk.TesseraID, index int) digest.Hash { return digest.Of(fmt.Append(id[:], index)) }

func (h *holder) keeps(t *testing.T, id sdk.TesseraID, indices ...int) {
	t.Helper()
	err := h.catalog.Update(func(tx *catalog.Tx) error {
		for _, i := range indices {
			if _, err := tx.AddFragment(catalog.FragmentRef{Tessera: id, Index: i, Hash: sum(id, i), Size: 1, Stored: h.clock}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *holder) ask(t *testing.T, verifier sdk.NodeKey, ids ...sdk.TesseraID) wire.Attestation {
	t.Helper()
	q := &wire.AttestRequest{Nonce: make([]byte, 32)}
	for _, id := range ids {
		q.Tesseras = append(q.Tesseras, id[:])
	}
	answer, err := h.Answer(t.Context(), verifier, q)
	if err != nil {
		t.Fatal(err)
	}
	a, err := wire.VerifyAttestation(answer, q, h.id.Node.Key(), verifier)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheIndexIsSignedFor(t *testing.T) {
	h := newHolder(t)
	some, none, unasked := sdk.TesseraID{1}, sdk.TesseraID{2}, sdk.TesseraID{3}
	h.keeps(t, some, 0, 3, 200)
	h.keeps(t, unasked, 1)
	a := h.ask(t, sdk.NodeKey{9}, none, some)
	if a.Covered != 2 || len(a.Held) != 1 || a.Held[0].Tessera != some || len(a.Held[0].Fragments) != 3 || !a.Time.Equal(h.clock) {
		t.Fatalf("attested %+v", a)
	}
	for i, index := range []int{0, 3, 200} {
		if f := a.Held[0].Fragments[i]; f.Index != index || f.Checksum != sum(some, index) {
			t.Errorf("fragment %+v, want %d", f, index)
		}
	}

	// what is gone from the index is not said any more
	err := h.catalog.Update(func(tx *catalog.Tx) error { _, err := tx.DropFragment(some, 3); return err })
	if err != nil {
		t.Fatal(err)
	}
	if a := h.ask(t, sdk.NodeKey{9}, some); len(a.Held[0].Fragments) != 2 {
		t.Errorf("attested %+v", a)
	}
	if a := h.ask(t, sdk.NodeKey{9}); a.Covered != 0 || len(a.Held) != 0 {
		t.Errorf("asked about nothing: %+v", a)
	}
}

func TestAnAnswerIsForOneVerifierAndOneQuestion(t *testing.T) {
	h := newHolder(t)
	id := sdk.TesseraID{1}
	h.keeps(t, id, 0)
	q := &wire.AttestRequest{Nonce: make([]byte, 32), Tesseras: [][]byte{id[:]}}
	answer, err := h.Answer(t.Context(), sdk.NodeKey{9}, q)
	if err != nil {
		t.Fatal(err)
	}
	other := proto.Clone(q).(*wire.AttestRequest)
	other.Nonce[0] = 1
	if _, err := wire.VerifyAttestation(answer, other, h.id.Node.Key(), sdk.NodeKey{9}); err == nil {
		t.Error("it holds for another nonce")
	}
	if _, err := wire.VerifyAttestation(answer, q, h.id.Node.Key(), sdk.NodeKey{8}); err == nil {
		t.Error("it holds for another verifier")
	}
}

func TestWhatDoesNotFitIsLeftForTheNextQuestion(t *testing.T) {
	h := newHolder(t)
	all := make([]int, wire.MaxFragments)
	for i := range all {
		all[i] = i
	}
	var ids []sdk.TesseraID
	for i := range 200 { // 200 x 255 x 33 bytes are more than an answer may have
		id := sdk.TesseraID{byte(i), byte(i >> 8), 7}
		ids = append(ids, id)
		h.keeps(t, id, all...)
	}
	asked := 0
	for rest := ids; len(rest) > 0; asked++ {
		a := h.ask(t, sdk.NodeKey{9}, rest...)
		if a.Covered == 0 || len(a.Held) != a.Covered {
			t.Fatalf("covered %d of %d, %d named", a.Covered, len(rest), len(a.Held))
		}
		for i, held := range a.Held {
			if held.Tessera != rest[i] || len(held.Fragments) != len(all) {
				t.Fatalf("tessera %d is attested as %s with %d fragments", i, held.Tessera.Short(), len(held.Fragments))
			}
		}
		rest = rest[a.Covered:]
	}
	if asked < 2 {
		t.Errorf("everything fit into %d answers: this shows nothing", asked)
	}
}

// What is read in one go is what is read one by one, whatever is asked in whatever order.
func TestManyAreReadAsOneByOne(t *testing.T) {
	h := newHolder(t)
	random := rand.New(rand.NewPCG(1, 5))
	for i := range 400 {
		if i%3 > 0 {
			h.keeps(t, sdk.TesseraID{byte(i >> 8), byte(i)}, random.Perm(20)[:1+random.IntN(4)]...)
		}
	}
	for range 100 {
		var ids []sdk.TesseraID
		for range 1 + random.IntN(60) {
			i := random.IntN(450)
			ids = append(ids, sdk.TesseraID{byte(i >> 8), byte(i), byte(random.IntN(40) / 39)})
		}
		slices.SortFunc(ids, func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) })
		ids = slices.Compact(ids)
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		var want []wire.Holding
		for _, id := range ids {
			want = append(want, h.ask(t, sdk.NodeKey{9}, id).Held...)
		}
		got := h.ask(t, sdk.NodeKey{9}, ids...)
		same := func(a, b wire.Holding) bool { return a.Tessera == b.Tessera && slices.Equal(a.Fragments, b.Fragments) }
		if got.Covered != len(ids) || !slices.EqualFunc(got.Held, want, same) {
			t.Fatalf("together %d, one by one %d of %d", len(got.Held), len(want), len(ids))
		}
	}
}
