package holders_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// lost compares what the peer is known to have lost.
func (b *books) lost(t *testing.T, when string, want ...int) {
	t.Helper()
	var got []int
	for _, l := range b.Lost(mine) {
		if l.Key != peer.Key || l.Nonce != peer.Nonce {
			t.Errorf("%s: %+v is somebody else", when, l)
		}
		got = append(got, l.Fragments...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: lost are %v, want %v", when, got, want)
	}
}

func (b *books) challenge(t *testing.T, index int, outcome proof.Outcome) {
	t.Helper()
	err := b.Challenged(peer.Key, []holders.Result{{
		Claim: proof.Claim{Tessera: mine, Index: index, Size: shard}, Owner: me, Outcome: outcome,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestALossIsRememberedUntilItIsMadeGood: what a holder no longer names or fails to prove is lost, until a proof or a
// receipt, and for a proof period at most.
func TestALossIsRememberedUntilItIsMadeGood(t *testing.T) {
	b := open(t)
	for i := range uint32(3) {
		b.acknowledge(t, i)
	}
	b.attest(t, 0, 1, 2)
	b.lost(t, "as long as it has everything")
	b.attest(t, 1)
	b.lost(t, "after it names one of three", 0, 2)
	b.challenge(t, 1, proof.Failed)
	b.lost(t, "after it failed the third", 0, 1, 2)

	b.attest(t, 0, 1)
	b.lost(t, "after it claims two again", 0, 1, 2)
	b.challenge(t, 0, proof.Proven)
	b.lost(t, "after it proved one", 1, 2)
	b.acknowledge(t, 2)
	b.lost(t, "after it took another one anew", 1)

	b.clock = b.clock.Add(holders.ProofPeriod)
	b.lost(t, "at the end of the proof period", 1)
	b.clock = b.clock.Add(time.Second)
	b.lost(t, "after it")
	b.ForgetLosses()
	b.clock = b.clock.Add(-time.Second)
	b.lost(t, "when it is forgotten")
}

// TestWhatIsGivenUpForAnotherIsNoLoss: a holder stops naming a fragment that somebody else has as well. One who is
// silent, or failed with it, does not stand for it.
func TestWhatIsGivenUpForAnotherIsNoLoss(t *testing.T) {
	other := identity.Contact{Key: sdk.NodeKey{40}, Nonce: 1, Addr: peer.Addr}
	for name, c := range map[string]struct {
		happens func(*testing.T, *books)
		lost    []int
	}{
		"it has it": {happens: func(*testing.T, *books) {}},
		"it is silent": {lost: []int{0}, happens: func(t *testing.T, b *books) {
			if err := b.Silent(other.Key, time.Time{}, []sdk.TesseraID{mine}); err != nil {
				t.Fatal(err)
			}
		}},
		"it has another": {lost: []int{0}, happens: func(t *testing.T, b *books) {
			if err := b.Attested(other, they, []holders.Statement{{Tessera: mine, Owner: me, ShardSize: shard, Fragments: []int{2}}}); err != nil {
				t.Fatal(err)
			}
		}},
		"it was released": {happens: func(t *testing.T, b *books) {
			if err := b.Released(mine, peer.Key, 0); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		b := open(t)
		b.acknowledge(t, 0)
		b.acknowledge(t, 1)
		receipt := wire.Receipt{Tessera: mine, Owner: me, Index: 0, Size: shard, Holder: other.Key, HolderOwner: they}
		if err := b.Acknowledge(other, receipt); err != nil {
			t.Fatal(err)
		}
		c.happens(t, b)
		b.attest(t, 1)
		var got []int
		for _, l := range b.Lost(mine) {
			if l.Key == peer.Key {
				got = append(got, l.Fragments...)
			}
		}
		if !slices.Equal(got, c.lost) {
			t.Errorf("%s: lost are %v, want %v", name, got, c.lost)
		}
	}
}
