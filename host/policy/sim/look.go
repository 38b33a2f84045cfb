package sim

import (
	"context"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// tessera is one that is looked after.
type tessera struct {
	id     sdk.TesseraID
	rows   []*row // holders, as whoever looks after it knows them
	report health.Report
}

// row is a holder, as host/holders keeps one.
type row struct {
	peer        *peer
	fragments   []int
	silentSince time.Time // zero while it answers
	flaps       uint32
}

func (w *world) shape() health.Shape {
	return health.Shape{Data: w.Data, Total: w.Data + w.Parity, Copies: 1}
}

// look is a round of maintenance: everybody is asked, what is lost is counted, the policy orders, and
// what it orders is done.
func (w *world) look(ctx context.Context) error {
	weather := w.ask()
	request := &sdk.RepairRequest{
		Weather: weather, IntervalMs: uint64(w.Interval.Milliseconds()), NowUnixMs: w.clock.now.UnixMilli(),
		Seed: w.random.Uint64(), DeficitAllowance: 256 << 20,
	}
	asked := map[sdk.TesseraID]*tessera{}
	for i, t := range w.tesseras {
		if t == nil {
			continue
		}
		if w.isLost(t) {
			w.looks++ // the interval in which it was lost
			w.out.Lost++
			w.bury(t)
			w.tesseras[i], w.finished[i] = nil, w.Horizon
			continue
		}
		w.judge(t)
		w.forget(t)
		if t.report.Status != health.Healthy {
			asked[t.id] = t
			request.Tesseras = append(request.Tesseras, w.view(t))
		}
	}
	if err := w.repair(ctx, request, asked); err != nil {
		return err
	}
	w.weigh(false)
	if err := w.publishAll(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// ask asks every holder, and notes who is silent and who came back, and how many did of those that were silent.
func (w *world) ask() *sdk.Weather {
	heard, newly, back := map[*peer]bool{}, map[*peer]bool{}, map[*peer]bool{}
	for _, t := range w.tesseras {
		if t == nil {
			continue
		}
		for _, r := range t.rows {
			heard[r.peer] = r.peer.online
			switch {
			case r.peer.online && !r.silentSince.IsZero():
				r.silentSince = time.Time{}
				r.flaps++
				back[r.peer] = true
			case !r.peer.online && (r.silentSince.IsZero() || r.peer.met.After(r.silentSince)):
				if !r.silentSince.IsZero() {
					r.flaps++ // it was back in between
					back[r.peer] = true
				}
				r.silentSince = w.clock.now
				newly[r.peer] = true
			case !r.peer.online && w.clock.now.Sub(r.silentSince) < w.longestGrace():
				back[r.peer] = false
			}
		}
	}
	w.habits = health.HabitsOf(back)
	weather := &sdk.Weather{PeersAsked: uint32(len(heard)), PeersNewlySilent: uint32(len(newly))}
	for _, answered := range heard {
		if !answered {
			weather.PeersSilent++
		}
	}
	return weather
}

// isLost tells that too little is left on peers that will ever be back.
func (w *world) isLost(t *tessera) bool {
	left := make([]bool, w.Data+w.Parity)
	n := 0
	for _, r := range t.rows {
		if r.peer.gone {
			continue
		}
		for _, f := range r.fragments {
			if !left[f] {
				left[f] = true
				n++
			}
		}
	}
	return n < w.Data
}

// judge is what a node would say of the tessera.
func (w *world) judge(t *tessera) {
	t.report = health.Assess(w.shape(), standing(t), w.Replicas)
	w.looks++
	w.margins += int64(t.report.Survives.Peers)
	w.answering += int64(t.report.Peers)
	w.out.ThinnestMargin = min(w.out.ThinnestMargin, t.report.Survives.Peers)
	if t.report.Status == health.Unrecoverable {
		w.missed++
	}
}

func standing(t *tessera) []health.Holder {
	out := make([]health.Holder, 0, len(t.rows))
	for _, r := range t.rows {
		if r.silentSince.IsZero() {
			out = append(out, health.Holder{Peer: r.peer.name, Subnet: r.peer.network, Held: r.fragments})
		}
	}
	return out
}

// view is what the repair policy sees, as host/repair tells it.
func (w *world) view(t *tessera) *sdk.TesseraHealth {
	v := &sdk.TesseraHealth{
		Tessera: t.id[:], Tier: sdk.FragmentationTier_MEDIUM,
		SurvivesPeers: uint32(t.report.Survives.Peers), SurvivesSubnets: uint32(t.report.Survives.Subnets),
		SurvivesOperators: uint32(t.report.Survives.Operators), Missing: uint32(len(t.report.Missing)),
		CostBytes: uint64(w.Shard) * uint64(w.Data+len(t.report.Missing)), Own: true,
		PeersShort: uint32(max(w.Replicas-t.report.Peers, 0)), Recoverable: t.report.Status != health.Unrecoverable,
	}
	suspects := t.report.Suspects(w.absent(t), w.habits, w.Interval, w.longestGrace())
	v.Suspect, v.SuspectPeers = uint32(suspects.Fragments), uint32(suspects.Peers)
	v.ExpectedPeers = uint32(suspects.Expected)
	v.SuspectSinceMs, v.Flaps = uint64(suspects.Silence.Milliseconds()), uint32(suspects.Flaps)
	return v
}

// repair does what the policy orders for now.
func (w *world) repair(ctx context.Context, request *sdk.RepairRequest, asked map[sdk.TesseraID]*tessera) error {
	if len(asked) == 0 {
		return nil
	}
	w.out.Questions++
	plan, err := w.engine.Repair(ctx, request)
	if err != nil {
		return err
	}
	if plan.Deferred {
		w.out.Refused++
	}
	for _, o := range plan.Orders {
		if o.Wait > 0 {
			continue
		}
		if err := w.mend(ctx, asked[o.Tessera], o); err != nil {
			return err
		}
	}
	return nil
}

// mend rebuilds what an order names, as host/repair does.
func (w *world) mend(ctx context.Context, t *tessera, o policy.RepairOrder) error {
	if t.report.Status == health.Unrecoverable {
		return nil // too few fragments can be had just now
	}
	wanting, newcomers := t.report.Wanting()
	if o.Rebuild > 0 {
		wanting = health.AtMost(health.SuspectsLast(wanting, w.absent(t), w.longestGrace()), o.Rebuild)
	}
	if len(wanting) == 0 {
		return nil
	}
	placed, err := w.distribute(ctx, t, wanting, newcomers, sdk.Intent_REPAIR)
	if err != nil || placed == 0 {
		return err
	}
	w.out.Rebuilt += placed
	w.out.RepairBytes += w.Shard * int64(w.Data+placed)
	return nil
}

// longestGrace is how long a silent holder is a suspect, as for a node.
func (w *world) longestGrace() time.Duration {
	return time.Duration(sdk.LongestGraceMs(uint64(w.Interval.Milliseconds()))) * time.Millisecond
}

// absent lists the holders that do not answer.
func (w *world) absent(t *tessera) (out []health.Absent) {
	for _, r := range t.rows {
		if !r.silentSince.IsZero() {
			out = append(out, health.Absent{Held: r.fragments, Silence: w.clock.now.Sub(r.silentSince), Flaps: int(r.flaps)})
		}
	}
	return out
}

// forget drops holders that are silent for longer than anybody is waited for, once others have all that
// they had, as a node does. Who comes back all the same gives up what is surplus.
func (w *world) forget(t *tessera) {
	t.rows = slices.DeleteFunc(t.rows, func(r *row) bool {
		replaced := !r.silentSince.IsZero() && w.clock.now.Sub(r.silentSince) > w.longestGrace() && t.report.Replaced(r.fragments)
		if replaced {
			r.peer.used -= min(r.peer.used, uint64(w.Shard)*uint64(len(r.fragments)))
		}
		return replaced
	})
}

// weigh compares the fullest peer with the mean one, once a year, and at the end of a shorter run.
func (w *world) weigh(last bool) {
	if last && w.weighed > 0 || !last && w.clock.now.Sub(Start())%Year >= w.Interval {
		return
	}
	fullest, sum := uint64(0), uint64(0)
	for _, p := range w.peers {
		fullest = max(fullest, p.used)
		sum += p.used
	}
	if sum > 0 {
		w.crowding += float64(fullest) * float64(len(w.peers)) / float64(sum)
		w.weighed++
	}
}

// bury frees what a lost tessera still takes.
func (w *world) bury(t *tessera) {
	for _, r := range t.rows {
		r.peer.used -= min(r.peer.used, uint64(w.Shard)*uint64(len(r.fragments)))
	}
}
