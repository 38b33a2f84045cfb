package localapi

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// GCOptions say how to remove what nobody needs.
type GCOptions struct {
	DryRun bool
	Grace  time.Duration // how old an orphan must be; negative is the default
}

// Swept is what GC removed, or would have.
type Swept struct {
	OrphansRemoved    int    `json:"orphans_removed"`
	LeakedRefsRemoved int    `json:"leaked_refs_removed"`
	SkippedYoung      int    `json:"skipped_young"`
	BytesFreed        int64  `json:"bytes_freed"`
	Trashed           int    `json:"trashed"` // of the orphans, those that were only moved aside
	Missing           int    `json:"missing"` // needed objects without a file
	DryRun            bool   `json:"dry_run"`
	Postponed         string `json:"postponed,omitempty"` // why nothing went
	Doubt             string `json:"doubt,omitempty"`     // why orphans were only moved aside
}

// Scrubbed is what Scrub has found.
type Scrubbed struct {
	Objects int   `json:"objects"` // that were read
	Bytes   int64 `json:"bytes"`
	Corrupt int   `json:"corrupt"` // not what their names say, or missing
	Healed  int   `json:"healed"`  // known to be damaged before, and whole now
	Damage  []Hit `json:"damage"`  // all that is known, found now or earlier
}

// Hit is a file, a fragment or a document of a tessera that is damaged; of none where it is the journal.
type Hit struct {
	ID    sdk.TesseraID `json:"id"`
	Title Name          `json:"title"` // of an own tessera
	Damage
	Object digest.Hash `json:"object"` // zeroes for a document
}

// ScrubAction is what is asked of the scrub that goes on by itself.
type ScrubAction string

// The actions there are.
const (
	ScrubStart  ScrubAction = "start"  // a pass begins now
	ScrubPause  ScrubAction = "pause"  // nothing is read until it is resumed, also after a restart
	ScrubResume ScrubAction = "resume" // it goes on where it was
	ScrubLook   ScrubAction = "status"
)

// The values of ScrubStatus.State.
const (
	ScrubWaiting = "waiting" // for the next pass
	ScrubRunning = "running" // a pass is under way, a share in each maintenance round or all at once
	ScrubPaused  = "paused"
)

// ScrubStatus is how the scrub that goes on by itself stands.
type ScrubStatus struct {
	State        string `json:"state"`
	Objects      int    `json:"objects"` // read in this pass, or in the last one
	Bytes        int64  `json:"bytes"`
	Corrupt      int    `json:"corrupt"`
	Healed       int    `json:"healed"`
	TotalObjects int    `json:"total_objects"`
	TotalBytes   int64  `json:"total_bytes"`
	Started      Moment `json:"started"`  // this pass, or the last one
	Finished     Moment `json:"finished"` // the last one
	Next         Moment `json:"next"`     // pass, while none is under way
	Damage       []Hit  `json:"damage"`
}

// GC implements LocalHandler.
func (c *control) GC(ctx context.Context, r *GCRequest) (*GCResponse, error) {
	o := GCOptions{DryRun: r.DryRun, Grace: -1}
	if r.GraceNs != nil {
		o.Grace = max(time.Duration(*r.GraceNs), 0)
	}
	s, err := c.backend.GC(ctx, o)
	return s.message(), onWire(ctx, err)
}

// Scrub implements LocalHandler.
func (c *control) Scrub(ctx context.Context, _ *ScrubRequest, out *connect.ServerStream[Event]) error {
	return onWire(ctx, c.report(out, func(progress ProgressFunc) (*Event, error) {
		s, err := c.backend.Scrub(ctx, progress)
		if err != nil {
			return nil, err
		}
		return &Event{Kind: &Event_Scrubbed{s.message()}}, nil
	}))
}

// ScrubControl implements LocalHandler.
func (c *control) ScrubControl(ctx context.Context, r *ScrubControlRequest) (*ScrubState, error) {
	s, err := c.backend.ScrubControl(ctx, ScrubAction(r.Action))
	return s.message(), onWire(ctx, err)
}

// GC removes what nobody needs.
func (c *Client) GC(ctx context.Context, o GCOptions) (Swept, error) {
	q := &GCRequest{DryRun: o.DryRun}
	if o.Grace >= 0 {
		grace := int64(o.Grace)
		q.GraceNs = &grace
	}
	r, err := c.rpc.GC(ctx, q)
	return answer(ctx, err, func(*decoder) Swept { return sweptOf(r) })
}

// Scrub reads every object now.
func (c *Client) Scrub(ctx context.Context, progress ProgressFunc) (Scrubbed, error) {
	stream, err := c.rpc.Scrub(ctx, &ScrubRequest{})
	return follow(ctx, stream, err, progress, func(d *decoder, e *Event) Scrubbed { return d.scrubbed(e.GetScrubbed()) })
}

// ScrubControl starts, pauses or resumes the scrub that goes on by itself, or tells how it stands.
func (c *Client) ScrubControl(ctx context.Context, action ScrubAction) (ScrubStatus, error) {
	r, err := c.rpc.ScrubControl(ctx, &ScrubControlRequest{Action: string(action)})
	return answer(ctx, err, func(d *decoder) ScrubStatus { return d.scrubStatus(r) })
}

func (s Swept) message() *GCResponse {
	return &GCResponse{
		OrphansRemoved: int64(s.OrphansRemoved), LeakedRefsRemoved: int64(s.LeakedRefsRemoved), SkippedYoung: int64(s.SkippedYoung),
		BytesFreed: s.BytesFreed, Trashed: int64(s.Trashed), Missing: int64(s.Missing), DryRun: s.DryRun,
		Postponed: s.Postponed, Doubt: s.Doubt,
	}
}

func sweptOf(m *GCResponse) Swept {
	return Swept{
		OrphansRemoved: int(m.OrphansRemoved), LeakedRefsRemoved: int(m.LeakedRefsRemoved), SkippedYoung: int(m.SkippedYoung),
		BytesFreed: m.BytesFreed, Trashed: int(m.Trashed), Missing: int(m.Missing), DryRun: m.DryRun,
		Postponed: m.Postponed, Doubt: m.Doubt,
	}
}

func (s Scrubbed) message() *ScrubResult {
	return &ScrubResult{
		Objects: int64(s.Objects), Bytes: s.Bytes, Corrupt: int64(s.Corrupt), Healed: int64(s.Healed),
		Damage: mapped(s.Damage, Hit.message),
	}
}

func (h Hit) message() *ScrubResult_Hit {
	return &ScrubResult_Hit{Id: h.ID.String(), Title: []byte(h.Title), Damage: h.Damage.message(), Object: h.Object.String()}
}

func (s ScrubStatus) message() *ScrubState {
	return &ScrubState{
		State: s.State, Objects: int64(s.Objects), Bytes: s.Bytes, Corrupt: int64(s.Corrupt), Healed: int64(s.Healed),
		TotalObjects: int64(s.TotalObjects), TotalBytes: s.TotalBytes,
		Started: s.Started.text(), Finished: s.Finished.text(), Next: s.Next.text(), Damage: mapped(s.Damage, Hit.message),
	}
}

func (d *decoder) scrubbed(m *ScrubResult) Scrubbed {
	return Scrubbed{
		Objects: int(m.GetObjects()), Bytes: m.GetBytes(), Corrupt: int(m.GetCorrupt()), Healed: int(m.GetHealed()),
		Damage: mapped(m.GetDamage(), d.hit),
	}
}

func (d *decoder) hit(m *ScrubResult_Hit) Hit {
	return Hit{ID: d.tessera(m.Id), Title: Name(m.Title), Damage: d.damage(m.GetDamage()), Object: take(d, m.Object, digest.Parse)}
}

func (d *decoder) scrubStatus(m *ScrubState) ScrubStatus {
	return ScrubStatus{
		State: m.State, Objects: int(m.Objects), Bytes: m.Bytes, Corrupt: int(m.Corrupt), Healed: int(m.Healed),
		TotalObjects: int(m.TotalObjects), TotalBytes: m.TotalBytes,
		Started: d.moment(m.Started), Finished: d.moment(m.Finished), Next: d.moment(m.Next), Damage: mapped(m.Damage, d.hit),
	}
}
