package repair

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/sdk"
)

const hour = 3_600_000

func id(n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return h[:]
}

// lost is a tessera of which fragments are gone for good.
func lost(n int, survives, missing uint32) *sdk.TesseraHealth {
	return &sdk.TesseraHealth{
		Tessera: id(n), SurvivesPeers: survives, SurvivesSubnets: survives, SurvivesOperators: survives,
		Missing: missing, Recoverable: true,
	}
}

// silent is a tessera some of whose holders have not answered for a while.
func silent(n int, survives, peers uint32, sinceMS uint64) *sdk.TesseraHealth {
	h := lost(n, survives, peers)
	h.Suspect, h.SuspectPeers, h.SuspectSinceMs = peers, peers, sinceMS
	return h
}

func ask(interval uint64, tesseras ...*sdk.TesseraHealth) *sdk.RepairRequest {
	return &sdk.RepairRequest{Tesseras: tesseras, IntervalMs: interval, DeficitAllowance: 256 << 20, Weather: &sdk.Weather{PeersAsked: 24}}
}

func decide(t *testing.T, r *sdk.RepairRequest) *sdk.RepairResponse {
	t.Helper()
	got := ThinnestFirst{}.Repair(r)
	if got.Status != sdk.Status_OK {
		t.Fatalf("%v: %s", got.Status, got.Reason)
	}
	if !slices.IsSortedFunc(got.Orders, func(a, b *sdk.RepairOrder) int { return int(b.Priority) - int(a.Priority) }) {
		t.Errorf("priorities do not fall along the list: %v", got.Orders)
	}
	return got
}

func positions(got *sdk.RepairResponse) (out []uint32) {
	for _, o := range got.Orders {
		out = append(out, o.Tessera)
	}
	return out
}

func TestThinnestMarginFirst(t *testing.T) {
	fewSubnets, fewOperators := lost(2, 4, 1), lost(3, 4, 1)
	fewSubnets.SurvivesSubnets, fewOperators.SurvivesOperators = 1, 2
	own, cheap := lost(5, 7, 1), lost(6, 7, 1)
	own.Own, own.CostBytes, cheap.CostBytes = true, 9, 5
	dear := lost(7, 7, 1)
	dear.CostBytes = 8
	r := ask(24*hour, lost(0, 8, 1), lost(1, 0, 1), fewSubnets, fewOperators, lost(4, 3, 9), own, cheap, dear, lost(8, 8, 0))
	if got := positions(decide(t, r)); !slices.Equal(got, []uint32{1, 4, 2, 3, 5, 6, 7, 0}) {
		t.Errorf("order %v", got)
	}
}

func TestFreeRidersComeLastButAreNotForgotten(t *testing.T) {
	riderAtRisk, riding, owing := lost(0, 1, 2), lost(1, 2, 2), lost(2, 8, 2)
	for _, h := range []*sdk.TesseraHealth{riderAtRisk, riding} {
		h.OwnerBalanceBytes = -300 << 20
	}
	owing.OwnerBalanceBytes = -256 << 20 // within the allowance
	library, mine := lost(3, 8, 3), lost(4, 7, 3)
	library.OwnerBalanceBytes, library.Institutional = -1<<40, true
	mine.OwnerBalanceBytes, mine.Own = -1<<40, true
	got := decide(t, ask(24*hour, riding, riderAtRisk, owing, library, mine, lost(5, 0, 1)))
	if order := positions(got); !slices.Equal(order, []uint32{5, 1, 4, 2, 3, 0}) && !slices.Equal(order, []uint32{5, 1, 4, 3, 2, 0}) {
		t.Errorf("order %v", order)
	}
	for _, o := range got.Orders {
		if o.WaitMs > 0 || o.Rebuild != 0 {
			t.Errorf("tessera %d is put off: %+v", o.Tessera, o)
		}
	}
	if last := got.Orders[5].Reason; !strings.Contains(last, "after others, its owner owes us 300 MiB") {
		t.Errorf("reason %q", last)
	}
}

func TestUnrecoverableIsSkippedWithAReason(t *testing.T) {
	h := lost(0, 0, 20)
	h.Recoverable = false
	got := decide(t, ask(24*hour, h, lost(1, 4, 1)))
	if !slices.Equal(positions(got), []uint32{1}) || len(got.Notes) != 1 || got.Notes[0].Tessera != 0 || got.Notes[0].Reason == "" {
		t.Errorf("%v", got)
	}
	if got.Reason != "1 to repair now, 0 waiting, 1 beyond repair" {
		t.Errorf("reason %q", got.Reason)
	}
}

// TestAwayForANight follows one peer of 24 through the rounds: with an interval of a day a night away
// costs nothing, a second silent round does; with two seconds a dead peer is rebuilt in the next round.
func TestAwayForANight(t *testing.T) {
	for _, interval := range []uint64{2000, 24 * hour} {
		first := decide(t, ask(interval, silent(0, 8, 1, 0)))
		if o := first.Orders[0]; o.WaitMs == 0 || o.WaitMs > interval {
			t.Errorf("interval %d: at first sight %+v", interval, o)
		}
		second := decide(t, ask(interval, silent(0, 8, 1, interval)))
		if o := second.Orders[0]; o.WaitMs != 0 || o.Rebuild != 0 {
			t.Errorf("interval %d: a round later %+v", interval, o)
		}
	}
	if o := decide(t, ask(365*24*hour, silent(0, 8, 1, 25*hour))).Orders[0]; o.WaitMs != 0 {
		t.Errorf("with a long interval the grace is a day: %+v", o)
	}
}

func TestFlappingPeersGetMoreTime(t *testing.T) {
	for flaps, grace := range map[uint32]uint64{1: 72 * hour, 2: 96 * hour, 3: 96 * hour} {
		h := silent(0, 8, 1, 47*hour)
		h.Flaps = flaps
		if o := decide(t, ask(24*hour, h)).Orders[0]; o.WaitMs != grace-47*hour {
			t.Errorf("after %d flaps %+v", flaps, o)
		}
	}
	h := silent(0, 8, 1, 0)
	h.Flaps, h.SuspectSinceMs = 1000, 96*hour
	if o := decide(t, ask(24*hour, h)).Orders[0]; o.WaitMs != 0 {
		t.Errorf("patience has an end: %+v", o)
	}
}

func TestGraceNeverGoesBelowOneMoreLoss(t *testing.T) {
	for survives, waits := range map[uint32]bool{0: false, 1: false, 2: true, 7: true} {
		o := decide(t, ask(24*hour, silent(0, survives, 3, 0))).Orders[0]
		if (o.WaitMs > 0) != waits {
			t.Errorf("survives %d more: %+v", survives, o)
		}
	}
	uncounted := silent(0, 4, 3, 13*hour)
	uncounted.SuspectPeers = 0
	if o := decide(t, ask(24*hour, uncounted)).Orders[0]; o.Reason != "holders of 3 fragments silent for 13 h, grace is 12 h: 3 fragments to rebuild" {
		t.Errorf("%+v", o)
	}
}

// TestHalfOfThoseExpectedCount: of those who came back before and fell silent lately every other one is
// counted on, whoever else is silent.
func TestHalfOfThoseExpectedCount(t *testing.T) {
	for _, tt := range []struct {
		survives, expected uint32
		waits              bool
	}{{0, 3, false}, {0, 4, true}, {1, 1, false}, {1, 2, true}, {2, 0, true}} {
		h := silent(0, tt.survives, 6, 0)
		h.ExpectedPeers, h.Flaps = tt.expected, 1
		o := decide(t, ask(24*hour, h)).Orders[0]
		if (o.WaitMs > 0) != tt.waits || o.Rebuild > 0 {
			t.Errorf("survives %d, %d expected: %+v", tt.survives, tt.expected, o)
		}
	}
}

// TestWhoIsExpectedIsNotGivenUp: where a silent peer is given up nothing is rebuilt for those that fell silent
// beside it and are expected back.
func TestWhoIsExpectedIsNotGivenUp(t *testing.T) {
	for _, tt := range []struct{ expected, rebuild uint32 }{{0, 0}, {1, 4}, {4, 1}, {5, 1}} {
		h := silent(0, 3, 5, 96*hour)
		h.ExpectedPeers, h.Flaps = tt.expected, 2
		if o := decide(t, ask(24*hour, h)).Orders[0]; o.WaitMs > 0 || o.Rebuild != tt.rebuild {
			t.Errorf("%d of 5 expected: %+v", tt.expected, o)
		}
	}
}

// TestAwayByChance: where no loss is survived until others return, that is waited for in a calm network, and
// until the round after the one in which they fell silent; else a little is rebuilt at once.
func TestAwayByChance(t *testing.T) {
	for _, tt := range []struct {
		name    string
		weather *sdk.Weather
		sinceMS uint64
		wait    uint64
	}{
		{"a calm network", &sdk.Weather{PeersAsked: 200, PeersSilent: 39}, 0, 24 * hour},
		{"for an hour", &sdk.Weather{PeersAsked: 200, PeersSilent: 39}, hour, 23 * hour},
		{"since the last round", &sdk.Weather{PeersAsked: 200, PeersSilent: 8}, 24 * hour, 0},
		{"a fifth is silent", &sdk.Weather{PeersAsked: 200, PeersSilent: 40}, 0, 0},
		{"nobody but its holders is known", &sdk.Weather{PeersAsked: 24, PeersSilent: 8}, 0, 0},
		{"half fell silent at once", &sdk.Weather{PeersAsked: 200, PeersSilent: 100, PeersNewlySilent: 100}, 0, 0},
		{"no weather report", nil, 0, 0},
	} {
		h := silent(0, 0, 8, tt.sinceMS)
		h.ExpectedPeers, h.Flaps = 8, 3
		r := ask(24*hour, h)
		r.Weather = tt.weather
		o := decide(t, r).Orders[0]
		if o.WaitMs != tt.wait || (o.Rebuild == lifted) != (tt.wait == 0) {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
	h := silent(0, 0, 6, 0)
	h.ExpectedPeers, h.Missing = 6, 8
	if o := decide(t, ask(24*hour, h)).Orders[0]; o.WaitMs > 0 || o.Rebuild != 2 {
		t.Errorf("what is surely lost beside does not wait: %+v", o)
	}
}

func TestWhatIsSurelyLostDoesNotWait(t *testing.T) {
	h := silent(0, 8, 2, 0)
	h.Missing = 5
	if o := decide(t, ask(24*hour, h)).Orders[0]; o.WaitMs != 0 || o.Rebuild != 3 {
		t.Errorf("%+v", o)
	}
}

func TestNetworkWeather(t *testing.T) {
	storm := &sdk.Weather{PeersAsked: 24, PeersSilent: 12, PeersNewlySilent: 12}
	fine := &sdk.Weather{PeersAsked: 24, PeersSilent: 11, PeersNewlySilent: 11}
	cutOff := &sdk.Weather{PeersAsked: 5, PeersSilent: 5}
	for _, tt := range []struct {
		name    string
		weather *sdk.Weather
		health  *sdk.TesseraHealth
		waits   bool
	}{
		{"half are gone at once", storm, silent(0, 8, 7, 0), true},
		{"long silent already", storm, silent(0, 8, 7, 99*hour), true},
		{"fewer than half", fine, silent(0, 8, 7, 12*hour), false},
		{"nobody answers", cutOff, silent(0, 4, 4, 99*hour), true},
		{"never when the margin is thin", storm, silent(0, 1, 1, 0), false},
		{"nor for what is lost beside", storm, lost(0, 8, 3), false},
		{"no weather report", nil, silent(0, 8, 7, 12*hour), false},
	} {
		r := ask(24*hour, tt.health)
		r.Weather = tt.weather
		if o := decide(t, r).Orders[0]; (o.WaitMs > 0) != tt.waits {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
}

func TestTooFewPeersIsRepairedToo(t *testing.T) {
	h := lost(0, 1, 0)
	h.PeersShort = 4
	got := decide(t, ask(24*hour, h, lost(1, 8, 1)))
	if !slices.Equal(positions(got), []uint32{1, 0}) || got.Orders[1].Reason != "on 4 peers fewer than asked for" {
		t.Errorf("%v", got.Orders)
	}
}

func TestMalformedRequests(t *testing.T) {
	for name, r := range map[string]*sdk.RepairRequest{
		"short id":  ask(1, &sdk.TesseraHealth{Tessera: []byte{1}}),
		"empty":     ask(1, nil),
		"twice":     ask(1, lost(0, 1, 1), lost(0, 1, 1)),
		"too large": ask(1, make([]*sdk.TesseraHealth, sdk.MaxTesseras+1)...),
	} {
		if got := (ThinnestFirst{}).Repair(r); got.Status != sdk.Status_INVALID || got.Reason == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := (ThinnestFirst{}).Repair(nil); got.Status != sdk.Status_OK || len(got.Orders) > 0 {
		t.Errorf("nothing to decide: %v", got)
	}
}

func anyRequest(t *rapid.T) *sdk.RepairRequest {
	r := &sdk.RepairRequest{
		IntervalMs:       rapid.SampledFrom([]uint64{0, 1, 2000, 24 * hour, ^uint64(0)}).Draw(t, "interval"),
		DeficitAllowance: rapid.SampledFrom([]uint64{0, 256 << 20, ^uint64(0)}).Draw(t, "allowance"),
		Weather: &sdk.Weather{
			PeersAsked:       uint32(rapid.IntRange(0, 4).Draw(t, "asked")),
			PeersSilent:      uint32(rapid.IntRange(0, 4).Draw(t, "silent")),
			PeersNewlySilent: uint32(rapid.IntRange(0, 4).Draw(t, "newly")),
		},
	}
	small := func(name string) uint32 { return uint32(rapid.IntRange(0, 4).Draw(t, name)) }
	for i := range rapid.IntRange(0, 12).Draw(t, "tesseras") {
		r.Tesseras = append(r.Tesseras, &sdk.TesseraHealth{
			Tessera: id(i), SurvivesPeers: small("peers"), SurvivesSubnets: small("subnets"), SurvivesOperators: small("operators"),
			Missing: small("missing"), Suspect: small("suspect"), SuspectPeers: small("suspect peers"), PeersShort: small("short"),
			ExpectedPeers:     2 * small("expected"),
			SuspectSinceMs:    rapid.SampledFrom([]uint64{0, 500, 1500, 13 * hour, ^uint64(0)}).Draw(t, "since"),
			Flaps:             rapid.SampledFrom([]uint32{0, 1, 2, 1 << 31}).Draw(t, "flaps"),
			OwnerBalanceBytes: rapid.SampledFrom([]int64{0, -1, -1 << 62, -1 << 63, 1 << 40}).Draw(t, "balance"),
			Own:               rapid.Bool().Draw(t, "own"), Institutional: rapid.Bool().Draw(t, "institutional"),
			CostBytes:   uint64(small("cost")),
			Recoverable: rapid.IntRange(0, 3).Draw(t, "recoverable") > 0,
		})
	}
	return r
}

// TestPromises: nothing critical waits, nothing is ordered twice, and every answer is the same again.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRequest(t)
		got := ThinnestFirst{}.Repair(r)
		ordered := map[uint32]*sdk.RepairOrder{}
		for i, o := range got.Orders {
			if ordered[o.Tessera] != nil || o.Reason == "" {
				t.Fatalf("order %v", o)
			}
			if i > 0 && got.Orders[i-1].Priority < o.Priority {
				t.Fatal("priorities rise")
			}
			ordered[o.Tessera] = o
		}
		for i, h := range r.Tesseras {
			o := ordered[uint32(i)]
			needed := h.Missing > 0 && h.Recoverable
			if needed && o == nil || !needed && h.PeersShort == 0 && o != nil {
				t.Fatalf("%+v: %+v", h, o)
			}
			if needed && h.SurvivesPeers+h.ExpectedPeers/2 <= 1 && (o.WaitMs > 0 || o.Rebuild > 0) {
				t.Fatalf("critical, but %+v", o)
			}
			calm := 5*r.Weather.PeersSilent < r.Weather.PeersAsked
			if needed && h.SurvivesPeers == 0 && o.WaitMs > 0 && (!calm || o.WaitMs > r.IntervalMs-h.SuspectSinceMs) {
				t.Fatalf("no loss is survived, but %+v", o)
			}
		}
		asked, err := r.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		var decoded sdk.RepairRequest
		if err := decoded.UnmarshalVT(asked); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(marshal(t, got), marshal(t, ThinnestFirst{}.Repair(&decoded))) {
			t.Fatal("the same bytes gave another answer")
		}
		shuffled := *r
		shuffled.Tesseras = rapid.Permutation(r.Tesseras).Draw(t, "shuffled")
		for i, o := range (ThinnestFirst{}).Repair(&shuffled).Orders {
			want := got.Orders[i]
			if !bytes.Equal(shuffled.Tesseras[o.Tessera].Tessera, r.Tesseras[want.Tessera].Tessera) || o.Reason != want.Reason || o.WaitMs != want.WaitMs {
				t.Fatalf("order %d: %v, shuffled %v", i, want, o)
			}
		}
	})
}

func marshal(t *rapid.T, m *sdk.RepairResponse) []byte {
	b, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
