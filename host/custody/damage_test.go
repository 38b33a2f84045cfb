package custody_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestNoReceiptForADamagedFragment(t *testing.T) {
	for name, fault := range map[string]func(path string) error{
		"a flipped bit": func(path string) error { flip(t, path); return nil },
		"truncated":     func(path string) error { return os.Truncate(path, 10) },
		"gone":          os.Remove,
	} {
		r, o := newRoom(t), newOffer(t)
		if _, err := o.push(t, r, 2); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.root, cas.Path(o.plan.Fragments[2]))
		if err := fault(path); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Replicate(t.Context(), o.sender, o.header(2), bytes.NewReader(o.shards[1])); wire.CodeOf(err) != wire.Code_HASH_MISMATCH {
			t.Errorf("%s: offered other bytes: %v", name, err)
		}
		if _, err := o.push(t, r, 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, o.shards[2]) {
			t.Errorf("%s: %d bytes are here, %v", name, len(b), err)
		}
		if row := r.ledger(t, o); row.StoredForThem != uint64(o.plan.ShardSize()) {
			t.Errorf("%s: charged %d bytes", name, row.StoredForThem)
		}
	}
}

func TestADamagedPlanBlocksNothing(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	if _, err := o.push(t, r, 0); err != nil {
		t.Fatal(err)
	}
	key := "plan" + o.plan.Tessera.String()
	r.papers[key] = r.papers[key][:200]
	if _, err := o.push(t, r, 1); err != nil || !bytes.Equal(r.papers[key], o.plan.Bytes()) {
		t.Errorf("another fragment: %v", err)
	}
	r.papers[key] = []byte("rotten")
	tomb, err := tessera.SignTombstone(o.plan.Tessera, time.Now(), o.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Forget(t.Context(), tomb.Bytes()); n != 2 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	if n, err := r.Forget(t.Context(), tomb.Bytes()); n != 0 || wire.CodeOf(err) != wire.Code_NOT_FOUND {
		t.Errorf("told twice: %d, %v", n, err)
	}
}

func TestTheOwnersWordSentBackDoesNotHideItsHolders(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	holder := catalog.Holder{Tessera: o.plan.Tessera, Key: sdk.NodeKey{1}, Fragments: []catalog.HeldFragment{{Index: 1}}}
	err := r.catalog.Update(func(tx *catalog.Tx) error {
		return errors.Join(tx.PutHolder(holder), tx.PutPlan(catalog.PlanRow{
			Tessera: o.plan.Tessera, Owner: o.who.Owner.Key(), Data: 3, Parity: 2, Copies: 1, ShardSize: o.plan.ShardSize(), Own: true,
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	tomb, err := tessera.SignTombstone(o.plan.Tessera, time.Now(), o.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Forget(t.Context(), tomb.Bytes()); err != nil {
		t.Fatal(err)
	}
	err = r.catalog.View(func(tx *catalog.Tx) error { _, err := tx.Plan(o.plan.Tessera); return err })
	if err != nil {
		t.Errorf("the owner cannot tell the other holders any more: %v", err)
	}
}

func TestADeletionWhileTheBodyComesIsHeard(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	if _, err := o.push(t, r, 0); err != nil {
		t.Fatal(err)
	}
	tomb, err := tessera.SignTombstone(o.plan.Tessera, time.Now(), o.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(o.shards[1])
	late := readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		if err == io.EOF {
			if _, forgot := r.Forget(t.Context(), tomb.Bytes()); forgot != nil && wire.CodeOf(forgot) != wire.Code_NOT_FOUND {
				t.Error(forgot)
			}
		}
		return n, err
	})
	if _, err := r.Replicate(t.Context(), o.sender, o.header(1), late); wire.CodeOf(err) != wire.Code_DELETED {
		t.Errorf("taken after the deletion: %v", err)
	}
	if row := r.ledger(t, o); row.StoredForThem != 0 {
		t.Errorf("charged %d bytes", row.StoredForThem)
	}
}

func TestASenderThatBreaksOffIsNoFaultOfThisDisk(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	gone := errors.New("peer closed the connection")
	_, err := r.Replicate(t.Context(), o.sender, o.header(1), io.MultiReader(bytes.NewReader(o.shards[1][:9]), iotest.ErrReader(gone)))
	if !errors.Is(err, gone) || wire.CodeOf(err) != wire.Code_OK {
		t.Errorf("taken for %v", err)
	}
	r.isEmpty(t, o)
}
