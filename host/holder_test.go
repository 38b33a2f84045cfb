package host_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// impatient closes connections as soon as nothing goes over them, so that every question dials.
func impatient(c *config.Config) {
	c.Performance.IdleTimeout, c.Performance.ReaperInterval = config.Duration(20*time.Millisecond), config.Duration(10*time.Millisecond)
}

func TestAHolderIsFoundWhereItIsNow(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7, impatient)
	original := folder(t, small)
	made := create(t, owner, original)
	owner.publish(made.ID)
	moved := v.nodes[2].restart()
	v.eventually("the owner to meet the holder again", func() bool {
		peers, err := owner.Peers(t.Context())
		for _, p := range peers {
			if p.Node == moved.id() && p.Addr == moved.Addr().String() {
				return true
			}
		}
		return err != nil
	})
	if report := owner.repair(made.ID); report.Healthy != 1 || report.RebuiltFragments != 0 {
		t.Errorf("repair %+v: a holder at a new address is no loss", report)
	}
	for _, h := range owner.status(made.ID).Holders {
		if h.Node == moved.id() && (h.Failed || h.Addr != moved.Addr().String()) {
			t.Errorf("the holder at %s is down as %+v", moved.Addr(), h)
		}
	}

	// with all the others gone its new address is where the copy comes from
	for _, m := range v.nodes {
		if m != moved {
			m.stop()
		}
	}
	heir := v.add(bootstrapAt(moved))
	if who, _ := served(fetch(t, heir, made.ID, original)); len(who) != 1 || who[0] != moved.id() {
		t.Errorf("served by %v", who)
	}
}

func TestADeletionReachesTheHolders(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	kept, made := create(t, owner, folder(t, small)), create(t, owner, folder(t, medium))
	owner.publish(kept.ID)
	owner.publish(made.ID)
	plan := read(t, owner.plan(made.ID))
	witness := v.holdersOf(made.ID)[0]
	ref := witness.held(made.ID)[0]
	object := read(t, filepath.Join(witness.dir, cas.Path(ref.Hash)))
	away := v.nodes[5]
	away.stop()

	deleted, err := owner.Delete(t.Context(), made.ID)
	if err != nil || deleted.FreedBytes == 0 {
		t.Errorf("deleted %+v, %v", deleted, err)
	}
	v.eventually("the holders that are there to forget", func() bool { return v.placed(made.ID) == 0 })
	for _, m := range v.nodes[:7] {
		if !m.stopped {
			m.hasForgotten(t, made.ID)
		}
	}
	if !owner.keepsPlanRow(made.ID) {
		t.Error("the owner has forgotten the holder that does not know yet")
	}

	back := v.addAt(away.dir)
	v.eventually("the last holder to forget", func() bool { return len(back.held(made.ID)) == 0 })
	v.eventually("the owner to be done", func() bool { return !owner.keepsPlanRow(made.ID) })
	back.hasForgotten(t, made.ID)
	if _, err := os.Stat(owner.plan(made.ID)); err == nil {
		t.Error("the owner keeps the plan")
	}
	if _, err := os.Stat(owner.document(made.ID, ".tomb")); err != nil {
		t.Errorf("the owner's tombstone: %v", err)
	}

	// the owner's word is final: nobody brings it back, not even with the plan and the bytes
	if code := v.stranger().offers(witness, plan, ref.Index, object); code != wire.Code_DELETED {
		t.Errorf("pushed again: %s", code)
	}
	if _, err := witness.Fetch(t.Context(), made.ID, noProgress); localapi.CodeOf(err) != localapi.CodeNotFound {
		t.Errorf("fetched after deletion: %v", err)
	}
	owner.healthy()
	if v.placed(kept.ID) != 7 {
		t.Errorf("%d copies of the other tessera", v.placed(kept.ID))
	}
}

func (m *member) keepsPlanRow(id sdk.TesseraID) bool {
	return m.has(func(tx *catalog.Tx) bool { _, err := tx.Plan(id); return err == nil })
}

// hasForgotten checks that a holder has nothing of a tessera but the tombstone.
func (m *member) hasForgotten(t *testing.T, id sdk.TesseraID) {
	t.Helper()
	m.v.eventually("the plan to go", func() bool { _, err := os.Stat(m.plan(id)); return err != nil })
	tomb, err := tessera.ParseTombstone(read(t, m.document(id, ".tomb")))
	if err != nil || tomb.Tessera != id {
		t.Errorf("tombstone of %s: %v", tomb.Tessera, err)
	}
	wanted := map[string]bool{}
	err = m.View(func(tx *catalog.Tx) error {
		for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
			if err != nil {
				return err
			}
			wanted[filepath.Base(cas.Path(f.Hash))] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(m.dir, "objects", "??", "*.blob"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !wanted[filepath.Base(f)] {
			t.Errorf("an object of a deleted tessera is left: %s", f)
		}
	}
}

func TestADeletionEndsAPublish(t *testing.T) {
	t.Parallel()
	oneByOne := func(c *config.Config) { c.Replication.ConcurrentTransfers = 1 }
	v, owner := newVillage(t, 4, oneByOne)
	made := create(t, owner, folder(t, medium))
	_, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, func(p localapi.Progress) {
		if p.Stage != "pushing" {
			return
		}
		if _, err := owner.Delete(t.Context(), made.ID); err != nil && localapi.CodeOf(err) != localapi.CodeNotFound {
			t.Error(err)
		}
	})
	if err == nil {
		t.Error("a publish ended well whose tessera was deleted on the way")
	}
	v.eventually("the holders to forget what they had got, and the owner too", func() bool {
		return v.placed(made.ID) == 0 && !owner.keepsPlanRow(made.ID) && owner.spooled() == 0
	})
}

func TestADamagedFragmentIsNotAcknowledgedAgain(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	plan, holder := read(t, owner.plan(made.ID)), v.nodes[0]
	ref := holder.held(made.ID)[0]
	path := filepath.Join(holder.dir, cas.Path(ref.Hash))
	whole := read(t, path)
	spoil(t, path, flip)

	s := v.stranger()
	if code := s.offers(holder, plan, ref.Index, flip(whole)); code != wire.Code_HASH_MISMATCH {
		t.Errorf("the same wrong bytes are offered for a damaged file: %s", code)
	}
	if code := s.offers(holder, plan, ref.Index, whole); code != wire.Code_OK {
		t.Errorf("the right bytes are offered for a damaged file: %s", code)
	}
	if !bytes.Equal(read(t, path), whole) {
		t.Error("the damaged file was acknowledged as it is")
	}
}

// offers pushes a fragment and gives the code of the answer.
func (s *stranger) offers(to *member, plan []byte, index int, body []byte) wire.Code {
	s.t.Helper()
	p := parsePlan(s.t, plan)
	client := peer.NewClient(s.net, s.id.Node.Key())
	_, err := client.Push(s.t.Context(), s.contact(to), p.Envelope(index, bytes.NewReader(body)), wire.Purpose_CUSTODY)
	if err != nil && wire.CodeOf(err) == wire.Code_OK {
		s.t.Errorf("offer: %v", err)
	}
	return wire.CodeOf(err)
}

// TestAHolderThatHasNotAskedDoesNotCallItLost asks a holder of a few fragments before its first round, and
// again when a round has found that nobody else is there.
func TestAHolderThatHasNotAskedDoesNotCallItLost(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	st := holder.status(made.ID)
	if st.Health != "needs_replication" || !slices.ContainsFunc(st.Notes, func(n string) bool { return strings.HasPrefix(n, "The others were not asked yet") }) {
		t.Errorf("before a round %+v", st)
	}
	for _, m := range v.nodes {
		m.stop()
	}
	often := func(c *config.Config) { c.Replication.RepairInterval = config.Duration(time.Second) }
	back := holder.restart(often)
	v.eventually("a round to find that it is lost", func() bool { return back.status(made.ID).Health == "unrecoverable" })
}

// TestAHolderTellsWhatItSawLast: a holder that leaves it to others to check a tessera of somebody else's takes what
// it saw itself for true until it is to check again, and says when that was.
func TestAHolderTellsWhatItSawLast(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	daily := func(c *config.Config) {
		c.Replication.RepairInterval, c.Replication.RepairJitter = config.Duration(24*time.Hour), config.Duration(2*time.Hour)
	}
	for range 9 {
		v.add(daily)
	}
	owner := v.nodes[8]
	v.meet(owner, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	for range 8 { // in one of so many rounds it is its turn to check
		holder.round()
	}
	for _, tt := range []struct {
		ago    time.Duration
		health string
		held   int
		note   string
	}{
		{0, "healthy", 24, ""},
		{5 * 24 * time.Hour, "healthy", 24, "This is as of 5 days ago, when this node last checked it; other holders check it more often."},
		{15 * 24 * time.Hour, "unrecoverable", len(holder.held(made.ID)), ""},
	} {
		holder.ages(made.ID, tt.ago)
		s := holder.status(made.ID)
		noted := slices.ContainsFunc(s.Notes, func(n string) bool { return strings.HasPrefix(n, "This is as of ") })
		if s.Health != tt.health || s.Fragments.Held != tt.held || noted != (tt.note != "") || noted && !slices.Contains(s.Notes, tt.note) {
			t.Errorf("after %s: %s, %+v, %q", tt.ago, s.Health, s.Fragments, s.Notes)
		}
	}
}

// ages has a node know of the other holders of a tessera what it knows, but for so much longer.
func (m *member) ages(id sdk.TesseraID, by time.Duration) {
	m.v.t.Helper()
	earlier := func(at time.Time) time.Time {
		if at.IsZero() {
			return at
		}
		return at.Add(-by)
	}
	err := m.Update(func(tx *catalog.Tx) error {
		var all []catalog.Holder
		for h, err := range tx.HoldersOf(id) {
			if err != nil {
				return err
			}
			all = append(all, h)
		}
		for _, h := range all {
			h.LastSeen = earlier(h.LastSeen)
			for i, f := range h.Fragments {
				h.Fragments[i].Acked, h.Fragments[i].Proven = earlier(f.Acked), earlier(f.Proven)
			}
			audit, err := tx.Audit(h.Key)
			if err != nil {
				return err
			}
			audit.Passed = earlier(audit.Passed)
			if err := errors.Join(tx.PutHolder(h), tx.PutAudit(audit)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
}
