package host_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/sdk"
)

func TestOneFragmentTooFew(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	original := folder(t, medium)
	made := create(t, owner, original)
	owner.publish(made.ID)
	owner.stop()
	gone := v.nodes[:3] // three fragments each: 15 of the 16 needed are left
	for _, m := range gone {
		m.stop()
	}
	heir := v.add()
	_, err := heir.Fetch(t.Context(), made.ID, noProgress)
	var few *gather.InsufficientError
	if localapi.CodeOf(err) != localapi.CodeCannotRestore || !errors.As(err, &few) || few.Have != 15 || few.Need != 16 {
		t.Fatalf("fetch with 15 fragments: %v, code %d", err, localapi.CodeOf(err))
	}
	if hint := localapi.HintOf(err); !strings.Contains(hint, "what was fetched is kept") {
		t.Errorf("hint %q", hint)
	}
	if n := heir.shards(made.ID); n != 15 {
		t.Errorf("%d shards are kept", n)
	}

	// the node itself may come and go meanwhile
	back := v.addAt(gone[0].dir)
	heir = heir.restart()
	v.meet(heir, 6)
	who, fragments := served(fetch(t, heir, made.ID, original))
	if fragments != 1 || len(who) != 1 || who[0] != back.id() {
		t.Errorf("%d fragments were fetched from %v, want the one that was missing from %s", fragments, who, back.id())
	}
	if n := heir.shards(made.ID); n != 0 {
		t.Errorf("%d shards are left in the spool", n)
	}
}

// shards counts the whole shards in the spool of a restore.
func (m *member) shards(id sdk.TesseraID) int {
	found, err := filepath.Glob(filepath.Join(m.dir, "spool", "restore-"+id.String(), "*.shard"))
	if err != nil {
		m.v.t.Fatal(err)
	}
	return len(found)
}

func TestAnIDNobodyKnows(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 2)
	_, err := owner.Fetch(t.Context(), sdk.TesseraID{1, 2, 3}, noProgress)
	if localapi.CodeOf(err) != localapi.CodeCannotRestore || !errors.Is(err, restore.ErrNoPlan) || localapi.HintOf(err) == "" {
		t.Errorf("fetch: %v, code %d, hint %q", err, localapi.CodeOf(err), localapi.HintOf(err))
	}
	if want := "restore 01020300: nobody who could be reached holds it: 2 peers were asked"; err.Error() != want {
		t.Errorf("fetch says %q, want %q", err, want)
	}
	alone := (&village{t: t, seats: v.seats}).add()
	_, err = alone.Fetch(t.Context(), sdk.TesseraID{1, 2, 3}, noProgress)
	if localapi.CodeOf(err) != localapi.CodeCannotRestore {
		t.Errorf("fetch where there is no network: %v", err)
	}
	for name, err := range map[string]error{
		"publish": errOf(owner.Publish(t.Context(), sdk.TesseraID{1}, localapi.PublishOptions{}, noProgress)),
		"repair":  errOf(owner.RepairRun(t.Context(), sdk.TesseraID{1}, noProgress)),
		"status":  errOf(owner.Status(t.Context(), sdk.TesseraID{1})),
		"delete":  errOf(owner.Delete(t.Context(), sdk.TesseraID{1})),
	} {
		if localapi.CodeOf(err) != localapi.CodeNotFound {
			t.Errorf("%s of an unknown id: %v", name, err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestFetchesOfOneTesseraDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	original := folder(t, medium)
	made := create(t, owner, original)
	owner.publish(made.ID)
	heir := v.add()
	opened := make([]localapi.Packed, 3)
	var all sync.WaitGroup
	for i := range opened {
		all.Go(func() {
			var err error
			if opened[i], err = heir.Fetch(t.Context(), made.ID, noProgress); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	if err := opened[0].Write(failing{}); err == nil {
		t.Error("a stream that broke off ended well")
	}
	for _, p := range opened[1:] {
		all.Go(func() {
			var n counter
			if err := p.Write(&n); err != nil || int64(n) != p.Size {
				t.Errorf("%d of %d bytes: %v", n, p.Size, err)
			}
		})
	}
	all.Wait()
	fetch(t, heir, made.ID, original)
	if heir.spooled() != 0 {
		t.Errorf("%d files are left in the spool", heir.spooled())
	}
}

// failing takes nothing.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
