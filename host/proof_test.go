package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// opened counts the object files that are opened on a disk.
type opened struct {
	vfs.FS
	blobs atomic.Int32
}

func (o *opened) Open(name string) (vfs.File, error) {
	if strings.HasSuffix(name, ".blob") {
		o.blobs.Add(1)
	}
	return o.FS.Open(name)
}

// TestAnAttestationReadsNoObject counts at the disk while a whole node answers over QUIC.
func TestAnAttestationReadsNoObject(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	disk := &opened{}
	holder := v.addThrough(func(fs vfs.FS) vfs.FS { disk.FS = fs; return disk }, t.TempDir())
	for range 6 {
		v.add()
	}
	owner := v.add()
	v.meet(owner, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	asker := v.stranger()
	client := peer.NewClient(asker.net, asker.id.Node.Key())
	disk.blobs.Store(0)
	_, held, covered, err := client.Attest(t.Context(), asker.contact(holder), []sdk.TesseraID{made.ID})
	if err != nil || covered != 1 || len(held) != 1 || len(held[0].Fragments) < 3 {
		t.Fatalf("attested %+v, %d covered, %v", held, covered, err)
	}
	if n := disk.blobs.Load(); n != 0 {
		t.Errorf("an attestation opened %d objects", n)
	}
	f := held[0].Fragments[0]
	claim := proof.Claim{Tessera: made.ID, Index: f.Index, Checksum: f.Checksum, Size: owner.shard(made.ID)}
	if _, err := client.Prove(t.Context(), asker.contact(holder), claim, [32]byte{1}, true); err != nil {
		t.Error(err)
	}
	if n := disk.blobs.Load(); n == 0 {
		t.Error("a proof opened no object: the count shows nothing")
	}
}

// TestALostObjectIsFoundOutAndMadeGood deletes an object under a holder and keeps its index: the next
// round's proof fails, the fragment is rebuilt elsewhere, and status says so.
func TestALostObjectIsFoundOutAndMadeGood(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	owner.round()
	before := owner.status(made.ID)
	if before.Fragments.Proven != 24 || before.Health != "healthy" {
		t.Fatalf("after a round: %+v", before.Fragments)
	}
	for _, h := range before.Holders {
		if h.Failed || h.LastProven.IsZero() {
			t.Errorf("an honest holder: %+v", h)
		}
	}
	lossy := v.nodes[2]
	lost := lossy.held(made.ID)[1]
	if err := os.Remove(filepath.Join(lossy.dir, cas.Path(lost.Hash))); err != nil {
		t.Fatal(err)
	}
	owner.round() // found out and rebuilt
	for _, h := range owner.status(made.ID).Holders {
		has := slices.Contains(h.Fragments, lost.Index)
		if h.Node == lossy.id() && (!h.Failed || has || h.Note != "failed a proof: only these count") {
			t.Errorf("the holder that lost fragment %d is down as %+v", lost.Index, h)
		}
	}
	lossy.knowsDamage(lost.Hash)
	owner.round() // seen at its new holder
	after := owner.status(made.ID)
	if after.Health != "healthy" || after.Fragments.Held != 24 || after.Fragments.Proven != 24 {
		t.Errorf("after two more: %s, %+v", after.Health, after.Fragments)
	}
	elsewhere := false
	for _, h := range after.Holders {
		has := slices.Contains(h.Fragments, lost.Index)
		switch {
		case h.Node == lossy.id() && (h.Failed || has):
			t.Errorf("the holder that owns up to the loss of fragment %d is down as %+v", lost.Index, h)
		case h.Node != lossy.id() && has:
			elsewhere = true
		}
	}
	if !elsewhere {
		t.Errorf("nobody else has fragment %d", lost.Index)
	}
	if row := owner.account(lossy.owner()); row.TheyStoreForUs != uint64(len(lossy.held(made.ID))-1)*uint64(lost.Size) {
		t.Errorf("the holder is credited with %d bytes", row.TheyStoreForUs)
	}
}

// TestWhatAHolderLostIsRebuiltElsewhere deletes an object under a holder that finds it out itself before anybody asks
// for a proof. It owns up, and has the fewest fragments then: another gets what it lost all the same, the status says
// so, and the holder leaves it there.
func TestWhatAHolderLostIsRebuiltElsewhere(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	lossy := v.nodes[2]
	lost := lossy.held(made.ID)[1]
	lossy.misses(lost.Hash)
	lossy.round() // it looks, and leaves it to the others for now
	lossy.knowsDamage(lost.Hash)
	owner.round()
	owner.round()
	at := func(s localapi.Status) (who []sdk.NodeID) {
		for _, h := range s.Holders {
			if slices.Contains(h.Fragments, lost.Index) {
				who = append(who, h.Node)
			}
		}
		return who
	}
	s := owner.status(made.ID)
	if who := at(s); len(who) != 1 || who[0] == lossy.id() || s.Health != "healthy" || s.Fragments.Proven != 24 {
		t.Fatalf("after it owned up the fragment is at %v: %s, %+v", who, s.Health, s.Fragments)
	}
	says := fmt.Sprintf("%s lost fragment %d, found out ", lossy.id().String()[:12], lost.Index)
	if len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], says) || !strings.HasSuffix(s.Notes[0], ": rebuilt elsewhere.") {
		t.Errorf("the notes say %q", s.Notes)
	}
	if r := lossy.repair(made.ID); r.Failed != 0 || r.CorruptHealed != 0 {
		t.Errorf("the holder repairs %+v", r)
	}
	if f := lossy.held(made.ID); slices.ContainsFunc(f, func(f catalog.FragmentRef) bool { return f.Index == lost.Index }) || len(f) != 2 {
		t.Errorf("the holder keeps %+v of it", f)
	}
	if found := lossy.scrubs(); found.Corrupt != 0 {
		t.Errorf("the holder's scrub finds %+v", found)
	}
	if row := owner.account(lossy.owner()); row.TheyStoreForUs != 2*uint64(lost.Size) {
		t.Errorf("the holder is credited with %d bytes", row.TheyStoreForUs)
	}
}

// TestAHolderThatLostAllIsTakenBack: seven holders are wanted, and there are no others. One fails its proofs because it
// lost all it had, and has nothing left that it could prove: it is no worse than nobody, and counts again with what it
// gets.
func TestAHolderThatLostAllIsTakenBack(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	lossy := v.nodes[2]
	lost := lossy.held(made.ID)
	for _, f := range lost {
		lossy.misses(f.Hash)
	}
	for rounds := 0; rounds < 4; rounds++ {
		owner.round()
		if rounds == 0 {
			for _, f := range lost {
				lossy.knowsDamage(f.Hash)
			}
		}
	}
	s := owner.status(made.ID)
	at := slices.IndexFunc(s.Holders, func(h localapi.Holder) bool { return h.Node == lossy.id() })
	if s.Health != "healthy" || s.Fragments.Proven != 24 || at < 0 || s.Holders[at].Failed {
		t.Errorf("after four rounds: %s, %+v, %+v", s.Health, s.Fragments, s.Holders)
	}
}

// misses deletes an object under a node.
func (m *member) misses(h digest.Hash) {
	m.v.t.Helper()
	if err := os.Remove(m.object(h)); err != nil {
		m.v.t.Fatal(err)
	}
}

// knowsDamage waits until a node has written down that an object is damaged.
func (m *member) knowsDamage(h digest.Hash) {
	m.v.t.Helper()
	m.v.eventually("the damage to be known", func() bool {
		return m.has(func(tx *catalog.Tx) bool { _, err := tx.Damage(h); return err == nil })
	})
}

// TestAHolderThatMadeItGoodCountsAgain: what a holder gets back it can prove again, and then it counts as before.
func TestAHolderThatMadeItGoodCountsAgain(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	lossy := v.nodes[0]
	copied := lossy.held(made.ID)[0].Hash
	path := lossy.object(copied)
	whole := read(t, path)
	spoil(t, path, func(b []byte) []byte { return make([]byte, len(b)) })
	owner.round()
	failed := func() bool {
		s := owner.status(made.ID)
		at := slices.IndexFunc(s.Holders, func(h localapi.Holder) bool { return h.Node == lossy.id() })
		return at >= 0 && s.Holders[at].Failed && s.Holders[at].Note == "failed a proof: does not count"
	}
	if !failed() || owner.status(made.ID).Health == "healthy" {
		t.Error("a copy is zeroes, and it counts")
	}
	lossy.knowsDamage(copied)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := lossy.scrubs(); found.Healed != 1 {
		t.Errorf("the holder's scrub finds %+v", found)
	}
	owner.round()
	if s := owner.status(made.ID); failed() || s.Health != "healthy" || s.Fragments.Proven != 7 {
		t.Errorf("after it is right again: %+v", s)
	}
}
