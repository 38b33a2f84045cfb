package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// fallsShort publishes, waits in vain for the target, and returns what it was told.
func (m *member) fallsShort(id sdk.TesseraID) (localapi.Published, string) {
	m.v.t.Helper()
	if _, err := m.Publish(m.v.t.Context(), id, localapi.PublishOptions{}, noProgress); err != nil {
		m.v.t.Fatal(err)
	}
	o := localapi.PublishOptions{Wait: true, Timeout: 100 * time.Millisecond}
	p, err := m.Publish(m.v.t.Context(), id, o, noProgress)
	for err != nil && !strings.Contains(err.Error(), "wanted: ") && o.Timeout < time.Minute {
		o.Timeout *= 4 // it was cut short before it knew why
		p, err = m.Publish(m.v.t.Context(), id, o, noProgress)
	}
	if localapi.CodeOf(err) != localapi.CodeBelowTarget || localapi.HintOf(err) == "" {
		m.v.t.Fatalf("publish: %v, code %d, hint %q", err, localapi.CodeOf(err), localapi.HintOf(err))
	}
	return p, err.Error()
}

func TestTooFewPeersIsSaidAndMadeGoodWhenMoreCome(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 3)
	originals := map[sdk.TesseraID]string{}
	for _, c := range []struct {
		sizes    map[string]int
		want     string
		placed   int
		survives int
	}{
		{small, "3 of 7 fragments have a holder, on 3 peers of the 7 wanted: ", 3, 2},
		{medium, "24 of 24 fragments have a holder, on 3 peers of the 7 wanted: ", 24, 1},
	} {
		original := folder(t, c.sizes)
		made := create(t, owner, original)
		originals[made.ID] = original
		p, why := owner.fallsShort(made.ID)
		if p.Placed != c.placed || p.Peers != 3 || p.SurvivesPeers != c.survives || p.AtTarget || !strings.Contains(why, c.want) {
			t.Errorf("published %+v: %s", p, why)
		}
		s := owner.status(made.ID)
		if s.Health == "healthy" || len(s.Notes) == 0 || !strings.Contains(s.Notes[0], "on 3 peers; 7 are wanted") {
			t.Errorf("status %+v", s)
		}
	}

	for range 5 {
		v.add()
	}
	owner.healthy()
	for id, original := range originals {
		v.eventually("the newcomers to have their share", func() bool {
			s := owner.status(id)
			return len(s.Holders) >= 7 && s.Survives.Peers >= 2
		})
		for _, m := range v.nodes[4:] {
			if n := len(m.held(id)); n > 3 {
				t.Errorf("a newcomer got %d fragments, its share is 3", n)
			}
		}
		fetch(t, v.nodes[8], id, original)
	}
	v.eventually("the node to note that its work is done", func() bool {
		return !owner.has(func(tx *catalog.Tx) (open bool) {
			for t, err := range tx.Tesseras() {
				open = open || err != nil || !t.Published
			}
			return open
		})
	})
}

// has asks the index of a running node.
func (m *member) has(question func(*catalog.Tx) bool) (yes bool) {
	m.v.t.Helper()
	err := m.View(func(tx *catalog.Tx) error { yes = question(tx); return nil })
	if err != nil {
		m.v.t.Fatal(err)
	}
	return yes
}

func TestNobodyIsThereAtFirst(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	made := create(t, owner, folder(t, medium))
	p, why := owner.fallsShort(made.ID)
	if p.Placed != 0 || p.Fragments != 24 || !strings.Contains(why, "0 of 24 fragments have a holder") || !strings.Contains(why, "no peer is left") {
		t.Errorf("published %+v: %s", p, why)
	}
	for range 7 {
		v.add()
	}
	v.eventually("the round that newcomers bring about", func() bool { return owner.status(made.ID).Health == "healthy" })
}

func TestAPublishIsCutShortAndGoesOn(t *testing.T) {
	t.Parallel()
	oneByOne := func(c *config.Config) { c.Replication.ConcurrentTransfers = 1 }
	v, owner := newVillage(t, 7, oneByOne)
	original := folder(t, medium)
	made := create(t, owner, original)
	var first sync.Once
	stopped := make(chan struct{})
	_, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, func(p localapi.Progress) {
		if p.Stage != "pushing" {
			return
		}
		first.Do(func() {
			go func() { defer close(stopped); owner.stop() }()
			<-owner.Closing()
		})
	})
	if err == nil {
		t.Fatal("a publish ended well while its node was stopped")
	}
	<-stopped
	before := read(t, owner.plan(made.ID))
	if placed := v.placed(made.ID); placed == 0 || placed == 24 {
		t.Fatalf("%d fragments were placed: not cut short in the middle", placed)
	}

	again := v.addAt(owner.dir)
	again.healthy()
	if n := v.placed(made.ID); n != 24 {
		t.Errorf("%d fragments at holders", n)
	}
	if given := v.given(made.ID); given > 25 {
		t.Errorf("%d receipts for 24 fragments: what was placed before was pushed again", given)
	}
	if !bytes.Equal(before, read(t, again.plan(made.ID))) {
		t.Error("the plan is another after the restart")
	}
	v.eventually("the spool to be empty", func() bool { return again.spooled() == 0 })
	again.stop()
	fetch(t, v.nodes[0], made.ID, original)
}

// placed counts the fragments of a tessera at running nodes.
func (v *village) placed(id sdk.TesseraID) (n int) {
	for _, m := range v.holdersOf(id) {
		n += len(m.held(id))
	}
	return n
}

// given counts the receipts the running nodes gave for a tessera.
func (v *village) given(id sdk.TesseraID) (n int) {
	v.t.Helper()
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		for _, r := range receipts(v.t, m, holders.RecordGiven) {
			if r.Tessera == id {
				n++
			}
		}
	}
	return n
}

// spooled counts what lies in a node's spool.
func (m *member) spooled() int {
	found, err := filepath.Glob(filepath.Join(m.dir, "spool", "*", "*"))
	if err != nil {
		m.v.t.Fatal(err)
	}
	return len(found)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPublishingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	other := create(t, owner, folder(t, small)) // the good one beside it
	owner.publish(other.ID)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	plan, given := read(t, owner.plan(made.ID)), v.given(made.ID)
	owner.publish(made.ID)

	if err := os.WriteFile(owner.plan(made.ID), []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := owner.status(made.ID); s.Health != "corrupt_local" || len(s.Damage) != 1 {
		t.Errorf("with a damaged plan: %+v", s)
	}
	if all, err := owner.List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("one damaged plan hides the others: %v, %v", all, err)
	}
	report := owner.repair(sdk.TesseraID{})
	if report.Checked != 2 || report.Healthy != 1 || report.Failed != 1 || report.Failures[0].ID != made.ID {
		t.Errorf("repair beside a damaged plan: %+v", report)
	}
	owner.publish(made.ID)
	if !bytes.Equal(plan, read(t, owner.plan(made.ID))) {
		t.Error("the plan made again has other bytes")
	}

	if err := os.Remove(owner.plan(made.ID)); err != nil {
		t.Fatal(err)
	}
	if err := owner.Round(t.Context()); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(plan, read(t, owner.plan(made.ID))) {
		t.Error("the plan made in a maintenance round has other bytes")
	}
	if n := v.given(made.ID); n != given {
		t.Errorf("%d receipts after publishing again, %d before", n, given)
	}
	if owner.spooled() != 0 {
		t.Error("something is left in the spool")
	}
}

func TestSilentHoldersThatCameBackCountForWhoWaits(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	owner.publish(made.ID)
	away := v.nodes[3]
	away.stop()
	if report := owner.repair(made.ID); report.Failed != 1 {
		t.Errorf("with six peers for seven copies: %+v", report)
	}
	v.addAt(away.dir)
	if p := owner.publish(made.ID); p.Placed != 7 || v.placed(made.ID) != 7 {
		t.Errorf("published %+v, %d copies", p, v.placed(made.ID))
	}
}
