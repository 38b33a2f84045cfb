package host_test

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// objects lists the object files of a node.
func (m *member) objects() []string {
	m.v.t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "objects", "??", "*.blob"))
	if err != nil {
		m.v.t.Fatal(err)
	}
	return files
}

func TestADamagedOwnCopyIsMadeGoodFromPeers(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	original := folder(t, medium)
	made, second := create(t, owner, original), create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.publish(second.ID)
	for _, path := range owner.objects() {
		if len(read(t, path)) > 0 {
			spoil(t, path, flip) // both tesseras
		}
	}
	v.nodes[0].loses(made.ID)
	for _, f := range v.nodes[1].held(made.ID) { // one bad shard of three kinds does not stop the rest
		spoil(t, filepath.Join(v.nodes[1].dir, cas.Path(f.Hash)), map[int]func([]byte) []byte{0: flip, 1: cut, 2: empty}[f.Index%3])
	}
	lossy := v.holdersOf(second.ID)[3]
	lossy.loses(second.ID)

	report := owner.repair(sdk.TesseraID{})
	if report.Checked != 2 || report.Failed != 0 || report.Repaired != 2 || report.RebuiltFragments != 7 {
		t.Errorf("repair %+v, want three lost and three damaged fragments and a copy back", report)
	}
	if s := owner.status(made.ID); s.Health != "healthy" { // the peer that lost some is one of seven that are wanted
		t.Errorf("after the repair: %+v", s)
	}
	if owner.spooled() != 0 {
		t.Errorf("%d files are left in the spool", owner.spooled())
	}
	owner.stop()
	heir := v.add()
	fetch(t, heir, made.ID, original)
}

func empty([]byte) []byte { return nil }

func TestWhatCannotBeHelpedDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	lost, made := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	owner.publish(lost.ID)
	owner.publish(made.ID)
	for _, path := range owner.objects() {
		if len(read(t, path)) > 0 {
			spoil(t, path, flip)
		}
	}
	for _, m := range v.nodes[:3] { // 15 of the 16 fragments needed are left, and no own copy
		m.loses(lost.ID)
	}
	v.holdersOf(made.ID)[2].loses(made.ID)

	report := owner.repair(sdk.TesseraID{})
	if report.Checked != 2 || report.Failed != 1 || report.Failures[0].ID != lost.ID || report.RebuiltFragments != 1 {
		t.Errorf("repair %+v", report)
	}
	if why := report.Failures[0].Why; !strings.Contains(why, "only 15 of the 16 fragments") {
		t.Errorf("the failure says %q", why)
	}
	if s := owner.status(made.ID); s.Health != "healthy" {
		t.Errorf("the other is %+v", s)
	}
}

func TestOnlyThePlansChecksumsAreHeld(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	liar := v.stranger()
	v.meet(owner, 8)
	var taken atomic.Int32
	liar.net.Handle(wire.KindReplicate, func(_ context.Context, from quicnet.Peer, str *quicnet.Stream, m wire.Message) error {
		q := m.(*wire.Replicate)
		if taken.Add(1) > 3 {
			return wire.Refuse(wire.Code_DENIED, "no more")
		}
		plan := parsePlan(t, q.GetPlan())
		if _, err := io.Copy(io.Discard, str.Body(int64(q.GetSize()))); err != nil {
			return err
		}
		return str.Send(wire.SignReceipt(liar.id.Node, wire.Receipt{
			Tessera: plan.Tessera, Owner: plan.Owner(), Index: q.GetIndex(), Checksum: plan.Fragments[q.GetIndex()],
			Size: q.GetSize(), HolderOwner: liar.id.Owner.Key(), Sender: from.Contact.Key, Time: time.Now(),
		}))
	})
	var honest atomic.Bool // about what it was given, that it has not
	honest.Store(true)
	made := create(t, owner, folder(t, medium))
	liar.attests(func(id sdk.TesseraID) (held []wire.HeldFragment) {
		if honest.Load() {
			return nil
		}
		for i := range 24 {
			held = append(held, wire.HeldFragment{Index: i, Checksum: digest.Of([]byte{byte(i)})})
		}
		return held
	})
	owner.publish(made.ID)
	if taken.Load() < 3 {
		t.Fatalf("the liar was given %d fragments", taken.Load())
	}
	if s := owner.status(made.ID); len(s.Holders) != 8 {
		t.Errorf("on %d peers", len(s.Holders))
	}

	honest.Store(false)
	report := owner.repair(made.ID)
	if report.RebuiltFragments != 3 || report.Failed != 0 {
		t.Errorf("repair %+v, want what the liar has wrong rebuilt", report)
	}
	s := owner.status(made.ID)
	if s.Health != "healthy" || slices.ContainsFunc(s.Holders, func(h localapi.Holder) bool { return h.Node == liar.id.Node.ID() }) {
		t.Errorf("status %+v", s)
	}
	if row := owner.account(liar.id.Owner.Key()); row.TheyStoreForUs != 0 {
		t.Errorf("the liar is credited with %d bytes", row.TheyStoreForUs)
	}
}

func TestTheCycleRepairsByItself(t *testing.T) {
	t.Parallel()
	often := func(c *config.Config) { c.Replication.RepairInterval = config.Duration(100 * time.Millisecond) }
	v, owner := newVillage(t, 8, often)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	lost := v.nodes[3].loses(made.ID)
	v.eventually("the fragments that a holder lost to come back, there or elsewhere", func() bool {
		return lost == 3 && v.placed(made.ID) == 24
	})
	v.nodes[6].stop()
	v.eventually("the fragments of a dead holder to come back", func() bool { return v.placed(made.ID) == 24 })
	owner.healthy()
	for _, m := range v.holdersOf(made.ID) {
		if n := len(m.held(made.ID)); n > 4 {
			t.Errorf("a holder has %d of 24 fragments on 7 peers", n)
		}
	}
}

func TestPublishAndRepairDoNotPushTheSame(t *testing.T) {
	t.Parallel()
	oneByOne := func(c *config.Config) { c.Replication.ConcurrentTransfers = 1 }
	v, owner := newVillage(t, 8, oneByOne)
	made := create(t, owner, folder(t, medium))
	repairs := 0
	_, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, func(p localapi.Progress) {
		if p.Stage != "pushing" || repairs >= 3 {
			return
		}
		repairs++
		report := owner.repair(made.ID)
		if report.RebuiltFragments != 0 || report.Failed != 1 || !strings.Contains(report.Failures[0].Why, "moved already") {
			t.Errorf("a repair beside a publish: %+v", report)
		}
		if err := owner.Round(t.Context()); err != nil {
			t.Errorf("a maintenance round beside a publish: %v", err)
		}
	})
	if err != nil || repairs != 3 {
		t.Fatalf("%v, %d repairs", err, repairs)
	}
	if given, placed := v.given(made.ID), v.placed(made.ID); given != 24 || placed != 24 {
		t.Errorf("%d receipts for %d fragments", given, placed)
	}
}
