package host_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
)

// prey is a tessera of which a liar knows all that is public, and another's beside it.
type prey struct {
	plan, other *fragment.FragmentPlan
	bytes       map[int][]byte // of some fragments
}

// lies are the ways a holder lies about fragments and plans. Each claims to hold everything.
var lies = map[string]func(s *stranger, p prey){
	"hangs in the middle of a body": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(ctx context.Context, str *quicnet.Stream, _ wire.Message) error {
			return errors.Join(s.begins(str, p), waits(ctx))
		})
	},
	"hangs before the first byte": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(ctx context.Context, _ *quicnet.Stream, _ wire.Message) error { return waits(ctx) })
	},
	"ends in the middle of a body": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
			return errors.Join(s.begins(str, p), str.CloseWrite())
		})
	},
	"sends another fragment": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(_ context.Context, str *quicnet.Stream, q wire.Message) error {
			for index, b := range p.bytes {
				if index != int(q.(*wire.FetchFragment).GetIndex()) {
					return errors.Join(str.Send(&wire.FragmentHeader{Size: uint64(len(b))}), str.SendBody(bytes.NewReader(b), int64(len(b))))
				}
			}
			return errors.New("no other fragment")
		})
	},
	"sends more than was asked for": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
			size := p.plan.ShardSize() + 1
			return errors.Join(str.Send(&wire.FragmentHeader{Size: uint64(size)}), str.SendBody(bytes.NewReader(make([]byte, size)), size))
		})
	},
	"answers something else": func(s *stranger, p prey) {
		s.answers(wire.KindFetchFragment, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
			return str.Send(&wire.Pong{})
		})
	},
	"serves another's plan": func(s *stranger, p prey) {
		s.answers(wire.KindFetchPlan, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
			return str.Send(&wire.PlanResponse{Plan: p.other.Bytes()})
		})
	},
	"serves a forged plan": func(s *stranger, p prey) {
		forged := *p.plan
		forged.Fragments = slices.Clone(p.plan.Fragments)
		forged.Fragments[0][0] ^= 1
		copy(forged.Signature[:], s.id.Owner.Sign(forged.Bytes()))
		s.answers(wire.KindFetchPlan, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
			return str.Send(&wire.PlanResponse{Plan: forged.Bytes()})
		})
	},
}

// begins sends the first half of a fragment.
func (s *stranger) begins(str *quicnet.Stream, p prey) error {
	size := p.plan.ShardSize()
	if err := str.Send(&wire.FragmentHeader{Size: uint64(size)}); err != nil {
		return err
	}
	err := str.SendBody(bytes.NewReader(make([]byte, size/2)), size) // breaks off where the bytes end
	if err == nil {
		err = errors.New("half a body was taken for the whole")
	}
	return err
}

func waits(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestLiarsAndDamageCostTimeAndNothingElse is in virtual time: how long the liars hold a restore up does not
// depend on what else the machine does.
func TestLiarsAndDamageCostTimeAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := (&weather{rng: rand.New(rand.NewPCG(1, 2))}).village(t)
		restoreAmongLiars(t, v, v.settled(10))
	})
}

func restoreAmongLiars(t *testing.T, v *village, owner *member) {
	t.Helper()
	original := folder(t, medium)
	made, other := create(t, owner, original), create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.publish(other.ID)
	p := prey{
		plan: parsePlan(t, read(t, owner.plan(made.ID))), other: parsePlan(t, read(t, owner.plan(other.ID))),
		bytes: map[int][]byte{},
	}
	for _, m := range v.nodes[2:4] {
		for _, f := range m.held(made.ID) {
			p.bytes[f.Index] = read(t, filepath.Join(m.dir, cas.Path(f.Hash)))
		}
	}
	for i, fault := range []func([]byte) []byte{flip, cut} {
		for _, f := range v.nodes[i].held(made.ID) {
			spoil(t, filepath.Join(v.nodes[i].dir, cas.Path(f.Hash)), fault)
		}
	}
	owner.stop()

	liars := map[string]*stranger{}
	for name, lie := range lies {
		s := v.stranger()
		lie(s, p)
		s.claims(p.plan)
		liars[name] = s
	}
	heir := v.add()
	v.meet(heir, 10+len(liars))
	begun := time.Now()
	who, fragments := served(fetch(t, heir, made.ID, original))
	if fragments != 16 {
		t.Errorf("%d fragments were served", fragments)
	}
	for name, s := range liars {
		if slices.Contains(who, s.id.Node.ID()) {
			t.Errorf("one that %s is named as a source", name)
		}
	}
	for _, m := range v.nodes[:2] {
		if slices.Contains(who, m.id()) {
			t.Error("a holder of damaged files is named as a source")
		}
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("the liars held it up for %s", took)
	}
	asked := 0
	for _, s := range liars {
		asked += int(s.asked.Load())
	}
	t.Logf("%d lies were told, the restore took %s", asked, time.Since(begun))
	if asked < 3 {
		t.Errorf("only %d lies were told: this shows nothing", asked)
	}
}

func TestEachLieAloneIsFoundOut(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made, other := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	owner.publish(made.ID)
	owner.publish(other.ID)
	p := prey{
		plan: parsePlan(t, read(t, owner.plan(made.ID))), other: parsePlan(t, read(t, owner.plan(other.ID))),
		bytes: map[int][]byte{},
	}
	for _, f := range v.nodes[0].held(made.ID) {
		p.bytes[f.Index] = read(t, filepath.Join(v.nodes[0].dir, cas.Path(f.Hash)))
	}
	for _, m := range v.nodes {
		m.stop()
	}
	for name, lie := range lies {
		if name == "hangs in the middle of a body" || name == "hangs before the first byte" {
			continue // where there is nobody else, these are waited for as long as QUIC lets them
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone := &village{t: t, seats: v.seats}
			heir := alone.add()
			s := alone.stranger()
			s.answers(wire.KindFetchPlan, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
				return str.Send(&wire.PlanResponse{Plan: p.plan.Bytes()})
			})
			lie(s, p)
			s.claims(p.plan)
			alone.meet(heir, 1)
			_, err := heir.Fetch(t.Context(), made.ID, noProgress)
			if localapi.CodeOf(err) != localapi.CodeCannotRestore {
				t.Errorf("fetch: %v, code %d", err, localapi.CodeOf(err))
			}
			if s.asked.Load() == 0 {
				t.Error("no lie was told")
			}
			if n := heir.shards(made.ID); n != 0 {
				t.Errorf("%d shards of a liar's are kept", n)
			}
		})
	}
}

func TestATombstoneOfSomebodyElsesDeletesNothing(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	original := folder(t, small)
	made := create(t, owner, original)
	owner.publish(made.ID)
	s := v.stranger()
	tomb, err := tessera.SignTombstone(made.ID, time.Now(), s.id.Owner)
	if err != nil {
		t.Fatal(err)
	}
	s.answers(wire.KindFetchPlan, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
		return str.Send(&wire.PlanResponse{Tombstone: tomb.Bytes()})
	})
	s.claims(parsePlan(t, read(t, owner.plan(made.ID))))
	for _, m := range v.nodes {
		_, err := s.net.Call(t.Context(), s.contact(m), &wire.Forget{Tombstone: tomb.Bytes()})
		if wire.CodeOf(err) != wire.Code_BAD_SIGNATURE {
			t.Errorf("a stranger's deletion: %v", err)
		}
	}
	heir := v.add()
	fetch(t, heir, made.ID, original)
	if v.placed(made.ID) != 7 || owner.status(made.ID).Health != "healthy" {
		t.Errorf("%d copies are left", v.placed(made.ID))
	}
}
