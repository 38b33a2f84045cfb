package sim

import (
	"math"
	"math/bits"
	"net/netip"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// peer is a simulated node.
type peer struct {
	contact identity.Contact
	id      sdk.NodeID
	name    string // for host/health
	subnet  []byte
	network string // for host/health
	country string
	trip    uint32 // ms
	since   time.Time
	online  bool
	gone    bool      // for good
	met     time.Time // when it was last met between two looks, as far as that was not at one
	asked   uint32
	found   uint32 // of those times
	used    uint64 // bytes
}

// newPeer is a newcomer at a place. Places share subnets; what a peer is like follows from the seed.
func (w *world) newPeer(place int) *peer {
	p := &peer{since: w.clock.now, online: true, trip: 5 + uint32(w.fate.IntN(200))}
	for i := range p.id {
		p.id[i] = byte(w.fate.Uint32())
	}
	p.contact.Key = sdk.NodeKey(p.id)
	net := place / w.PerNet
	addr := netip.AddrFrom4([4]byte{10 + byte(net>>16), byte(net >> 8), byte(net), byte(1 + place%w.PerNet)})
	p.contact.Addr = netip.AddrPortFrom(addr, 4433)
	p.subnet = scatter.SubnetBytes(addr)
	p.name, p.network = p.id.String(), string(p.subnet)
	p.country = countries[net%len(countries)]
	return p
}

// countries are where the subnets are.
var countries = [...]string{"AT", "BR", "CH", "DE", "ES", "FI", "IN", "JP", "NL", "PT"}

// churn lets an interval pass: some leave for good and are followed by newcomers, some go away or come
// back. Both are sampled from the exact distributions at its end.
func (w *world) churn() {
	leaves := 1 - math.Exp(math.Log1p(-w.AFR)*w.Interval.Hours()/Year.Hours())
	stays := 0.0 // how much of a peer's state at the last look is left
	if w.Offline > 0 {
		stays = math.Exp(-w.Interval.Hours() / w.Away.Hours() / (1 - w.Offline))
	}
	never := math.Exp(-w.Interval.Hours() / w.Away.Hours()) // who is away is so all the time until the next look
	for place, p := range w.peers {
		if w.AFR > 0 && w.fate.Float64() < leaves {
			p.gone, p.online = true, false
			w.out.PeersGone++
			w.peers[place] = w.newPeer(place)
			continue
		}
		if w.Flapping > 0 {
			w.flap(p)
			continue
		}
		if w.Offline == 0 {
			continue
		}
		away, all := w.Offline*(1-stays), 0.0
		if !p.online {
			away, all = away+stays, never
		}
		chance := w.absence.Float64()
		p.online = chance >= away
		if !p.online && chance >= all {
			p.met = w.clock.now.Add(-w.Interval / 2) // it was back in between
		}
	}
	for _, p := range w.peers {
		p.asked++
		if p.online {
			p.found++
		}
	}
}

// flap draws whether a peer is away at the hour of the look. Who was away at the last one was back since.
func (w *world) flap(p *peer) {
	back := !p.online
	p.online = w.absence.Float64() >= w.Flapping*w.Away.Hours()/day.Hours()
	if back && !p.online {
		p.met = w.clock.now.Add(-w.Interval / 2)
	}
}

// view is what a node knows of the peer, and tells policies.
func (p *peer) view(w *world, t sdk.TesseraID) *sdk.Candidate {
	uptime := uint32(0)
	if p.asked > 0 {
		uptime = uint32(uint64(p.found) * sdk.PPM / uint64(p.asked))
	}
	return &sdk.Candidate{
		Id: p.id[:], Subnet: p.subnet, Country: p.country, Nearness: nearness(p.id, t), FreeBytes: w.Free - min(w.Free-1, p.used),
		ProofSuccessPpm: sdk.PPM, UptimePpm: uptime, RoundTripMs: p.trip, AgeS: uint64(max(w.clock.now.Sub(p.since), 0) / time.Second),
	}
}

// nearness is how many leading bits two ids share.
func nearness(n sdk.NodeID, t sdk.TesseraID) uint32 {
	for i := range n {
		if x := n[i] ^ t[i]; x != 0 {
			return uint32(8*i + bits.LeadingZeros8(x))
		}
	}
	return 8 * sdk.IDSize
}
