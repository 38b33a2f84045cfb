package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestADiskThatIsGoneIsNoLoss unmounts a holder's objects, leaving an empty folder in their place, while
// it runs and before it starts.
func TestADiskThatIsGoneIsNoLoss(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.nodes[1]
	kept := holder.held(made.ID)
	objects, away := filepath.Join(holder.dir, "objects"), filepath.Join(t.TempDir(), "disk")
	if err := os.Rename(objects, away); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(objects, 0o700); err != nil {
		t.Fatal(err)
	}
	asker := v.stranger()
	client := peer.NewClient(asker.net, asker.id.Node.Key())
	code := func(m *member) wire.Code {
		_, _, _, err := client.Attest(t.Context(), asker.contact(m), []sdk.TesseraID{made.ID})
		return wire.CodeOf(err)
	}
	v.eventually("the holder to notice", func() bool { return code(holder) == wire.Code_MAINTENANCE })
	if err := holder.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("a round without a disk: %v", err)
	}
	if _, err := holder.Create(t.Context(), streamed(t, folder(t, small))); localapi.CodeOf(err) != localapi.CodeFailed {
		t.Errorf("created without a disk: %v", err)
	}
	unharmed := func(when string, m *member) {
		t.Helper()
		owner.round()
		s := owner.status(made.ID)
		at := slices.IndexFunc(s.Holders, func(h localapi.Holder) bool { return h.Node == m.id() })
		if s.Health != "healthy" || at < 0 || s.Holders[at].Failed || len(s.Holders[at].Fragments) != len(kept) {
			t.Errorf("%s: %s, %+v", when, s.Health, s.Holders)
		}
		if len(m.held(made.ID)) != len(kept) {
			t.Errorf("%s: it knows of %d of %d fragments", when, len(m.held(made.ID)), len(kept))
		}
	}
	unharmed("while the disk is gone", holder)
	says := func(n string) bool { return strings.HasPrefix(n, "This node gives and takes nothing now, ") }
	if s := holder.status(made.ID); !slices.ContainsFunc(s.Notes, says) || slices.ContainsFunc(owner.status(made.ID).Notes, says) {
		t.Errorf("its own status says %q", s.Notes)
	}

	holder = holder.restart()
	if c := code(holder); c != wire.Code_MAINTENANCE {
		t.Errorf("started without its disk it answers %s", c)
	}
	if met, err := asker.net.Dial(t.Context(), asker.contact(holder)); err != nil || met.Capabilities != quicnet.CapMaintenance {
		t.Errorf("it says Hello with capabilities %b, %v", met.Capabilities, err)
	}
	if err := os.RemoveAll(objects); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, objects); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holder to notice that the disk is back", func() bool { return code(holder) == wire.Code_OK })
	v.eventually("the owner to meet it", func() bool {
		peers, err := owner.Peers(t.Context())
		return err == nil && slices.ContainsFunc(peers, func(p localapi.Peer) bool { return p.Addr == holder.Addr().String() })
	})
	unharmed("when the disk is back", holder)
	if s := owner.status(made.ID); s.Fragments.Proven != 24 {
		t.Errorf("%d of 24 are proven", s.Fragments.Proven)
	}
}
