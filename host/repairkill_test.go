package host_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/invariants"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/sdk"
)

// repairKills is how often TestAnOwnerThatIsKilledWhileRepairing kills.
var repairKills = suite.KillRepair

// TestAnOwnerThatIsKilledWhileRepairing kills a node while it makes good what holders have lost: when the
// first shard is in its spool, when the first fragment has come, at once, or at any moment. In the end the tessera is at its target,
// no holder has more than it acknowledged, and an empty machine gets the folder back.
func TestAnOwnerThatIsKilledWhileRepairing(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	v := &village{t: t}
	for range 8 {
		v.add()
	}
	owner := v.spawn("TESSERAS_REPLICATION__CONCURRENT_TRANSFERS=1")
	original := folder(t, medium)
	made := owner.create(original)
	v.eventually("everything to be placed", func() bool {
		_, err := owner.api.Publish(t.Context(), made.ID.String(), localapi.PublishOptions{Wait: true, Timeout: time.Minute}, noProgress)
		return err == nil && v.placed(made.ID) == 24
	})
	kills := 0
	for ; kills < repairKills.Cases(); kills++ {
		holders := v.holdersOf(made.ID)
		holders[rnd.IntN(len(holders))].loses(made.ID)
		left := v.placed(made.ID)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = owner.api.RepairRun(context.Background(), made.ID.String(), noProgress) // breaks off
		}()
		switch kills % 4 {
		case 0:
			v.eventually("a fragment to come", func() bool { return v.placed(made.ID) > left })
		case 1:
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond) // any moment is a good one
		case 2:
			v.eventually("a shard to be in the spool", func() bool {
				return there(t, owner.dir, "spool", "repair-"+made.ID.String(), "*.shard") || v.placed(made.ID) > left
			})
		}
		owner.kill()
		<-done
		owner.start()
	}
	v.eventually("the tessera to be at its target", func() bool {
		_, err := owner.api.RepairRun(t.Context(), made.ID.String(), noProgress)
		if err != nil {
			return false
		}
		all, err := owner.api.List(t.Context())
		return err == nil && len(all) == 1 && all[0].Health == "healthy" && v.placed(made.ID) >= 24
	})
	owner.kill()
	heir := v.add()
	fetch(t, heir, made.ID, original)
	repairKills.Executed(t, kills, "times a repairing node was killed")
}

// TestAHolderThatIsKilledWhileRepairing kills the holder that is the first to repair what others have lost, and
// whose owner is gone: when the first shard is in its spool, and when the first fragment has come. Nobody says a
// word to it. When it is left alone the tessera is at its target, with no fragment too many, its spool is empty,
// and an empty machine gets the folder back.
func TestAHolderThatIsKilledWhileRepairing(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	for range 8 {
		v.add()
	}
	holder := v.spawn("TESSERAS_REPLICATION__CONCURRENT_TRANSFERS=1", "TESSERAS_REPLICATION__REPAIR_INTERVAL=500ms")
	owner := v.add()
	v.meet(owner, 9)
	original := folder(t, medium)
	id := holder.isFirst(owner, original)
	owner.publish(id)
	plan := parsePlan(t, read(t, owner.plan(id)))
	owner.stop()
	found := func() int { return v.placed(id) + invariants.Find(plan, []string{holder.dir}).Total() }
	if n := found(); n != 24 {
		t.Fatalf("of 24 fragments %d are placed", n)
	}
	for _, m := range v.holdersOf(id)[:2] {
		m.loses(id)
	}
	left := found()
	spooled := func() bool { return there(t, holder.dir, "spool", "repair-"+id.String(), "*.shard") }
	v.eventually("a shard to be in the spool", func() bool { return spooled() || found() > left })
	holder.kill()
	holder.start()
	v.eventually("a fragment to come", func() bool { return found() > left })
	holder.kill()
	t.Logf("%d fragments lost, %d there at the last kill", 24-left, found())
	holder.start()
	v.eventually("the tessera to be at its target", func() bool { return found() >= 24 && !there(t, holder.dir, "spool", "repair-*") })
	if n := found(); n != 24 {
		t.Errorf("of 24 fragments there are %d", n)
	}
	holder.kill()
	heir := v.add()
	fetch(t, heir, id, original)
}

// isFirst creates tesseras of a folder until there is one of which the process comes first in the order of all
// that may hold it.
func (p *process) isFirst(owner *member, dir string) sdk.TesseraID {
	p.t.Helper()
	me, err := identity.Load(filepath.Join(p.dir, "identity"), powBits)
	if err != nil {
		p.t.Fatal(err)
	}
	keys := []sdk.NodeKey{me.Node.Key()}
	for _, m := range p.v.nodes {
		keys = append(keys, m.Contact().Key)
	}
	for {
		made := create(p.t, owner, dir)
		if repair.InOrder(made.ID, keys)[0] == keys[0] {
			return made.ID
		}
	}
}
