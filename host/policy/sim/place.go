package sim

import (
	"context"
	"errors"
	"slices"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// publishAll publishes a tessera at every place that has none.
func (w *world) publishAll(ctx context.Context) error {
	for place, t := range w.tesseras {
		if t == nil && !w.finished[place] {
			if err := w.publish(ctx, place); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish makes a new tessera at a place and gives its fragments to peers. Where they take too little to
// rebuild it, nothing is at risk yet, and it is tried again at the next look.
func (w *world) publish(ctx context.Context, place int) error {
	t := &tessera{}
	for i := range t.id {
		t.id[i] = byte(w.random.Uint32())
	}
	all := make([]health.Missing, w.Data+w.Parity)
	for i := range all {
		all[i] = health.Missing{Index: i, Copies: 1}
	}
	placed, err := w.distribute(ctx, t, all, 0, sdk.Intent_NEW)
	if placed < w.Data {
		w.bury(t)
		return err
	}
	w.tesseras[place] = t
	return err
}

// placer asks the engine in the simulation's time.
type placer struct{ w *world }

// Place implements scatter.Placer.
func (p placer) Place(ctx context.Context, q *sdk.PlaceRequest) (*policy.Placement, error) {
	q.NowUnixMs, q.Seed = p.w.clock.now.UnixMilli(), p.w.random.Uint64()
	p.w.out.Questions++
	placement, err := p.w.engine.Place(ctx, q)
	if errors.Is(err, policy.ErrDeferred) {
		p.w.out.Refused++
	}
	return placement, err
}

var errAway = errors.New("it does not answer")

// distribute finds holders for what is missing, as host/scatter does for a node.
func (w *world) distribute(ctx context.Context, t *tessera, missing []health.Missing, newcomers int, intent sdk.Intent) (placed int, err error) {
	job := scatter.Job{
		Tessera: t.id, Tier: sdk.FragmentationTier_MEDIUM, Data: w.Data, Parity: w.Parity, ShardSize: w.Shard,
		Missing: missing, Intent: intent, AtMost: newcomers,
		Caps: &sdk.Caps{Replicas: uint32(w.Replicas), PerSubnet: uint32(w.Subnet), InstitutionalPpm: sdk.InstitutionalPPM},
	}
	rows := map[sdk.NodeKey]*row{}
	for _, r := range t.rows {
		rows[r.peer.contact.Key] = r
		if r.silentSince.IsZero() {
			job.Holdings = append(job.Holdings, r.holding())
		}
	}
	known := map[identity.Contact]*peer{}
	for _, p := range w.nearest(t.id) {
		if rows[p.contact.Key] != nil && (newcomers > 0 || !rows[p.contact.Key].silentSince.IsZero()) {
			continue
		}
		known[p.contact] = p
		job.Candidates = append(job.Candidates, scatter.Candidate{Peer: p.contact, View: p.view(w, t.id)})
	}
	if take := min(newcomers, len(job.Candidates)); take > 0 {
		job.Missing = health.ForNewcomers(missing, take, newcomers)
	}
	job.Send = func(_ context.Context, to identity.Contact, index int, _ func(int)) error {
		p := known[to]
		if !p.online {
			return errAway
		}
		p.used += uint64(w.Shard)
		r := rows[to.Key]
		if r == nil {
			r = &row{peer: p}
			rows[to.Key] = r
			t.rows = append(t.rows, r)
		}
		r.fragments = append(r.fragments, index)
		return nil
	}
	result, err := scatter.Run(ctx, placer{w}, 1, job)
	return len(result.Placed), err
}

func (r *row) holding() *sdk.Holding {
	h := &sdk.Holding{Id: r.peer.id[:], Subnet: r.peer.subnet}
	for _, f := range r.fragments {
		h.Fragments = append(h.Fragments, uint32(f))
	}
	slices.Sort(h.Fragments)
	return h
}

// nearest are the peers a node would find for a tessera: the nearest of those that answered when it
// looked. They are sorted by their nearness.
func (w *world) nearest(t sdk.TesseraID) []*peer {
	out := make([]*peer, 0, len(w.peers))
	for _, p := range w.peers {
		if p.online {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *peer) int {
		for i := range t {
			if x, y := a.id[i]^t[i], b.id[i]^t[i]; x != y {
				return int(x) - int(y)
			}
		}
		return 0
	})
	return out[:min(len(out), w.Known)]
}
