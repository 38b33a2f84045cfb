package host_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// trickle is how many bytes go each trickleEvery: above the floor of the transport, and more than a minute
// for a fragment.
const (
	trickle      = 500
	trickleEvery = 100 * time.Millisecond
)

// dripping is a body of zeroes that comes slowly.
type dripping struct{ ctx context.Context }

// Read implements io.Reader.
func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(trickleEvery):
		return min(len(p), trickle), nil
	}
}

// takesSlowly lets a stranger take what is pushed to it at the least pace that is borne.
func (s *stranger) takesSlowly() {
	s.answers(wire.KindReplicate, func(ctx context.Context, str *quicnet.Stream, q wire.Message) error {
		body := str.Body(int64(q.(*wire.Replicate).GetSize()))
		for {
			if _, err := io.CopyN(io.Discard, body, trickle); err != nil {
				return err
			}
			if _, err := (dripping{ctx}).Read(nil); err != nil {
				return err
			}
		}
	})
}

// TestThoseThatTakeSlowlyDoNotHoldUpAPublish: they fill every place that a publish has, and nothing is held
// against them.
func TestThoseThatTakeSlowlyDoNotHoldUpAPublish(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	var slow []*stranger
	for range 4 {
		s := v.stranger(func(c *quicnet.Config) { c.StreamWindow = 16 << 10 })
		s.takesSlowly()
		slow = append(slow, s)
	}
	v.meet(owner, 12)
	made := create(t, owner, folder(t, medium))
	begun := time.Now()
	if p := owner.publish(made.ID); !p.AtTarget || p.Placed != 24 {
		t.Errorf("published %+v", p)
	}
	if took := time.Since(begun); took > 40*time.Second {
		t.Errorf("took %s", took)
	}
	asked := 0
	for _, s := range slow {
		asked += int(s.asked.Load())
		err := owner.View(func(tx *catalog.Tx) error {
			audit, err := tx.Audit(s.id.Node.Key())
			if !audit.Failed.IsZero() || !audit.Lapsed.IsZero() {
				t.Errorf("one that is slow is said to have failed: %+v", audit)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if asked == 0 {
		t.Error("nobody slow was asked: this shows nothing")
	}
	known, err := owner.Peers(t.Context())
	if err != nil || len(known) < 12 {
		t.Errorf("%d peers are known, %v", len(known), err)
	}
}

// TestThoseThatGiveSlowlyDoNotHoldUpAFetch: they claim to hold everything.
func TestThoseThatGiveSlowlyDoNotHoldUpAFetch(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	original := folder(t, medium)
	made := create(t, owner, original)
	owner.publish(made.ID)
	plan := parsePlan(t, read(t, owner.plan(made.ID)))
	owner.stop()
	var slow []*stranger
	for range 4 {
		s := v.stranger()
		s.answers(wire.KindFetchFragment, func(ctx context.Context, str *quicnet.Stream, _ wire.Message) error {
			size := plan.ShardSize()
			return errors.Join(str.Send(&wire.FragmentHeader{Size: uint64(size)}), str.SendBody(dripping{ctx}, size))
		})
		s.claims(plan)
		slow = append(slow, s)
	}
	heir := v.add()
	v.meet(heir, 12)
	begun := time.Now()
	who, fragments := served(fetch(t, heir, made.ID, original))
	if fragments != 16 {
		t.Errorf("%d fragments were served", fragments)
	}
	if took := time.Since(begun); took > 40*time.Second {
		t.Errorf("took %s", took)
	}
	asked := 0
	for _, s := range slow {
		asked += int(s.asked.Load())
		if slices.Contains(who, s.id.Node.ID()) {
			t.Error("one that lets it trickle is named as a source")
		}
	}
	if asked == 0 {
		t.Error("nobody slow was asked: this shows nothing")
	}
}
