package publish_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestAPublishReachesItsTarget(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	for _, c := range []struct{ size, fragments, copies int }{{1000, 1, 7}, {medium, 24, 1}} {
		id := h.creates(t, c.size)
		if c.copies > 1 { // seven copies need seven peers
			h.peers = nil
			h.meets(7)
		}
		stages := map[publish.Stage]int64{}
		r, err := h.Publish(t.Context(), id, func(s publish.Stage, done, total int64) {
			if done < stages[s] || done > total {
				t.Errorf("%s: %d of %d after %d", s, done, total, stages[s])
			}
			stages[s] = done
		})
		if err != nil || r.Health.Status != health.Healthy || r.Placed != c.fragments*c.copies || r.Reason != "" {
			t.Errorf("published %+v, %v", r, err)
		}
		if stages[publish.Encoding] != r.Plan.Packed || stages[publish.Pushing] != int64(r.Placed)*r.Plan.ShardSize() {
			t.Errorf("progress ended at %v", stages)
		}
		if own, plan := h.row(t, id); !own.WantPublished || !own.Published || !plan {
			t.Errorf("recorded %+v, plan %v", own, plan)
		}
		if h.packed.Swap(0) != 1 || len(h.left(t)) != 0 {
			t.Errorf("packed more than once, or left %v", h.left(t))
		}
		if r := h.publishes(t, id, health.Healthy); r.Placed != 0 || h.packed.Load() != 0 {
			t.Errorf("published again: %+v", r)
		}
	}
}

func TestNothingIsCodedInVain(t *testing.T) {
	h := newHouse(t, 0)
	id := h.creates(t, medium)
	r := h.publishes(t, id, health.Unrecoverable)
	if r.Reason != "nobody is there" || h.packed.Load() != 1 {
		t.Errorf("first: %q, packed %d times; the plan needs it once", r.Reason, h.packed.Load())
	}
	h.publishes(t, id, health.Unrecoverable)
	if h.packed.Load() != 1 {
		t.Error("coded again, though nobody is there to take anything")
	}
	h.meets(replicas)
	h.publishes(t, id, health.Healthy)
	if h.packed.Load() != 2 {
		t.Errorf("packed %d times", h.packed.Load())
	}
}

func TestWhatWasCodedIsUsedAgain(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	ctx, cancel := context.WithCancel(t.Context())
	cut := errors.New("cut short")
	pushed := 0
	_, err := h.Publish(ctx, id, func(s publish.Stage, _, _ int64) {
		if s == publish.Pushing {
			if pushed++; pushed == 5 {
				h.refuse = cut
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) || len(h.left(t)) != 20 { // the hashes, and the shards that nobody took
		t.Fatalf("cut short: %v, left %d files", err, len(h.left(t)))
	}
	h.refuse = nil
	before := h.packed.Load()
	if r := h.publishes(t, id, health.Healthy); r.Placed != 19 || h.packed.Load() != before {
		t.Errorf("placed %d, packed %d times more", r.Placed, h.packed.Load()-before)
	}
}

func TestADamagedSpoolIsFilledAgain(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := h.Publish(ctx, id, func(s publish.Stage, _, _ int64) {
		if s == publish.Pushing {
			h.refuse = context.Canceled
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	shard := filepath.Join(h.root, "spool", "publish-"+id.String(), "11.shard")
	b, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(shard, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.refuse = nil
	h.publishes(t, id, health.Healthy)
	if h.packed.Load() != 2 {
		t.Errorf("packed %d times: a spool is not believed", h.packed.Load())
	}
}

func TestThePlanIsMadeAgainWithTheSameBytes(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	first := bytes.Clone(h.publishes(t, id, health.Healthy).Plan.Bytes())
	for name, damage := range map[string]func() error{
		"missing": func() error { return h.DropPlan(id) },
		"damaged": func() error { return h.PutPlan(id, first[1:]) },
		"forged": func() error {
			return h.PutPlan(id, bytes.Replace(first, []byte("chunk: 262144"), []byte("chunk: 262143"), 1))
		},
		"another's": func() error {
			return h.PutPlan(id, h.publishes(t, h.creates(t, medium+1), health.Healthy).Plan.Bytes())
		},
		"not in the rows": func() error { return h.catalog.Reclaim(func(tx *catalog.Tx) error { return tx.DropPlan(id) }) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if err := h.Resume(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := h.Plan(id)
		if _, row := h.row(t, id); err != nil || !bytes.Equal(first, again) || !row {
			t.Errorf("%s: %d bytes where there were %d, in the catalog %v, %v", name, len(again), len(first), row, err)
		}
	}
}

func TestAPublishThatCannotBegin(t *testing.T) {
	h := newHouse(t, 0)
	if _, err := h.Publish(t.Context(), sdk.TesseraID{1}, nil); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("an unknown tessera: %v", err)
	}
	id := h.creates(t, medium)
	h.failPut = errors.New("disk")
	if _, err := h.Publish(t.Context(), id, nil); !errors.Is(err, h.failPut) {
		t.Errorf("the plan cannot be written: %v", err)
	}
	if own, plan := h.row(t, id); plan || !own.WantPublished || own.Published {
		t.Errorf("recorded %+v, plan %v", own, plan)
	}
	h.failPut = nil
	h.meets(replicas)
	if err := h.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if own, _ := h.row(t, id); !own.Published {
		t.Error("what the owner wanted was not done in the next round")
	}

	poor := newHouse(t, 1<<60)
	id = poor.creates(t, medium)
	if _, err := poor.Publish(t.Context(), id, nil); !errors.Is(err, publish.ErrSpace) || poor.packed.Load() != 0 {
		t.Errorf("without room: %v", err)
	}

	done, err := h.turns.Take(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Publish(ctx, id, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("while another is at it: %v", err)
	}
}

func TestADamagedOwnCopyIsNotPublished(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	objects, err := filepath.Glob(filepath.Join(h.root, "objects", "??", "*.blob"))
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	if err := os.Truncate(objects[0], 100); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Publish(t.Context(), id, nil); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "file") {
		t.Errorf("published: %v", err)
	}
	if _, plan := h.row(t, id); plan || len(h.orders) != 0 || len(h.left(t)) != 0 {
		t.Errorf("a plan was made of it: %v, %d orders, left %v", plan, len(h.orders), h.left(t))
	}
}

func TestTheReasonNamesWhatThePeerSaid(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	h.refuse = wire.Refuse(wire.Code_NO_SPACE, "no room: 9 MiB offered")
	if r := h.publishes(t, id, health.Unrecoverable); !strings.Contains(r.Reason, "no room: 9 MiB offered") || len(r.Refused) == 0 {
		t.Errorf("reason %q", r.Reason)
	}
}

func TestTooFewPeersWantNewcomers(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas - 1)
	id := h.creates(t, medium)
	h.publishes(t, id, health.NeedsReplication)
	h.publishes(t, id, health.NeedsReplication)
	last := h.orders[len(h.orders)-1]
	if last.Newcomers != 1 || len(last.Missing) != 24/replicas {
		t.Errorf("asked for %d newcomers and %d fragments, want one with its share", last.Newcomers, len(last.Missing))
	}
	h.peers = h.peers[:0]
	h.peers = append(h.peers, someone(9))
	if r := h.publishes(t, id, health.Healthy); r.Placed != 24/replicas || r.Health.Peers != replicas {
		t.Errorf("published %+v", r.Health)
	}
}
