package localapi

import (
	"github.com/tesseras/tesseras/sdk"
)

// What the server sends: the plain types as messages. decode.go is the way back.

func mapped[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func toInt32(n int) int32 { return int32(n) }

func (s Summary) message() *TesseraSummary {
	return &TesseraSummary{
		Id: s.ID.String(), Title: []byte(s.Title), SizeBytes: s.SizeBytes, Created: s.Created.text(), Health: s.Health,
	}
}

func (d Details) message() *ShowResponse {
	return &ShowResponse{
		Summary:     d.Summary.message(),
		Owner:       d.Owner.String(),
		PackedBytes: d.PackedBytes,
		Tier:        d.Tier,
		Entries:     mapped(d.Entries, Entry.message),
	}
}

func (e Entry) message() *ShowResponse_File {
	return &ShowResponse_File{
		Path: []byte(e.Path), Folder: e.Folder, SizeBytes: e.SizeBytes,
		Modified: e.Modified.text(), MediaType: e.MediaType, Hash: e.Hash.String(),
	}
}

func (d Damage) message() *DamageNote {
	m := &DamageNote{Path: []byte(d.Path), Problem: d.Problem}
	if d.Fragment != nil {
		index := int32(*d.Fragment)
		m.Fragment = &index
	}
	return m
}

func (v Verified) event() *Event {
	return &Event{Kind: &Event_Verified{&VerifyResult{
		Id: v.ID.String(), Files: int64(v.Files), SizeBytes: v.SizeBytes, Damage: mapped(v.Damage, Damage.message),
	}}}
}

func (p Published) event() *Event {
	return &Event{Kind: &Event_Published{&PublishResult{
		Id: p.ID.String(), Tier: p.Tier, Fragments: toInt32(p.Fragments), Placed: toInt32(p.Placed),
		Peers: toInt32(p.Peers), SurvivesPeers: toInt32(p.SurvivesPeers), AtTarget: p.AtTarget,
	}}}
}

func (r RepairReport) event() *Event {
	return &Event{Kind: &Event_Repaired{&RepairResult{
		Checked: toInt32(r.Checked), Healthy: toInt32(r.Healthy), Repaired: toInt32(r.Repaired),
		RebuiltFragments: toInt32(r.RebuiltFragments), Failed: toInt32(r.Failed), CorruptHealed: toInt32(r.CorruptHealed),
		Failures: mapped(r.Failures, func(f Failure) *RepairResult_Failure {
			return &RepairResult_Failure{Id: f.ID.String(), Why: f.Why}
		}),
	}}}
}

func (p Progress) event() *Event {
	return &Event{Kind: &Event_Progress{&ProgressNote{Stage: p.Stage, Done: p.Done, Total: p.Total, Unit: p.Unit}}}
}

func (p Peer) message() *PeersResponse_Peer {
	return &PeersResponse_Peer{
		Node: p.Node.String(), Addr: p.Addr, Subnet: p.Subnet, LastSeen: p.LastSeen.text(), Institutional: p.Institutional,
	}
}

func (a Account) message() *LedgerResponse_Account {
	return &LedgerResponse_Account{
		Owner: a.Owner.String(), BytesStoredForThem: a.BytesStoredForThem,
		BytesTheyStoreForUs: a.BytesTheyStoreForUs, Balance: a.Balance,
	}
}

func (a Audit) message() *AuditLedgerResponse {
	return &AuditLedgerResponse{
		Agree: a.Agree, Unreached: toInt32(a.Unreached),
		Receipts: &AuditLedgerResponse_Receipts{Given: a.Receipts.Given, Taken: a.Receipts.Taken, Bad: a.Receipts.Bad},
		Wrong: mapped(a.Wrong, func(w WrongRow) *AuditLedgerResponse_Row {
			return &AuditLedgerResponse_Row{
				Owner: w.Owner.String(), HereWritten: w.HereWritten, HereFacts: w.HereFacts,
				ThereWritten: w.ThereWritten, ThereFacts: w.ThereFacts,
			}
		}),
		Peers: mapped(a.Peers, func(p AuditedPeer) *AuditLedgerResponse_Peer {
			return &AuditLedgerResponse_Peer{
				Node: p.Node.String(), Owner: p.Owner.String(), Verdict: p.Verdict, Why: p.WhyUnreached,
				WeKeep: p.WeKeep, TheySayWeKeep: p.TheySayWe, TheyKeep: p.TheyKeep, WeSayTheyKeep: p.WeSayTheyDo,
			}
		}),
		Unvouched: mapped(a.Unvouched, func(u Unvouched) *AuditLedgerResponse_Unvouched {
			return &AuditLedgerResponse_Unvouched{
				Tessera: u.Tessera.String(), Index: toInt32(u.Index), Holder: u.Holder.String(), Problem: u.Problem,
			}
		}),
	}
}

func (s Status) message() *StatusResponse {
	return &StatusResponse{
		Summary: Summary{s.ID, s.Title, s.SizeBytes, s.Created, s.Health}.message(),
		Tier:    s.Tier,
		Deficit: toInt32(s.Deficit),
		Fragments: &StatusResponse_Fragments{
			Data: toInt32(s.Fragments.Data), Total: toInt32(s.Fragments.Total),
			Held: toInt32(s.Fragments.Held), Proven: toInt32(s.Fragments.Proven),
		},
		Holders: mapped(s.Holders, Holder.message),
		Survives: &StatusResponse_Survives{
			Peers: toInt32(s.Survives.Peers), Subnets: toInt32(s.Survives.Subnets), Operators: toInt32(s.Survives.Operators),
		},
		Damage: mapped(s.Damage, Damage.message),
		Notes:  s.Notes,
	}
}

func (h Holder) message() *StatusResponse_Holder {
	return &StatusResponse_Holder{
		Node: h.Node.String(), Addr: h.Addr, Fragments: mapped(h.Fragments, toInt32),
		LastProven: h.LastProven.text(), Failed: h.Failed, Self: h.Self, Note: h.Note,
	}
}

func (s RepairStep) message() *RepairPlanResponse_Step {
	return &RepairPlanResponse_Step{
		Summary: Summary{ID: s.ID, Title: s.Title, Health: s.Health}.message(),
		Deficit: toInt32(s.Deficit), SurvivesPeers: toInt32(s.SurvivesPeers),
		Fragments: mapped(s.Fragments, toInt32), Action: s.Action, Why: s.Why,
	}
}

func (n NodeStatus) message() *NodeResponse {
	return &NodeResponse{
		Node: n.Node.String(), Addr: n.Addr, Peers: int64(n.Peers), Tesseras: int64(n.Tesseras),
		FragmentsHeld: int64(n.FragmentsHeld), BytesHeld: n.BytesHeld, FreeBytes: n.FreeBytes,
		Unplanned: mapped(n.Unplanned, Unplanned.message),
		UnplannedTotal: &NodeResponse_UnplannedTotal{
			Tesseras: int64(n.UnplannedTotal.Tesseras), Fragments: int64(n.UnplannedTotal.Fragments),
			Files: int64(n.UnplannedTotal.Files), SizeBytes: n.UnplannedTotal.SizeBytes,
		},
	}
}

func (u Unplanned) message() *NodeResponse_Unplanned {
	return &NodeResponse_Unplanned{Id: u.ID.String(), Fragments: mapped(u.Fragments, toInt32), Files: int64(u.Files), SizeBytes: u.SizeBytes}
}

func (i Identity) message() *IdentityResponse {
	return &IdentityResponse{Node: i.Node.String(), Addr: i.Addr, Owner: optionalKey(i.Owner)}
}

func optionalKey(k sdk.OwnerKey) string {
	if k.IsZero() {
		return ""
	}
	return k.String()
}
