package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// books gives the map of holders for reading, without the network.
func (l *local) books() *holders.Book {
	return holders.New(l.catalog, l.journal, l.id.Owner.Key(), holders.Config{Replicas: l.cfg.Replication.Replicas}, time.Now)
}

func (l *local) report(plan *fragment.FragmentPlan) (health.Report, error) {
	return l.books().Health(plan.Tessera, health.Shape{Data: plan.Data, Total: plan.Total(), Copies: plan.Copies})
}

// Status implements localapi.Maintenance.
func (l *local) Status(ctx context.Context, id sdk.TesseraID) (localapi.Status, error) {
	return l.status(ctx, id, nil)
}

func (l *local) status(_ context.Context, id sdk.TesseraID, busy func(sdk.TesseraID) bool) (localapi.Status, error) {
	t, err := l.archive.Get(id)
	if errors.Is(err, archive.ErrNotFound) {
		return l.statusOfHeld(id, err)
	}
	if err != nil {
		return localapi.Status{}, explain(err)
	}
	st, err := l.health(t, busy)
	if err != nil {
		return localapi.Status{}, err
	}
	s := localapi.Status{
		ID: id, Title: localapi.Name(t.Title), Tier: tierName(fragment.TierOf(t.Packed)), Health: st.name,
		SizeBytes: t.Bytes, Created: localapi.Moment{Time: t.Created}, Holders: []localapi.Holder{}, Damage: st.damage, Notes: []string{},
	}
	if st.plan == nil {
		if st.name == string(health.CorruptLocal) && len(st.damage) == 0 {
			s.Damage = append(s.Damage, localapi.Damage{Problem: "its plan is damaged here; tes publish makes it again"})
			return s, nil
		}
		if t.WantPublished {
			s.Notes = append(s.Notes, "It is being coded for the first time, or waits for that.")
		} else {
			s.Notes = append(s.Notes, "It is on this computer alone. tes publish gives it to peers.")
		}
		return s, nil
	}
	return s, l.addHolders(&s, st.plan, st.report)
}

// statusOfHeld is the status of a tessera of somebody else's, fragments of which are kept here.
func (l *local) statusOfHeld(id sdk.TesseraID, notFound error) (localapi.Status, error) {
	plan, err := l.plan(id)
	if errors.Is(err, fs.ErrNotExist) {
		return localapi.Status{}, explain(notFound)
	}
	if err != nil {
		return localapi.Status{}, err
	}
	head, err := plan.Head()
	if err != nil {
		return localapi.Status{}, err
	}
	report, err := l.report(plan)
	if err != nil {
		return localapi.Status{}, err
	}
	s := localapi.Status{
		ID: id, Title: localapi.Name(head.Title), Tier: tierName(plan.Tier), Health: string(report.Status), SizeBytes: head.Bytes,
		Created: localapi.Moment{Time: head.Created}, Holders: []localapi.Holder{}, Damage: []localapi.Damage{}, Notes: []string{},
	}
	if s.Damage, err = l.damageOf(id); err != nil {
		return s, err
	}
	if len(s.Damage) > 0 {
		s.Health = string(health.CorruptLocal)
	}
	kept := 0
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for _, err := range tx.Fragments(id) {
			if err != nil {
				return err
			}
			kept++
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	s.Notes = append(s.Notes, fmt.Sprintf("This tessera is somebody else's; %d of its fragments are kept here. Its owner's node knows the other holders.", kept))
	return s, l.addHolders(&s, plan, report)
}

func (l *local) addHolders(s *localapi.Status, plan *fragment.FragmentPlan, report health.Report) error {
	s.Deficit, s.Survives = report.Deficit, report.Survives
	s.Fragments = localapi.FragmentCount{Data: plan.Data, Total: report.Total, Held: report.Held, Proven: report.Proven}
	rows, err := l.books().Of(plan.Tessera)
	if err != nil {
		return err
	}
	subnets := map[string]int{}
	for _, h := range rows {
		view := localapi.Holder{
			Node: identity.NodeIDOf(h.Key, h.Nonce), Addr: h.Addr, Fragments: []int{},
			Failed: !h.SilentSince.IsZero() || !h.Failed.IsZero(),
		}
		for _, f := range h.Fragments {
			view.Fragments = append(view.Fragments, f.Index)
			if f.Proven.After(view.LastProven.Time) {
				view.LastProven.Time = f.Proven
			}
		}
		if !view.Failed {
			subnets[holders.SubnetOf(h)]++
		}
		s.Holders = append(s.Holders, view)
	}
	s.Notes = append(s.Notes, l.notes(report, subnets)...)
	return nil
}

// notes says what the figures mean.
func (l *local) notes(report health.Report, subnets map[string]int) (notes []string) {
	if report.Peers < l.cfg.Replication.Replicas {
		notes = append(notes, fmt.Sprintf("It is on %d peers; %d are wanted. More follow when they are found.", report.Peers, l.cfg.Replication.Replicas))
	}
	if most := l.cfg.Replication.PerSubnet; most > 0 {
		for _, n := range subnets {
			if n > most {
				notes = append(notes, fmt.Sprintf("The cap of %d peers per subnet gave way: there were not enough peers elsewhere.", most))
				break
			}
		}
	}
	return notes
}
