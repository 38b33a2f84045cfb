package host_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhatIsUnplannedIsListedInBounds keeps fragments of more tesseras without a plan than are listed, and one
// of a planned tessera.
func TestWhatIsUnplannedIsListedInBounds(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 0)
	const tesseras = localapi.MaxUnplanned + 5
	many, planned := sdk.TesseraID{0xff}, sdk.TesseraID{0xfe}
	add := func(tx *catalog.Tx, id sdk.TesseraID, index int) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: id, Index: index, Hash: digest.Of(id[:]), Size: 10})
		return err
	}
	err := owner.Update(func(tx *catalog.Tx) error {
		var errs []error
		for i := range tesseras - 1 {
			var id sdk.TesseraID
			binary.BigEndian.PutUint16(id[:], uint16(i+1))
			errs = append(errs, add(tx, id, 3), add(tx, id, 7))
		}
		for i := range localapi.MaxUnplannedFragments + 1 {
			errs = append(errs, add(tx, many, i))
		}
		return errors.Join(append(errs, add(tx, planned, 0), tx.PutPlan(catalog.PlanRow{Tessera: planned, Data: 1, Copies: 1, ShardSize: 10}))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := owner.NodeStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fragments := 2*(tesseras-1) + localapi.MaxUnplannedFragments + 1
	if want := (localapi.UnplannedTotal{Tesseras: tesseras, Fragments: fragments, SizeBytes: int64(10 * fragments)}); s.UnplannedTotal != want {
		t.Errorf("in all %+v, want %+v", s.UnplannedTotal, want)
	}
	if len(s.Unplanned) != localapi.MaxUnplanned || len(s.Unplanned[0].Fragments) != 2 || s.Unplanned[0].SizeBytes != 20 {
		t.Errorf("listed are %d, first %+v", len(s.Unplanned), s.Unplanned[0])
	}
	st := owner.status(many)
	if st.Health != "needs_replication" || st.Fragments.Held != localapi.MaxUnplannedFragments+1 || len(st.Holders) != 1 || len(st.Notes) != 1 {
		t.Errorf("status %+v", st)
	}
	known, err := owner.Known(t.Context())
	if err != nil || len(known) != tesseras+1 {
		t.Errorf("%d ids are known, %v", len(known), err)
	}
}

// TestWhatItsOwnerDeletedIsStruckOut has a holder whose fragments came from an old layout: when the owner
// deletes the tessera, the document that says so goes too.
func TestWhatItsOwnerDeletedIsStruckOut(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	refs := legacy.References{Tessera: made.ID}
	for _, f := range holder.held(made.ID) {
		refs.Fragments = append(refs.Fragments, legacy.Fragment{Index: f.Index, Hash: f.Hash, Size: f.Size})
	}
	path := filepath.Join(holder.dir, legacy.Folder, made.ID.String()[:2], made.ID.String()+legacy.Extension)
	lay(t, path, string(refs.Bytes()))
	if _, err := owner.Delete(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holder to forget", func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist) && len(holder.held(made.ID)) == 0
	})
}
