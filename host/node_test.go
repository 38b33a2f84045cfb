package host_test

import (
	"os"
	"testing"
)

func TestAFolderSurvivesItsOwnerAndAThirdOfItsPeers(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 12)
	original := folder(t, medium)
	made := create(t, owner, original)
	published := owner.publish(made.ID)
	if published.Tier != "medium" || published.Fragments != 24 || published.Placed != 24 || published.Peers != 12 || published.SurvivesPeers != 4 {
		t.Errorf("published %+v", published)
	}

	for _, m := range v.nodes[1:5] {
		m.stop()
	}
	report := owner.repair(made.ID)
	if report.Checked != 1 || report.RebuiltFragments != 8 || report.Failed != 0 {
		t.Errorf("repair %+v, want the eight fragments of four dead holders rebuilt", report)
	}
	if status := owner.status(made.ID); status.Health != "healthy" || status.Deficit != 0 {
		t.Errorf("status %+v", status)
	}

	owner.stop()
	if err := os.RemoveAll(owner.dir); err != nil {
		t.Fatal(err)
	}
	heir := v.add()
	if who, fragments := served(fetch(t, heir, made.ID, original)); len(who) == 0 || fragments != 16 {
		t.Errorf("%d fragments served by %v", fragments, who)
	}
}

func TestWholeCopiesSurviveAllButOneHolder(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 9)
	original := folder(t, small)
	made := create(t, owner, original)
	published := owner.publish(made.ID)
	if published.Tier != "small" || published.Fragments != 7 || published.Placed != 7 || published.Peers != 7 || published.SurvivesPeers != 6 {
		t.Errorf("published %+v", published)
	}

	holders := v.holdersOf(made.ID)
	for _, m := range holders[:2] {
		m.stop()
	}
	if report := owner.repair(made.ID); report.RebuiltFragments != 2 || report.Failed != 0 {
		t.Errorf("repair %+v, want two copies made good", report)
	}
	if status := owner.status(made.ID); status.Health != "healthy" || status.Fragments.Held != 7 || status.Survives.Peers != 6 {
		t.Errorf("status %+v", status)
	}

	// the two come back with what they had, and nothing is pushed for it
	back := []*member{v.addAt(holders[0].dir), v.addAt(holders[1].dir)}
	for _, m := range back {
		v.meet(m, 8)
		if len(m.held(made.ID)) != 1 {
			t.Errorf("a holder came back with %d copies", len(m.held(made.ID)))
		}
	}
	v.meet(owner, 9)
	v.eventually("all nine copies to count", func() bool {
		if report := owner.repair(made.ID); report.Healthy != 1 || report.RebuiltFragments != 0 {
			t.Fatalf("repair %+v", report)
		}
		return owner.status(made.ID).Survives.Peers == 8
	})

	for _, m := range append(holders[2:], owner) {
		m.stop()
	}
	heir := v.add(bootstrapAt(back[0]))
	if who, _ := served(fetch(t, heir, made.ID, original)); len(who) != 1 {
		t.Errorf("a whole copy came from %v", who)
	}
}
