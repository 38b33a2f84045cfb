package holders_test

import (
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/sdk"
)

// TestEachIsOneByOne: whichever tesseras are asked about, the pass over all gives what one by one gives.
func TestEachIsOneByOne(t *testing.T) {
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := func(n int) sdk.TesseraID { return sdk.TesseraID{byte(n), 7} }
	err = c.Update(func(tx *catalog.Tx) error {
		for n := range 12 {
			for k := range n % 4 { // some have no holders
				h := catalog.Holder{Tessera: id(n), Key: sdk.NodeKey{byte(k + 1)}, Fragments: []catalog.HeldFragment{{Index: k}}}
				if err := tx.PutHolder(h); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := holders.New(c, nil, sdk.OwnerKey{}, holders.Config{}, nil)
	for mask := range 1 << 13 { // the last one is not known at all
		var ids []sdk.TesseraID
		for n := range 13 {
			if mask>>n&1 != 0 {
				ids = append(ids, id(n))
			}
		}
		each, err := b.OfEach(ids)
		if err != nil || len(each) != len(ids) {
			t.Fatal(len(each), err)
		}
		for i, t0 := range ids {
			n := int(t0[0])
			want := n % 4
			if n == 12 {
				want = 0
			}
			if len(each[i]) != want || slices.ContainsFunc(each[i], func(h catalog.Holder) bool { return h.Tessera != t0 }) {
				t.Fatalf("of %v: %d has %v", ids, n, each[i])
			}
		}
	}
	records, err := b.RecordsEach([]sdk.TesseraID{id(3), id(4), id(7)})
	if err != nil || len(records[0]) != 3 || len(records[1]) != 0 || len(records[2]) != 3 {
		t.Errorf("%v, %v", records, err)
	}
}
