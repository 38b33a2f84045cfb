package custody_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// brings keeps a fragment as the old layout left it: without a plan.
func (r *room) brings(t *testing.T, o *offer, index int, content []byte) {
	t.Helper()
	object, err := r.objects.Stage(t.Context(), bytes.NewReader(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.objects.Unpin(object.Hash)
	err = r.catalog.Update(func(tx *catalog.Tx) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: o.plan.Tessera, Index: index, Hash: object.Hash, Size: object.Size})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// balanced checks that so many fragments are kept, that the ledger follows from them, and that the plan is here.
func (r *room) balanced(t *testing.T, o *offer, indexes ...int) {
	t.Helper()
	var kept []int
	err := r.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(o.plan.Tessera) {
			if err != nil {
				return err
			}
			if f.Hash != o.plan.Fragments[f.Index] {
				t.Errorf("fragment %d has other bytes than the plan's", f.Index)
			}
			kept = append(kept, f.Index)
		}
		wrong, err := ledger.Mismatches(tx, r.self.Owner.Key())
		if len(wrong) != 0 {
			t.Errorf("the books differ from the facts: %+v", wrong)
		}
		_, planned := tx.Plan(o.plan.Tessera)
		return errors.Join(err, planned)
	})
	if err != nil {
		t.Error(err)
	}
	if !slices.Equal(kept, indexes) {
		t.Errorf("kept are %v, want %v", kept, indexes)
	}
	if plan, err := r.papers.Plan(o.plan.Tessera); err != nil || !bytes.Equal(plan, o.plan.Bytes()) {
		t.Errorf("the plan is not kept: %v", err)
	}
	if row := r.ledger(t, o); row.StoredForThem != uint64(len(indexes))*uint64(o.plan.ShardSize()) {
		t.Errorf("charged %d bytes for %d fragments", row.StoredForThem, len(indexes))
	}
}

// TestAPlanAdoptsWhatWasKeptWithoutIt offers a fragment of a tessera of which some were kept without a plan:
// the same one, another one, and one where other bytes lie.
func TestAPlanAdoptsWhatWasKeptWithoutIt(t *testing.T) {
	for name, c := range map[string]struct {
		offered int
		after   []int
	}{
		"a fragment that is here":               {1, []int{1, 2, 4}},
		"a fragment that is not here":           {0, []int{0, 1, 2, 4}},
		"a fragment where other bytes lie":      {3, []int{1, 2, 3, 4}},
		"a fragment that lies under wrong name": {4, []int{1, 2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := newRoom(t), newOffer(t)
			other := []byte("of another time")
			r.brings(t, o, 1, o.shards[1])
			r.brings(t, o, 2, o.shards[2])
			r.brings(t, o, 3, other)
			r.brings(t, o, 300, o.shards[4])
			for range 2 {
				if _, err := o.push(t, r, c.offered); err != nil {
					t.Fatal(err)
				}
				r.balanced(t, o, c.after...)
			}
			if here, err := r.objects.Contains(digest.Of(other)); err != nil || !here {
				t.Errorf("what the plan does not name was removed at once: %v", err)
			}
			if n, err := r.catalog.Collect(t.Context(), r.objects); err != nil || n != 0 {
				t.Errorf("%d objects were released, %v", n, err)
			}
			r.givesAllUp(t, o)
		})
	}
}

// givesAllUp yields one fragment and has the owner delete the rest: the account ends at zero.
func (r *room) givesAllUp(t *testing.T, o *offer) {
	t.Helper()
	tomb, err := tessera.SignTombstone(o.plan.Tessera, time.Unix(5, 0), o.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Yield(t.Context(), o.plan.Tessera, 2); err != nil {
		t.Error(err)
	}
	if _, err := r.Forget(t.Context(), tomb.Bytes()); err != nil {
		t.Error(err)
	}
	if row := r.ledger(t, o); row.StoredForThem != 0 {
		t.Errorf("ledger after all is gone: %+v", row)
	}
}

// TestWhatIsRebuiltHereAdoptsToo has this node rebuild a fragment beside one that was kept without a plan.
func TestWhatIsRebuiltHereAdoptsToo(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	r.brings(t, o, 1, o.shards[1])
	for _, index := range []int{1, 2} {
		if err := r.Keep(t.Context(), o.plan, index, bytes.NewReader(o.shards[index])); err != nil {
			t.Fatal(err)
		}
	}
	r.balanced(t, o, 1, 2)
}

// TestWhoeverKeepsNotesHearsWhatIsGivenUp yields a fragment and has the owner delete the rest.
func TestWhoeverKeepsNotesHearsWhatIsGivenUp(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	var heard [][]int
	r.GivenUp = func(_ sdk.TesseraID, indexes ...int) error {
		if len(r.held(t, o)) != 3-len(heard) {
			t.Error("it was told too late")
		}
		heard = append(heard, indexes)
		return nil
	}
	for index := range 3 {
		if _, err := o.push(t, r, index); err != nil {
			t.Fatal(err)
		}
	}
	r.givesAllUp(t, o)
	if len(heard) != 2 || !slices.Equal(heard[0], []int{2}) || len(heard[1]) != 0 {
		t.Errorf("heard %v", heard)
	}
}

func (r *room) held(t *testing.T, o *offer) (indexes []int) {
	t.Helper()
	err := r.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(o.plan.Tessera) {
			if err != nil {
				return err
			}
			indexes = append(indexes, f.Index)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return indexes
}
