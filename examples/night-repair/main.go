// Command night-repair is a repair decider: by day everything that can wait waits for the night, when
// the line is free; at night it has no opinion, and the next policy decides.
package main

import (
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

const (
	hour = 3_600_000 // ms
	day  = 24 * hour
)

type nightRepair struct {
	from, to int64 // hours, local
	offset   int64 // minutes that local time is ahead of UTC
}

func (n *nightRepair) options() *sdk.Options {
	return new(sdk.Options).
		Int("from", &n.from, 1, "hour of the day at which the night begins").
		Int("to", &n.to, 6, "hour of the day at which it ends").
		Check(func() string {
			if n.from < 0 || n.from > 23 || n.to < 0 || n.to > 23 || n.from == n.to {
				return "two different hours from 0 to 23"
			}
			return ""
		}).
		Int("utc_offset", &n.offset, 0, "minutes that the clock here is ahead of UTC").
		Check(func() string {
			if n.offset < -1440 || n.offset > 1440 {
				return "minutes within a day"
			}
			return ""
		})
}

// Describe implements sdk.Describer.
func (n *nightRepair) Describe() *sdk.Description {
	return &sdk.Description{Name: "night-repair", Version: "1", Decider: true, Config: n.options().Keys()}
}

// Configure implements sdk.Configurer.
func (n *nightRepair) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	return n.options().Configure(r)
}

// Repair implements sdk.Repair. What is one loss away from the end is repaired at once whatever it says:
// the host sees to that.
func (n *nightRepair) Repair(q *sdk.RepairRequest) *sdk.RepairResponse {
	wait := n.untilNight(q.NowUnixMs)
	if wait == 0 {
		return &sdk.RepairResponse{Status: sdk.Status_PASS}
	}
	a := &sdk.RepairResponse{Status: sdk.Status_OK, Reason: "the night begins in " + sdk.DurationText(wait)}
	for i, h := range q.Tesseras {
		if h.GetRecoverable() && h.GetMissing()+h.GetPeersShort() > 0 {
			a.Orders = append(a.Orders, &sdk.RepairOrder{
				Tessera: uint32(i), WaitMs: wait, Priority: 100 - min(h.GetSurvivesPeers(), 99), Reason: "waits for the night",
			})
		}
	}
	return a
}

// untilNight is how many ms it is to the next beginning of the night, 0 in the night.
func (n *nightRepair) untilNight(now int64) uint64 {
	local := ((now%day+n.offset*60_000)%day + day) % day
	begins, ends := n.from*hour, n.to*hour
	if begins < ends && local >= begins && local < ends || begins > ends && (local >= begins || local < ends) {
		return 0
	}
	return uint64((begins - local + day) % day)
}

func init() { guest.Register(&nightRepair{}) }

func main() { process.Main() }
