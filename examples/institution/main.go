// Command institution is an institution's override: a guard of all three roles, run as a program, that
// goes by the institution's own lists.
//
// The allow-list names who may hold fragments for it and whose fragments it keeps; the retention file
// names tesseras and the day until which they are to be kept. Both are read once, when the policy is
// loaded, so that the same question gets the same answer as long as it runs. Every reason names the
// digest of the list it goes by, so that a recorded decision proves which list was in force.
package main

import (
	"strconv"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

// override is the policy.
type override struct {
	allowFile, retentionFile string
	priority                 int64

	allowed   allowList
	retention retentionList
}

func (o *override) options() *sdk.Options {
	return new(sdk.Options).
		Text("allow_list", &o.allowFile, "", "file of nodes, networks and owners that this institution works with").
		Text("retention", &o.retentionFile, "", "file of tesseras and the days until which they are kept").
		Int("priority", &o.priority, 900, "least repair priority of a tessera under retention").
		Check(func() string {
			if o.priority < 1 || o.priority > 1_000_000 {
				return "1 to 1000000"
			}
			return ""
		})
}

// Describe implements sdk.Describer.
func (o *override) Describe() *sdk.Description {
	return &sdk.Description{Name: "institution", Version: "1", Guard: true, Config: o.options().Keys()}
}

// Configure implements sdk.Configurer: it reads the lists.
func (o *override) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	if answer := o.options().Configure(r); answer.Status != sdk.Status_OK {
		return answer
	}
	var err error
	if o.allowed, err = readAllowList(o.allowFile); err != nil {
		return &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "allow_list", Reason: err.Error()}
	}
	if o.retention, err = readRetention(o.retentionFile); err != nil {
		return &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "retention", Reason: err.Error()}
	}
	guest.Log(guest.Info, "allow-list "+o.allowed.digest+", retention "+o.retention.digest)
	return &sdk.ConfigureResponse{Status: sdk.Status_OK}
}

// Place keeps fragments with those on the allow-list. What is under retention goes by the strict cap.
func (o *override) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	a := &sdk.PlaceResponse{Status: sdk.Status_OK}
	for i, c := range q.Candidates {
		if !o.allowed.holds(c.GetId(), sdk.SubnetText(c.GetSubnet())) {
			a.Notes = append(a.Notes, &sdk.PeerNote{
				Candidate: uint32(i), Excluded: true, Reason: "neither the node nor its network is on allow-list " + o.allowed.digest,
			})
		}
	}
	if until, kept := o.retention.until(q.Tessera); kept && q.NowUnixMs < until {
		a.Caps = &sdk.Caps{Strict: true}
	}
	return a
}

// Admit refuses owners that are not on the allow-list, and tesseras whose time has passed.
func (o *override) Admit(q *sdk.AdmitRequest) *sdk.AdmitResponse {
	refuse := func(why string) *sdk.AdmitResponse {
		return &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: why}
	}
	if !o.allowed.owns(q.Owner) {
		return refuse("owner " + sdk.ShortID(q.Owner) + " is not on allow-list " + o.allowed.digest)
	}
	if until, kept := o.retention.until(q.Tessera); kept && q.NowUnixMs >= until {
		return refuse("tessera " + sdk.ShortID(q.Tessera) + " was kept until its day, says retention file " + o.retention.digest)
	}
	return &sdk.AdmitResponse{Status: sdk.Status_PASS}
}

// Repair raises what is under retention.
func (o *override) Repair(q *sdk.RepairRequest) *sdk.RepairResponse {
	a := &sdk.RepairResponse{Status: sdk.Status_OK}
	for i, h := range q.Tesseras {
		if until, kept := o.retention.until(h.GetTessera()); kept && q.NowUnixMs < until {
			a.Orders = append(a.Orders, &sdk.RepairOrder{
				Tessera: uint32(i), Priority: uint32(o.priority),
				Reason: "under retention for " + strconv.FormatInt((until-q.NowUnixMs)/day, 10) + " more days, says retention file " + o.retention.digest,
			})
		}
	}
	return a
}

func init() { guest.Register(&override{}) }

func main() { process.Main() }
