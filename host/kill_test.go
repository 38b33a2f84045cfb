package host_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// there tells whether a pattern names a file.
func there(t *testing.T, elem ...string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}

func TestAnOwnerThatIsKilledWhilePublishing(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	for range 8 {
		v.add()
	}
	owner := v.spawn("TESSERAS_REPLICATION__CONCURRENT_TRANSFERS=1")
	spool := func(id sdk.TesseraID, name string) bool {
		return there(t, owner.dir, "spool", "publish-"+id.String(), name)
	}
	placed := func(n int) func(sdk.TesseraID) bool {
		return func(id sdk.TesseraID) bool { return v.placed(id) >= n }
	}
	inTheMiddle := 0
	originals, plans := map[sdk.TesseraID]string{}, map[sdk.TesseraID][]byte{}
	for _, moment := range []func(sdk.TesseraID) bool{
		func(id sdk.TesseraID) bool { return spool(id, "*.shard") },
		func(id sdk.TesseraID) bool { return spool(id, "hashes") },
		placed(1), placed(8), placed(20),
	} {
		original := folder(t, medium)
		made := owner.create(original)
		originals[made.ID] = original
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = owner.api.Publish(context.Background(), made.ID.String(), localapi.PublishOptions{}, noProgress) // breaks off
		}()
		v.eventually("the moment to kill", func() bool { return moment(made.ID) })
		owner.kill()
		<-done
		if v.placed(made.ID) < 24 {
			inTheMiddle++
		}
		plan := filepath.Join(owner.dir, "plans", made.ID.String()[:2], made.ID.String()+".plan")
		if there(t, plan) {
			plans[made.ID] = read(t, plan)
		}
		owner.start()
	}
	if inTheMiddle < 4 {
		t.Errorf("only %d of 5 publishes were cut short", inTheMiddle)
	}
	t.Logf("killed %d times in the middle of a publish", inTheMiddle)

	v.eventually("what was cut short to be at its target", func() bool {
		all, err := owner.api.List(t.Context())
		for _, s := range all {
			if s.Health != "healthy" {
				return false
			}
		}
		return err == nil && len(all) == 5
	})
	for id, before := range plans {
		if !bytes.Equal(before, read(t, filepath.Join(owner.dir, "plans", id.String()[:2], id.String()+".plan"))) {
			t.Error("a plan has changed")
		}
	}
	v.eventually("the spool to be empty", func() bool { return !there(t, owner.dir, "spool", "*", "*") })
	owner.kill()
	heir := v.add()
	t.Run("restored", func(t *testing.T) {
		for id, original := range originals {
			t.Run(id.Short(), func(t *testing.T) {
				t.Parallel()
				if v.placed(id) < 24 {
					t.Errorf("%d fragments at holders", v.placed(id))
				}
				fetch(t, heir, id, original)
			})
		}
	})
}

func TestAHolderThatIsKilledWhileItTakes(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 6)
	holder := v.spawn()
	who, err := holder.api.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := func() (list []wire.Receipt) {
		for _, r := range receipts(t, owner, holders.RecordTaken) {
			if r.HolderOwner == who.Owner {
				list = append(list, r)
			}
		}
		return list
	}
	incoming := func(int) bool { return there(t, holder.dir, "objects", "tmp", "*") }
	plans := map[sdk.TesseraID]*fragment.FragmentPlan{}
	for _, moment := range []func(int) bool{
		incoming,
		func(n int) bool { return len(acknowledged()) > n },
		incoming,
		func(n int) bool { return len(acknowledged()) > n+1 },
		incoming,
	} {
		v.eventually("the owner to meet the holder", func() bool {
			peers, err := owner.Peers(t.Context())
			for _, p := range peers {
				if p.Addr == holder.addr {
					return true
				}
			}
			return err != nil
		})
		made, before := create(t, owner, folder(t, medium)), len(acknowledged())
		done := make(chan error, 1)
		go func() {
			_, err := owner.Publish(context.Background(), made.ID, localapi.PublishOptions{Wait: true, Timeout: time.Minute}, noProgress)
			done <- err
		}()
		v.eventually("the moment to kill", func() bool { return moment(before) })
		holder.kill()
		holder.start()
		if err := <-done; err != nil {
			t.Error(err)
		}
		plans[made.ID] = parsePlan(t, read(t, owner.plan(made.ID)))
	}

	s := v.stranger()
	client := peer.NewClient(s.net, s.id.Node.Key())
	contact := s.at(holder.addr)
	all := acknowledged()
	if len(all) < 5 {
		t.Fatalf("the holder gave %d receipts", len(all))
	}
	for _, r := range all {
		var got bytes.Buffer
		id := plans[r.Tessera].ID(int(r.Index))
		if err := client.Fragment(t.Context(), contact, id, int64(r.Size), &got); err != nil || digest.Of(got.Bytes()) != r.Checksum {
			t.Errorf("a fragment that was acknowledged is gone: %v", err)
		}
	}
	t.Logf("killed 5 times, all %d fragments it gave a receipt for are there", len(all))
	if report := owner.repair(sdk.TesseraID{}); report.Failed != 0 {
		t.Errorf("repair %+v", report)
	}
	owner.healthy()
}
