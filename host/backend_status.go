package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/sdk"
)

// booksOf gives the map of holders, which needs no network. operator tells who runs which node; nil = its
// owner, which is all that is known without a network.
func (l *local) booksOf(operator func(sdk.NodeKey, sdk.OwnerKey) string) *holders.Book {
	r := l.cfg.Replication
	first, period := holders.Periods(r.RepairInterval.Std(), r.RepairJitter.Std())
	return holders.New(l.catalog, l.journal, l.id.Owner.Key(), holders.Config{
		Replicas: r.Replicas, First: first, Period: period, Proofs: r.ProofsPerHolder > 0, Operator: operator,
	}, time.Now)
}

func (l *local) report(plan *fragment.FragmentPlan) (health.Report, error) {
	return l.book.Health(plan.Tessera, health.Shape{Data: plan.Data, Total: plan.Total(), Copies: plan.Copies})
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
	if bad := l.listDamage(id); len(st.damage) == 0 && len(bad) > 0 {
		st.name, st.damage = string(health.CorruptLocal), bad
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
		s.Notes = append(s.Notes, onlyHere(t.WantPublished, len(s.Damage) > 0))
		return s, nil
	}
	records, err := l.book.Records(id)
	if err != nil {
		return s, err
	}
	l.addHolders(&s, st.plan, st.report, records, time.Now())
	return s, nil
}

// onlyHere says where a tessera without a plan stands.
func onlyHere(wanted, damaged bool) string {
	switch {
	case damaged:
		return "It is on this computer alone, and cannot be published while it is damaged."
	case wanted:
		return "It is being coded for the first time, or waits for that."
	}
	return "It is on this computer alone. tes publish gives it to peers."
}

// statusOfHeld is the status of a tessera of somebody else's, fragments of which are kept here.
func (l *local) statusOfHeld(id sdk.TesseraID, notFound error) (localapi.Status, error) {
	if err := l.deleted(id); err != nil {
		return localapi.Status{}, explain(err)
	}
	plan, err := l.plan(id)
	if errors.Is(err, fs.ErrNotExist) {
		return l.statusOfUnplanned(id, notFound)
	}
	if err != nil {
		return localapi.Status{}, err
	}
	head, err := plan.Head()
	if err != nil {
		return localapi.Status{}, err
	}
	mine, err := l.kept(id)
	if err != nil {
		return localapi.Status{}, err
	}
	records, err := l.book.Records(plan.Tessera)
	if err != nil {
		return localapi.Status{}, err
	}
	at, note := l.lastChecked(records, time.Now())
	report := l.reportOfHeld(plan, records, mine, at)
	s := localapi.Status{
		ID: id, Title: localapi.Name(head.Title), Tier: tierName(plan.Tier), Health: string(report.Status), SizeBytes: head.Bytes,
		Created: localapi.Moment{Time: head.Created}, Holders: []localapi.Holder{}, Damage: []localapi.Damage{}, Notes: []string{},
	}
	if report.Status == health.Unrecoverable && (l.sought == nil || !l.sought(id)) {
		s.Health = string(health.NeedsReplication)
		s.Notes = append(s.Notes, "The others were not asked yet: what is counted here is what this node knows by itself.")
	}
	if s.Damage, err = l.damageOf(id); err != nil {
		return s, err
	}
	if len(s.Damage) > 0 {
		s.Health = string(health.CorruptLocal)
	}
	s.Notes = append(s.Notes, fmt.Sprintf("This tessera is somebody else's; %d of its fragments are kept here. The other holders are those this node has heard of.", len(mine)))
	if note != "" {
		s.Notes = append(s.Notes, note)
	}
	if len(mine) > 0 {
		s.Holders = append(s.Holders, localapi.Holder{Node: l.id.Node.ID(), Fragments: mine, Self: true})
	}
	l.addHolders(&s, plan, report, records, at)
	return s, nil
}

// lastChecked is the time as of which a kept tessera is judged: a holder that does not come first in the order checks
// it once in many rounds, and what it saw then is the best it knows. A check that is due is none.
func (l *local) lastChecked(records []holders.Record, now time.Time) (at time.Time, note string) {
	for _, r := range records {
		if r.LastSeen.After(at) {
			at = r.LastSeen
		}
	}
	round := (l.cfg.Replication.RepairInterval + l.cfg.Replication.RepairJitter).Std()
	switch age := now.Sub(at); {
	case age < 0, age > repair.LongestRest(round):
		return now, ""
	case age > round:
		note = "This is as of " + humanize.RelTime(at, now, "ago", "") + ", when this node last checked it; other holders check it more often."
	}
	return at, note
}

// kept lists the fragments of a tessera on this node that are not known to be damaged.
func (l *local) kept(id sdk.TesseraID) (mine []int, err error) {
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.WholeFragments(tx.Fragments(id)) {
			if err != nil {
				return err
			}
			mine = append(mine, f.Index)
		}
		return nil
	})
	return mine, err
}

// reportOfHeld counts this node among the holders.
func (l *local) reportOfHeld(plan *fragment.FragmentPlan, records []holders.Record, mine []int, at time.Time) health.Report {
	self := health.Holder{Peer: l.id.Node.Key().String(), Operator: l.id.Owner.Key().String(), Held: mine}
	all := append(l.book.StandingAt(records, at), self)
	return health.Assess(health.Shape{Data: plan.Data, Total: plan.Total(), Copies: plan.Copies}, all, l.cfg.Replication.Replicas)
}

// addHolders adds who holds what as of a time, and what follows from it.
func (l *local) addHolders(s *localapi.Status, plan *fragment.FragmentPlan, report health.Report, records []holders.Record, at time.Time) {
	s.Deficit, s.Survives = report.Deficit, report.Survives
	s.Fragments = localapi.FragmentCount{Data: plan.Data, Total: report.Total, Held: report.Held, Proven: report.Proven}
	subnets := map[string]int{}
	for _, r := range records {
		view := holderView(l.book, r, at)
		if !view.Failed {
			subnets[holders.SubnetOf(r.Holder)]++
		}
		s.Holders = append(s.Holders, view)
	}
	s.Notes = append(s.Notes, l.notes(report, subnets)...)
	for _, loss := range l.book.Lost(plan.Tessera) {
		s.Notes = append(s.Notes, lossNote(loss, plan.Copies > 1, report, time.Now()))
	}
}

// lossNote says what a holder lost, and what became of it.
func lossNote(loss holders.Loss, copies bool, report health.Report, now time.Time) string {
	what, back := "its copy", "others have enough"
	if !copies {
		what = english.PluralWord(len(loss.Fragments), "fragment", "") + " " + english.WordSeries(numbers(loss.Fragments), "and")
		back = "rebuilt elsewhere"
	}
	missing := health.Indexes(report.Missing)
	if slices.ContainsFunc(loss.Fragments, func(i int) bool { return slices.Contains(missing, i) }) {
		back = "rebuilt in the next rounds, elsewhere if anybody else takes it"
	}
	return fmt.Sprintf("%s lost %s, found out %s: %s.", identity.NodeIDOf(loss.Key, loss.Nonce).String()[:12], what, humanize.RelTime(loss.At, now, "ago", ""), back)
}

func numbers(all []int) []string {
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = strconv.Itoa(n)
	}
	return out
}

// holderView is what a person sees of a holder: the fragments that count, or, of one that does not count at
// all, what it should have.
func holderView(book *holders.Book, r holders.Record, at time.Time) localapi.Holder {
	view := localapi.Holder{Node: identity.NodeIDOf(r.Key, r.Nonce), Addr: r.Addr, Fragments: []int{}}
	var all []int
	for _, f := range r.Fragments {
		all = append(all, f.Index)
		if held, _ := book.CountsAt(r, f, at); held {
			view.Fragments = append(view.Fragments, f.Index)
		}
		if f.Proven.After(view.LastProven.Time) {
			view.LastProven.Time = f.Proven
		}
		view.Failed = view.Failed || !f.Failed.IsZero()
	}
	view.Failed = view.Failed || !r.SilentSince.IsZero() || holders.Failing(r.Audit)
	view.Note = standing(r, view)
	if len(view.Fragments) == 0 {
		view.Fragments = append(view.Fragments, all...)
	}
	return view
}

// standing says in words why a holder does not count, or not for all that it should have; "" where it does.
func standing(r holders.Record, view localapi.Holder) string {
	switch {
	case !r.SilentSince.IsZero():
		return "silent: does not count"
	case view.Failed && len(view.Fragments) > 0:
		return "failed a proof: only these count"
	case view.Failed:
		return "failed a proof: does not count"
	case len(view.Fragments) == 0 && len(r.Fragments) > 0:
		return "not proven for too long: does not count"
	}
	return ""
}

// notes says what the figures mean.
func (l *local) notes(report health.Report, subnets map[string]int) (notes []string) {
	if err := l.disk.here(); err != nil {
		notes = append(notes, fmt.Sprintf("This node gives and takes nothing now, and looks after nothing: %s.", err))
	}
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
