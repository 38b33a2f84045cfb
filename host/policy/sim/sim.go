// Package sim answers: what would these policies do to a network over years?
//
// The policies are asked by the engine that a node uses, with its hard rules; what a tessera can still
// lose is judged by host/health, and fragments are handed out by host/scatter with its rounds and
// alternates. Simulated are the peers alone: they come, are away for a while, come back, and leave for
// good. Nobody keeps a whole copy: a tessera lives by its fragments, and whoever looks after it rebuilds
// from those that can be had.
//
// A run is a single thread and takes time from its own clock, so a seed gives the same run every time; and
// what happens to the peers is the same for a seed whatever the policies do, so that two can be compared.
//
// # The model
//
// Lives are exponential: a share AFR of the peers leaves within a year, whatever their age, and each is
// followed by a newcomer. Who stays is away a share Offline of the time, Away long on average, both
// exponential too. With Flapping it is another share each day that is away, for as long as Away, and back on the
// same day: there are no long tails, and who was away yesterday is as likely as any other today. All tesseras
// are looked at once in every Interval; who is back between two looks is met. A tessera is lost when fewer
// fragments than a rebuild needs are left on peers that will ever come back; it is then published anew, as
// another one.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// ErrConfig tells that a run cannot be simulated.
var ErrConfig = errors.New("simulation")

const day = 24 * time.Hour

// Year is what rates are counted in.
const Year = 365 * 24 * time.Hour

// Config is the network and its fate; zero fields mean the default.
type Config struct {
	Seed     uint64
	Peers    int           // alive at any time: 1000
	Duration time.Duration // 10 years
	Tesseras int           // 100
	Data     int           // fragments that rebuild a tessera: 16
	Parity   int           // 8
	Shard    int64         // bytes of a fragment: 1 MiB
	AFR      float64       // share of the peers that leave for good within a year: 0.2; negative is none
	Offline  float64       // share of the time that a peer is away: 0.1; negative is none
	Away     time.Duration // how long at a time, on average: 8 h
	Flapping float64       // share of the peers, drawn afresh each day, that are away for Away of it and then back: instead of Offline
	Interval time.Duration // between two looks: 24 h
	Replicas int           // distinct peers that are asked for: 7
	Subnet   int           // peers of one subnet that may hold a tessera: 2; negative is no cap
	PerNet   int           // peers in one subnet: 2
	Known    int           // peers, the nearest, that are candidates for a tessera: 200
	Free     uint64        // bytes a peer has for fragments: 1 TiB
	Horizon  bool          // a tessera that is lost is not published anew
}

func (c Config) withDefaults() (Config, error) {
	orDefault(&c.Seed, 1)
	orDefault(&c.Peers, 1000)
	orDefault(&c.Duration, 10*Year)
	orDefault(&c.Tesseras, 100)
	if c.Data == 0 && c.Parity == 0 {
		c.Data, c.Parity = 16, 8
	}
	orDefault(&c.Shard, 1<<20)
	orDefault(&c.AFR, 0.2)
	orDefault(&c.Offline, 0.1)
	orDefault(&c.Away, 8*time.Hour)
	orDefault(&c.Interval, 24*time.Hour)
	orDefault(&c.Replicas, 7)
	orDefault(&c.Subnet, 2)
	orDefault(&c.PerNet, 2)
	orDefault(&c.Known, 200)
	orDefault(&c.Free, 1<<40)
	c.AFR, c.Offline, c.Subnet = max(c.AFR, 0), max(c.Offline, 0), max(c.Subnet, 0)
	for _, wrong := range []struct {
		is   bool
		what string
	}{
		{c.Peers < 1 || c.Peers > 1_000_000, "peers: 1 to 1000000"},
		{c.Tesseras < 1 || c.Tesseras > sdk.MaxTesseras, fmt.Sprintf("tesseras: 1 to %d", sdk.MaxTesseras)},
		{c.Data < 1 || c.Parity < 0 || c.Data+c.Parity > sdk.MaxFragments, fmt.Sprintf("fragments: at least 1 that rebuild, at most %d in all", sdk.MaxFragments)},
		{c.Shard < 1, "a fragment has at least 1 byte"},
		{c.AFR >= 1, "share that leaves within a year: below 1"},
		{c.Offline >= 1, "share of the time away: below 1"},
		{c.Flapping < 0 || c.Flapping > 1 || c.Flapping > 0 && (c.Away > day || c.Interval < day), "flapping: at most all, for a day at most, looked at once a day at most"},
		{c.Interval < time.Minute || c.Duration < c.Interval || c.Away <= 0, "times: an interval of a minute at least, and at least one of them"},
		{c.Known < 1 || c.Known > sdk.MaxCandidates, fmt.Sprintf("known peers: 1 to %d", sdk.MaxCandidates)},
		{c.PerNet < 1 || c.Replicas < 0, "peers in a subnet: at least 1"},
	} {
		if wrong.is {
			return c, fmt.Errorf("%w: %s", ErrConfig, wrong.what)
		}
	}
	return c, nil
}

func orDefault[T comparable](field *T, standard T) {
	var zero T
	if *field == zero {
		*field = standard
	}
}

// Result is what became of the network.
type Result struct {
	Years           float64 `json:"years"`
	TesseraYears    float64 `json:"tessera_years"` // at risk
	NodeYears       float64 `json:"node_years"`
	PeersGone       int     `json:"peers_gone"`
	Lost            int     `json:"lost"`
	LossPerYear     float64 `json:"loss_per_year"`    // of a tessera
	Unavailable     float64 `json:"unavailable"`      // share of the looks at which a tessera could not be had just then
	Rebuilt         int     `json:"rebuilt"`          // fragments
	RepairBytes     int64   `json:"repair_bytes"`     // read and written
	RepairPerYear   float64 `json:"repair_per_year"`  // of the bytes of a tessera's fragments, for each tessera
	Questions       int     `json:"questions"`        // that policies were asked
	Refused         int     `json:"refused"`          // questions nobody answered, or that were deferred
	MeanMargin      float64 `json:"mean_margin"`      // peers that any so many more of may go, by those that answer
	ThinnestMargin  int     `json:"thinnest_margin"`  // the least of it ever seen
	PeersPerTessera float64 `json:"peers_of_tessera"` // that answer, on average
	Imbalance       float64 `json:"imbalance"`        // the fullest peer beside the mean one, yearly, on average
	Surplus         float64 `json:"surplus"`          // fragments on more peers than needed, as a share of all, at the end
}

// Engine decides; it is the engine of a node.
type Engine interface {
	Place(ctx context.Context, request *sdk.PlaceRequest) (*policy.Placement, error)
	Repair(ctx context.Context, request *sdk.RepairRequest) (*policy.RepairPlan, error)
}

// Clock is the time in a simulation, for an engine that takes its own from it.
type Clock struct{ now time.Time }

// Start is when every simulation begins.
func Start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// NewClock is a clock that stands at Start.
func NewClock() *Clock { return &Clock{Start()} }

// Now is the time.
func (c *Clock) Now() time.Time { return c.now }

// Run simulates. The engine is asked in one goroutine. progress is told how far the run has come, now
// and then; it may be nil. Errors: ErrConfig, that of ctx, or that of asking.
func Run(ctx context.Context, e Engine, clock *Clock, c Config, progress func(share float64)) (Result, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Result{}, err
	}
	w := newWorld(c, e, clock)
	rounds := int(c.Duration / c.Interval)
	if err := w.publishAll(ctx); err != nil {
		return Result{}, err
	}
	for round := range rounds {
		clock.now = Start().Add(time.Duration(round+1) * c.Interval)
		w.churn()
		if err := w.look(ctx); err != nil {
			return Result{}, err
		}
		if progress != nil && round%(rounds/100+1) == 0 {
			progress(float64(round) / float64(rounds))
		}
	}
	w.weigh(true)
	if w.looks == 0 {
		return Result{}, fmt.Errorf("%w: the policies never placed enough of a tessera to rebuild it", ErrConfig)
	}
	return w.result(rounds), nil
}

// NewEngine is an engine as a node has it, with a patience that does not hang on this machine.
func NewEngine(clock *Clock, c policy.Config) *policy.Engine {
	c.Deadlines = policy.Deadlines{Place: time.Minute, Admit: time.Minute, Repair: time.Minute}
	return policy.New(policy.Deps{Now: clock.Now}, c)
}

// world is a run under way.
type world struct {
	Config
	engine   Engine
	clock    *Clock
	fate     *rand.Rand // which peers leave, and what they are like: the same under all policies
	absence  *rand.Rand // who is away when: so whether anybody is changes nothing about who leaves
	random   *rand.Rand // everything else
	peers    []*peer    // in their places; who leaves is followed by another at the same place
	tesseras []*tessera // nil where one is to be published
	finished []bool     // by place: it was lost, and none follows
	habits   health.Habits

	out       Result
	margins   int64
	looks     int64
	answering int64
	missed    int64
	crowding  float64
	weighed   int
}

func newWorld(c Config, e Engine, clock *Clock) *world {
	w := &world{Config: c, engine: e, clock: clock, tesseras: make([]*tessera, c.Tesseras), finished: make([]bool, c.Tesseras)}
	w.fate, w.random = rand.New(rand.NewPCG(c.Seed, 1)), rand.New(rand.NewPCG(c.Seed, 2))
	w.absence = rand.New(rand.NewPCG(c.Seed, 3))
	clock.now = Start()
	w.out.ThinnestMargin = math.MaxInt
	for place := range c.Peers {
		p := w.newPeer(place)
		p.since = Start().Add(-180 * 24 * time.Hour)
		p.online = w.absence.Float64() >= c.Offline
		w.peers = append(w.peers, p)
	}
	return w
}

// result sums up.
func (w *world) result(rounds int) Result {
	r := w.out
	interval := w.Interval.Hours() / Year.Hours()
	r.Years = float64(rounds) * interval
	r.NodeYears = r.Years * float64(w.Peers)
	r.TesseraYears = float64(w.looks) * interval
	r.LossPerYear = float64(r.Lost) / r.TesseraYears
	r.Unavailable = float64(w.missed) / float64(w.looks)
	r.MeanMargin = float64(w.margins) / float64(w.looks)
	r.PeersPerTessera = float64(w.answering) / float64(w.looks)
	r.RepairPerYear = float64(r.RepairBytes) / r.TesseraYears / float64(w.Shard*int64(w.Data+w.Parity))
	if w.weighed > 0 {
		r.Imbalance = w.crowding / float64(w.weighed)
	}
	if r.ThinnestMargin == math.MaxInt {
		r.ThinnestMargin = 0
	}
	held, wanted := 0, 0
	for _, t := range w.tesseras {
		if t != nil {
			wanted += w.Data + w.Parity
			for _, row := range t.rows {
				held += len(row.fragments)
			}
		}
	}
	if wanted > 0 {
		r.Surplus = float64(max(held-wanted, 0)) / float64(wanted)
	}
	return r
}
