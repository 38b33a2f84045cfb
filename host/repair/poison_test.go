package repair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// poisoned is a network in which holder i has shard i, right or wrong.
type poisoned struct {
	plan   *fragment.FragmentPlan
	shards [][]byte
	faults map[int]fault
}

// fault is what becomes of a shard on its way.
type fault func(random *rand.Rand, p *poisoned, index int) ([]byte, error)

var faults = map[string]fault{
	"a flipped bit": func(random *rand.Rand, p *poisoned, i int) ([]byte, error) {
		b := bytes.Clone(p.shards[i])
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		return b, nil
	},
	"truncated": func(random *rand.Rand, p *poisoned, i int) ([]byte, error) {
		return p.shards[i][:random.IntN(len(p.shards[i]))], nil
	},
	"too long": func(_ *rand.Rand, p *poisoned, i int) ([]byte, error) {
		return append(bytes.Clone(p.shards[i]), 1), nil
	},
	"zeroes": func(_ *rand.Rand, p *poisoned, i int) ([]byte, error) { return make([]byte, len(p.shards[i])), nil },
	"another shard": func(random *rand.Rand, p *poisoned, i int) ([]byte, error) {
		return p.shards[(i+1+random.IntN(len(p.shards)-1))%len(p.shards)], nil
	},
	"a zeroed sector": func(random *rand.Rand, p *poisoned, i int) ([]byte, error) {
		b := bytes.Clone(p.shards[i])
		at := random.IntN(len(b))
		for j := at; j < min(at+64, len(b)); j++ {
			b[j] ^= 0xff
		}
		return b, nil
	},
	"nothing":  func(*rand.Rand, *poisoned, int) ([]byte, error) { return nil, nil },
	"an error": func(*rand.Rand, *poisoned, int) ([]byte, error) { return nil, errors.New("disk") },
	"half, then an error": func(_ *rand.Rand, p *poisoned, i int) ([]byte, error) {
		return p.shards[i][:len(p.shards[i])/2], errors.New("disk")
	},
}

// netOf is poisoned as restoring sees it.
type netOf struct{ *poisoned }

func (n netOf) Holders(context.Context, sdk.TesseraID) (all []identity.Contact, err error) {
	for i := range n.shards {
		all = append(all, identity.Contact{Key: sdk.NodeKey{byte(i), 1}})
	}
	return all, nil
}

func (n netOf) Plan(context.Context, identity.Contact, sdk.TesseraID) (*fragment.FragmentPlan, error) {
	return n.plan, nil
}

func (n netOf) Held(_ context.Context, from identity.Contact, _ *fragment.FragmentPlan) ([]int, error) {
	return []int{int(from.Key[0])}, nil
}

func (n netOf) Fragment(_ context.Context, _ identity.Contact, id fragment.FragmentID, _ int64, w io.Writer) error {
	b, err := n.shards[id.Index], error(nil)
	if spoil := n.faults[id.Index]; spoil != nil {
		b, err = spoil(rand.New(rand.NewPCG(uint64(id.Index), 3)), n.poisoned, id.Index)
	}
	if _, werr := w.Write(b); werr != nil {
		return werr
	}
	return err
}

type noPlans struct{}

func (noPlans) Plan(sdk.TesseraID) ([]byte, error) { return nil, fs.ErrNotExist }

// TestRepairFromBadInputs is G14: whatever is wrong with up to parity of the fragments, and with more, what
// is rebuilt is exact, or nothing is and the error says so.
func TestRepairFromBadInputs(t *testing.T) {
	t.Parallel()
	seed := suite.Seed(t)
	random := rand.New(rand.NewPCG(seed, 14))
	names := make([]string, 0, len(faults))
	for _, name := range []string{
		"a flipped bit", "truncated", "too long", "zeroes", "another shard", "a zeroed sector", "nothing", "an error", "half, then an error",
	} {
		if faults[name] == nil {
			t.Fatal(name)
		}
		names = append(names, name)
	}
	cases, refused := 0, 0
	for cases < sizeRepairs.Cases() {
		p := newPoisoned(t, random)
		for range 100 {
			p.faults = map[int]fault{}
			bad := random.IntN(p.plan.Parity + 1)
			hopeless := random.IntN(10) == 0
			if hopeless {
				bad = p.plan.Parity + 1
			}
			for _, i := range random.Perm(p.plan.Total())[:bad] {
				p.faults[i] = faults[names[random.IntN(len(names))]]
			}
			err := p.rebuild(t)
			var few *gather.InsufficientError
			switch {
			case hopeless && errors.As(err, &few):
				refused++
			case hopeless:
				t.Fatalf("%d+%d with %d bad: %v", p.plan.Data, p.plan.Parity, bad, err)
			case err != nil:
				t.Fatalf("%d+%d with %d bad, of which no more than parity: %v", p.plan.Data, p.plan.Parity, bad, err)
			}
			cases++
		}
	}
	t.Logf("%d of them could not be repaired, and said so", refused)
	sizeRepairs.Executed(t, cases, "repairs")
}

func newPoisoned(t *testing.T, random *rand.Rand) *poisoned {
	t.Helper()
	owner, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte{1}), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
	m, err := tessera.Seal(list, "t", time.Unix(2, 0).UTC(), owner.Owner)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 1000+random.IntN(3000)) // shards so long that none is like another, or all zero
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	params := fragment.Params{
		Tier: fragment.Medium, Data: 2 + random.IntN(4), Parity: 1 + random.IntN(3), Chunk: 64, Packed: int64(len(content)), Copies: 1,
	}
	out := make(memory, params.Total())
	hashes, err := fragment.Encode(t.Context(), params, bytes.NewReader(content), out)
	if err != nil {
		t.Fatal(err)
	}
	p := &poisoned{}
	if p.plan, err = fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature); err == nil {
		err = p.plan.Sign(owner.Owner)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		p.shards = append(p.shards, out[i].Bytes())
	}
	return p
}

// rebuild collects what the network gives and computes everything else. Wrong bytes are an error of the
// test.
func (p *poisoned) rebuild(t *testing.T) error {
	t.Helper()
	s := restore.New(crashfs.New(crashfs.Options{}), netOf{p}, noPlans{},
		restore.Config{Concurrent: 2}, slog.New(slog.DiscardHandler))
	from, err := s.Collect(t.Context(), p.plan.Tessera, nil)
	if err != nil {
		return err
	}
	out, bufs := map[int]io.Writer{}, map[int]*bytes.Buffer{}
	for i := range p.shards {
		if !from.Has(i) {
			bufs[i] = &bytes.Buffer{}
			out[i] = bufs[i]
		}
	}
	if err := from.Rebuild(t.Context(), out); err != nil {
		return errors.Join(fmt.Errorf("rebuild: %w", err), from.Discard())
	}
	for i, b := range bufs {
		if !bytes.Equal(b.Bytes(), p.shards[i]) {
			t.Fatalf("shard %d of %d+%d came back wrong", i, p.plan.Data, p.plan.Parity)
		}
	}
	return from.Discard()
}

// A holder that knows its own fragment to be damaged neither counts on it nor offers it as its proof: it
// repairs what is missing, the damaged one among it.
func TestADamagedFragmentOfOnesOwnIsNotHeld(t *testing.T) {
	c := newColony(t, 12) // two shards each
	c.round(inTurn(12))
	m := c.members[3]
	const damaged = 3 // its first
	delete(m.store, damaged)
	err := m.catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutDamage(catalog.Damage{Hash: c.plan.Fragments[damaged], Found: c.clock, Lost: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.members[7].dead = true
	distinct := 0
	for range 30 { // it alone looks
		c.round([]int{3})
		if distinct, _, _ = c.count(); distinct == 24 {
			break
		}
	}
	if distinct != 24 {
		t.Errorf("%d of 24 shards are there", distinct)
	}
}
