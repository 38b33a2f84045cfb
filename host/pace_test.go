package host_test

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/config"
)

// TestRepairBandwidthBoundsRepairs: what a repair sends, and what it fetches where there is no whole copy,
// takes at least as long as the operator's limit says.
func TestRepairBandwidthBoundsRepairs(t *testing.T) {
	t.Parallel()
	const perSecond = 1 << 20
	slow := func(c *config.Config) { c.Replication.RepairBandwidth = perSecond }
	v, owner := newVillage(t, 8, slow)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	lost := v.holdersOf(made.ID)[0].loses(made.ID)
	begun := time.Now()
	report := owner.repair(made.ID)
	took := time.Since(begun)
	if report.RebuiltFragments != lost || report.Failed != 0 {
		t.Fatalf("repair %+v of %d lost fragments", report, lost)
	}
	bytes := int64(lost) * owner.shard(made.ID)
	least := time.Duration(bytes-64<<10) * time.Second / perSecond
	if took < least {
		t.Errorf("%d bytes were sent in %s, the limit wants %s at least", bytes, took, least)
	}
}
