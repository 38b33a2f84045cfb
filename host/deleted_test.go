package host_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhatItsOwnerDeletedIsGoneForEverybody asks the owner and a holder, both of which still have the plan,
// for a tessera that was deleted.
func TestWhatItsOwnerDeletedIsGoneForEverybody(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	kept, made := create(t, owner, folder(t, small)), create(t, owner, folder(t, medium))
	owner.publish(kept.ID)
	owner.publish(made.ID)
	away := v.nodes[5]
	away.stop()
	if _, err := owner.Delete(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(owner.plan(made.ID)); err != nil {
		t.Errorf("there is a holder to be told, and no plan: %v", err)
	}
	owner.saysDeleted(made.ID)
	tomb := read(t, owner.document(made.ID, ".tomb"))
	owner.stop()

	bury(t, away.document(made.ID, ".tomb"), tomb)
	bury(t, away.document(kept.ID, ".tomb"), forged(t, kept.ID))
	back := v.addAt(away.dir)
	back.saysDeleted(made.ID)
	back.status(kept.ID)
}

func bury(t *testing.T, path string, tomb []byte) {
	t.Helper()
	if err := os.WriteFile(path, tomb, 0o600); err != nil {
		t.Fatal(err)
	}
}

// forged is a tombstone that somebody signed who is not the owner.
func forged(t *testing.T, id sdk.TesseraID) []byte {
	t.Helper()
	who, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	tomb, err := tessera.SignTombstone(id, time.Now(), who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	return tomb.Bytes()
}

// saysDeleted asks a node in every way there is for a tessera that its owner deleted.
func (m *member) saysDeleted(id sdk.TesseraID) {
	m.v.t.Helper()
	ctx := m.v.t.Context()
	for verb, err := range map[string]error{
		"status":  errOf(m.Status(ctx, id)),
		"show":    errOf(m.Show(ctx, id)),
		"verify":  errOf(m.Verify(ctx, id, noProgress)),
		"export":  errOf(m.Pack(ctx, id)),
		"delete":  errOf(m.Delete(ctx, id)),
		"publish": errOf(m.Publish(ctx, id, localapi.PublishOptions{}, noProgress)),
		"fetch":   errOf(m.Fetch(ctx, id, noProgress)),
	} {
		if localapi.CodeOf(err) != localapi.CodeNotFound || !strings.HasPrefix(err.Error(), id.String()+": its owner deleted it on 20") {
			m.v.t.Errorf("%s: code %d, %v", verb, localapi.CodeOf(err), err)
		}
	}
	known, err := m.Known(ctx)
	if err != nil {
		m.v.t.Fatal(err)
	}
	if !slices.Contains(known, id) {
		m.v.t.Error("a shortened id of it is not understood")
	}
}
