package localapi

import (
	"fmt"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// decoder turns messages into the plain types. Its first error sticks.
type decoder struct{ err error }

// decoded runs f and gives its result with the first error.
func decoded[T any](f func(*decoder) T) (T, error) {
	var d decoder
	v := f(&d)
	if d.err != nil {
		var zero T
		return zero, fmt.Errorf("answer of the node: %w", d.err)
	}
	return v, nil
}

func take[T any](d *decoder, text string, parse func(string) (T, error)) T {
	v, err := parse(text)
	if err != nil && d.err == nil {
		d.err = err
	}
	return v
}

func (d *decoder) tessera(s string) sdk.TesseraID { return take(d, s, sdk.ParseTesseraID) }
func (d *decoder) node(s string) sdk.NodeID       { return take(d, s, sdk.ParseNodeID) }
func (d *decoder) moment(s string) Moment         { return take(d, s, parseMoment) }

func (d *decoder) owner(s string) sdk.OwnerKey {
	if s == "" {
		return sdk.OwnerKey{}
	}
	return take(d, s, sdk.ParseOwnerKey)
}

func toInt(n int32) int { return int(n) }

func (d *decoder) summary(m *TesseraSummary) Summary {
	return Summary{d.tessera(m.GetId()), Name(m.GetTitle()), m.GetSizeBytes(), d.moment(m.GetCreated()), m.GetHealth()}
}

func (d *decoder) details(m *ShowResponse) Details {
	return Details{
		Summary: d.summary(m.Summary), Owner: d.owner(m.Owner), PackedBytes: m.PackedBytes, Tier: m.Tier,
		Entries: mapped(m.Entries, d.entry),
	}
}

func (d *decoder) entry(m *ShowResponse_File) Entry {
	e := Entry{
		Path: Name(m.Path), Folder: m.Folder, SizeBytes: m.SizeBytes,
		Modified: d.moment(m.Modified), MediaType: m.MediaType,
	}
	e.Hash = take(d, m.Hash, digest.Parse)
	return e
}

func (d *decoder) damage(m *DamageNote) Damage {
	damage := Damage{Path: Name(m.Path), Problem: m.Problem}
	if m.Fragment != nil {
		index := int(*m.Fragment)
		damage.Fragment = &index
	}
	return damage
}

func (d *decoder) verified(m *VerifyResult) Verified {
	return Verified{d.tessera(m.GetId()), int(m.GetFiles()), m.GetSizeBytes(), mapped(m.GetDamage(), d.damage)}
}

func (d *decoder) published(m *PublishResult) Published {
	return Published{
		ID: d.tessera(m.GetId()), Tier: m.GetTier(), Fragments: toInt(m.GetFragments()), Placed: toInt(m.GetPlaced()),
		Peers: toInt(m.GetPeers()), SurvivesPeers: toInt(m.GetSurvivesPeers()), AtTarget: m.GetAtTarget(),
	}
}

func (d *decoder) repaired(m *RepairResult) RepairReport {
	return RepairReport{
		Checked: toInt(m.GetChecked()), Healthy: toInt(m.GetHealthy()), Repaired: toInt(m.GetRepaired()),
		RebuiltFragments: toInt(m.GetRebuiltFragments()), Failed: toInt(m.GetFailed()), CorruptHealed: toInt(m.GetCorruptHealed()),
		Failures: mapped(m.GetFailures(), func(f *RepairResult_Failure) Failure { return Failure{d.tessera(f.Id), f.Why} }),
	}
}

func (d *decoder) peer(m *PeersResponse_Peer) Peer {
	return Peer{d.node(m.Node), m.Addr, m.Subnet, d.moment(m.LastSeen), m.Institutional}
}

func (d *decoder) account(m *LedgerResponse_Account) Account {
	return Account{d.owner(m.Owner), m.BytesStoredForThem, m.BytesTheyStoreForUs, m.Balance}
}

func (d *decoder) audit(m *AuditLedgerResponse) Audit {
	r := m.GetReceipts()
	return Audit{
		Agree: m.Agree, Unreached: toInt(m.Unreached),
		Receipts: ReceiptCount{Given: r.GetGiven(), Taken: r.GetTaken(), Bad: r.GetBad()},
		Wrong: mapped(m.Wrong, func(w *AuditLedgerResponse_Row) WrongRow {
			return WrongRow{d.owner(w.Owner), w.HereWritten, w.HereFacts, w.ThereWritten, w.ThereFacts}
		}),
		Peers: mapped(m.Peers, func(p *AuditLedgerResponse_Peer) AuditedPeer {
			return AuditedPeer{
				Node: d.node(p.Node), Owner: d.owner(p.Owner), Verdict: p.Verdict, WhyUnreached: p.Why,
				WeKeep: p.WeKeep, TheySayWe: p.TheySayWeKeep, TheyKeep: p.TheyKeep, WeSayTheyDo: p.WeSayTheyKeep,
			}
		}),
		Unvouched: mapped(m.Unvouched, func(u *AuditLedgerResponse_Unvouched) Unvouched {
			return Unvouched{d.tessera(u.Tessera), toInt(u.Index), d.node(u.Holder), u.Problem}
		}),
	}
}

func (d *decoder) status(m *StatusResponse) Status {
	s := d.summary(m.Summary)
	return Status{
		ID: s.ID, Title: s.Title, SizeBytes: s.SizeBytes, Created: s.Created, Health: s.Health,
		Tier: m.Tier, Deficit: toInt(m.Deficit),
		Fragments: FragmentCount{
			Data: toInt(m.Fragments.GetData()), Total: toInt(m.Fragments.GetTotal()),
			Held: toInt(m.Fragments.GetHeld()), Proven: toInt(m.Fragments.GetProven()),
		},
		Holders: mapped(m.Holders, d.holder),
		Survives: health.Survives{
			Peers: toInt(m.Survives.GetPeers()), Subnets: toInt(m.Survives.GetSubnets()), Operators: toInt(m.Survives.GetOperators()),
		},
		Damage: mapped(m.Damage, d.damage),
		Notes:  append([]string{}, m.Notes...),
	}
}

func (d *decoder) holder(m *StatusResponse_Holder) Holder {
	return Holder{d.node(m.Node), m.Addr, mapped(m.Fragments, toInt), d.moment(m.LastProven), m.Failed, m.Self, m.Note}
}

func (d *decoder) step(m *RepairPlanResponse_Step) RepairStep {
	s := d.summary(m.Summary)
	return RepairStep{
		ID: s.ID, Title: s.Title, Health: s.Health, Deficit: toInt(m.Deficit), SurvivesPeers: toInt(m.SurvivesPeers),
		Fragments: mapped(m.Fragments, toInt), Action: m.Action, Why: m.Why,
	}
}

func (d *decoder) nodeStatus(m *NodeResponse) NodeStatus {
	return NodeStatus{
		Node: d.node(m.Node), Addr: m.Addr, Peers: int(m.Peers), Tesseras: int(m.Tesseras),
		FragmentsHeld: int(m.FragmentsHeld), BytesHeld: m.BytesHeld, FreeBytes: m.FreeBytes,
		Unplanned: mapped(m.Unplanned, d.unplanned),
		UnplannedTotal: UnplannedTotal{
			Tesseras: int(m.UnplannedTotal.GetTesseras()), Fragments: int(m.UnplannedTotal.GetFragments()),
			Files: int(m.UnplannedTotal.GetFiles()), SizeBytes: m.UnplannedTotal.GetSizeBytes(),
		},
	}
}

func (d *decoder) unplanned(m *NodeResponse_Unplanned) Unplanned {
	return Unplanned{d.tessera(m.Id), mapped(m.Fragments, toInt), int(m.Files), m.SizeBytes}
}

func (d *decoder) identity(m *IdentityResponse) Identity {
	return Identity{d.node(m.Node), m.Addr, d.owner(m.Owner)}
}

func progressOf(m *ProgressNote) Progress {
	return Progress{m.GetStage(), m.GetDone(), m.GetTotal(), m.GetUnit()}
}
