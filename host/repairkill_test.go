package host_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
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
	v.meet(heir, 8)
	fetch(t, heir, made.ID, original)
	repairKills.Executed(t, kills, "times a repairing node was killed")
}
