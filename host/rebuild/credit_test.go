package rebuild

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Append implements holders.Journal.
func (r *room) Append(kind byte, payload []byte) error {
	r.append(kind, payload)
	return nil
}

// TestCreditComesBackAsItWas lives through receipts, statements, proofs, failures and silence, in any order,
// and throws the index away again and again: what others have credit for comes back as it was (C7).
func TestCreditComesBackAsItWas(t *testing.T) {
	for _, proofs := range []bool{true, false} {
		r := newRoom(t)
		p := r.publish(r.who, "mine")
		must(t, r.manifests.Write(p.plan.Tessera, sidecar.Manifest, p.manifest.Bytes()))
		live, _ := r.rebuilt()
		clock := time.Unix(2_000_000_000, 0)
		self := r.who.Owner.Key()
		book := holders.New(live, r, self, holders.Config{Proofs: proofs}, func() time.Time { return clock })
		random := rand.New(rand.NewPCG(suite.Seed(t), 7))
		for i := range 600 {
			clock = clock.Add(time.Duration(random.IntN(8)) * time.Hour)
			must(t, p.happens(book, random, self, proofs))
			if i%15 != 14 {
				continue
			}
			back, _ := r.rebuilt()
			want, got := credits(t, live, self), credits(t, back, self)
			if len(want) != len(got) {
				t.Fatalf("step %d: %d fragments give credit, were %d", i, len(got), len(want))
			}
			for k, credited := range want {
				if got[k] != credited {
					t.Fatalf("step %d: fragment %d of holder %d gives credit: %v, was %v", i, k[1], k[0], got[k], credited)
				}
			}
		}
	}
}

// happens lets one of three holders do something, or have something done to it.
func (p *published) happens(book *holders.Book, random *rand.Rand, self sdk.OwnerKey, proofs bool) error {
	n := byte(random.IntN(3)) + 1
	who := identity.Contact{Key: sdk.NodeKey{n}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 1)}
	owner := sdk.OwnerKey{n}
	t, size, index := p.plan.Tessera, p.plan.ShardSize(), random.IntN(p.plan.Total())
	switch random.IntN(6) {
	case 0:
		return book.Acknowledge(who, wire.Receipt{
			Tessera: t, Owner: self, Index: uint32(index), Size: uint64(size), Holder: who.Key, HolderOwner: owner, Time: time.Unix(1, 0),
		})
	case 1:
		s := holders.Statement{Tessera: t, Owner: self, ShardSize: size}
		for i := range p.plan.Total() {
			if random.IntN(4) > 0 {
				s.Fragments = append(s.Fragments, i)
			}
		}
		return book.Attested(who, owner, []holders.Statement{s})
	case 2, 3:
		if !proofs {
			return nil
		}
		outcome := proof.Outcome(random.IntN(int(proof.Busy) + 1))
		r := holders.Result{Owner: self, Outcome: outcome, Claim: proof.Claim{Tessera: t, Index: index, Size: size}}
		return book.Audited(who.Key, []holders.Result{r})
	case 4:
		return book.Silent(who.Key, time.Time{}, []sdk.TesseraID{t})
	}
	records, err := book.Records(t)
	if err != nil {
		return err
	}
	return book.Settle(book.Unsettled(records))
}

// credits tells of each holder's fragments whether they give credit, by first byte of the key and number, and
// holds the ledger against them.
func credits(t *testing.T, c *catalog.Catalog, self sdk.OwnerKey) map[[2]int]bool {
	t.Helper()
	out := map[[2]int]bool{}
	view(t, c, func(tx *catalog.Tx) error {
		for h, err := range tx.Holders() {
			must(t, err)
			for _, f := range h.Fragments {
				out[[2]int{int(h.Key[0]), f.Index}] = f.Credited()
			}
		}
		wrong, err := ledger.Mismatches(tx, self)
		if len(wrong) > 0 {
			t.Fatalf("the books do not follow from the facts: %+v", wrong)
		}
		return err
	})
	return out
}

// TestTheEvidenceOfFailuresComesBack fails proofs, signed and unsigned, and throws the index away.
func TestTheEvidenceOfFailuresComesBack(t *testing.T) {
	r := newRoom(t)
	p := r.publish(r.who, "mine")
	must(t, r.manifests.Write(p.plan.Tessera, sidecar.Manifest, p.manifest.Bytes()))
	live, _ := r.rebuilt()
	clock := time.Unix(2_000_000_000, 0)
	self := r.who.Owner.Key()
	book := holders.New(live, r, self, holders.Config{Proofs: true}, func() time.Time { return clock })
	liar := identity.Contact{Key: sdk.NodeKey{1}, Addr: netip.MustParseAddrPort("192.0.2.1:1")}
	for i := range 3 {
		must(t, book.Acknowledge(liar, wire.Receipt{
			Tessera: p.plan.Tessera, Owner: self, Index: uint32(i), Size: uint64(p.plan.ShardSize()), Holder: liar.Key, HolderOwner: sdk.OwnerKey{1},
		}))
	}
	for range 2 { // the second time is no news
		clock = clock.Add(time.Hour)
		var results []holders.Result
		for i := range 2 {
			results = append(results, holders.Result{
				Owner: self, Nonce: [32]byte{byte(i), 7}, Outcome: proof.Failed,
				Claim: proof.Claim{Tessera: p.plan.Tessera, Index: i, Checksum: p.plan.Fragments[i], Size: p.plan.ShardSize()},
			})
		}
		results[1].Statement = wire.ProofStatement{Time: clock.Add(time.Millisecond), Slices: digest.Hash{1}, Whole: digest.Hash{2}, Signature: [64]byte{3, 63: 4}}
		must(t, book.Audited(liar.Key, results))
	}
	before, err := book.Audit(liar.Key)
	must(t, err)
	back, _ := r.rebuilt()
	view(t, back, func(tx *catalog.Tx) error {
		a, err := tx.Audit(liar.Key)
		if !holders.Failing(a) || a.Failures != 2 || len(a.Evidence) != 2 {
			t.Fatalf("%+v", a)
		}
		for i, e := range a.Evidence {
			want := before.Evidence[i]
			if !e.Time.Equal(want.Time) || !e.HolderTime.Equal(want.HolderTime) {
				t.Errorf("evidence of %s and %s, was of %s and %s", e.Time, e.HolderTime, want.Time, want.HolderTime)
			}
			e.Time, e.HolderTime = want.Time, want.HolderTime
			if e != want {
				t.Errorf("the evidence is %+v, was %+v", e, want)
			}
		}
		h, err2 := tx.Holder(p.plan.Tessera, liar.Key)
		if h.Fragments[0].Failed.IsZero() || h.Fragments[1].Failed.IsZero() || !h.Fragments[2].Failed.IsZero() {
			t.Errorf("it is down with %+v", h.Fragments)
		}
		return errors.Join(err, err2)
	})
}
