package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Keeper keeps fragments on this node's own disk.
type Keeper interface {
	// Keep takes a fragment that this node rebuilt, by the same rules as one that is pushed to it.
	Keep(ctx context.Context, plan *fragment.FragmentPlan, index int, body io.Reader) error
	// Yield gives up a fragment that another holder has proved to have.
	Yield(ctx context.Context, t sdk.TesseraID, index int) error
}

// pageSize is how many tesseras are in memory at a time, with their plans and holders.
const pageSize = 1024

// memory is for how many intervals is remembered what was checked.
const memory = 4 * deepEvery

// Custody is a round for what this node keeps for others: it checks what falls to it, watches that others
// check theirs, and repairs when nobody before it does. It may be stopped at any moment.
func (s *Service) Custody(ctx context.Context) error {
	round, err := s.roundsDone()
	if err != nil {
		return err
	}
	round++
	alive := s.Network.Owners()
	sample := s.newSample()
	var due []sdk.TesseraID
	climate := newClimate()
	for page, err := range s.kept() {
		if err != nil {
			return err
		}
		checked, seen, err := s.visitPage(ctx, page, round, alive, sample)
		if err != nil {
			return err
		}
		due = append(due, checked...)
		climate.add(seen)
	}
	if err := s.auditAll(ctx, sample, s.audit); err != nil {
		return err
	}
	var mine []*patient
	for page := range slices.Chunk(due, s.page) {
		ill, err := s.examineKept(ctx, page, alive, climate.habits())
		if err != nil {
			return err
		}
		mine = append(mine, ill...)
	}
	if err := s.healKept(ctx, ward{patients: mine, climate: climate}); err != nil {
		return err
	}
	s.rounds.forget(s.Now().Add(-memory * s.config.Interval))
	s.Book.ForgetLosses()
	return s.roundDone(round)
}

// keptRow is a tessera of which fragments are kept here, for somebody else or for another node of this
// owner.
type keptRow struct {
	row  catalog.PlanRow
	mine []int // those that are not known to be damaged here
}

// kept gives what is kept here in pages, in order of the ids. No transaction is open while a page is
// looked after.
func (s *Service) kept() func(yield func([]keptRow, error) bool) {
	return func(yield func([]keptRow, error) bool) {
		for from, more := (catalog.FragmentKey{}), true; more; {
			page, next, err := s.keptPage(from)
			if err != nil || len(page) > 0 {
				if !yield(page, err) || err != nil {
					return
				}
			}
			from, more = next, next != catalog.FragmentKey{}
		}
	}
}

func (s *Service) keptPage(from catalog.FragmentKey) (page []keptRow, next catalog.FragmentKey, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.WholeFragments(tx.AllFragments(from)) {
			if err != nil {
				return err
			}
			last := len(page) - 1
			if last >= 0 && page[last].row.Tessera == f.Tessera {
				page[last].mine = append(page[last].mine, f.Index)
				continue
			}
			if len(page) == s.page {
				next = f.Key()
				return nil
			}
			row, err := s.keptPlan(tx, f.Tessera)
			if err != nil {
				return err
			}
			page = append(page, keptRow{row, []int{f.Index}})
		}
		return nil
	})
	page = slices.DeleteFunc(page, func(k keptRow) bool { return k.row.Data == 0 })
	return page, next, err
}

// keptPlan gives the row of a plan; one without data shards stands for a tessera that is not for this
// round: it has no plan, or it is the owner's own and checked as such.
func (s *Service) keptPlan(tx *catalog.Tx, t sdk.TesseraID) (catalog.PlanRow, error) {
	row, err := tx.Plan(t)
	if errors.Is(err, catalog.ErrNotFound) {
		return catalog.PlanRow{Tessera: t}, nil
	}
	if err != nil || !row.Own {
		return row, err
	}
	if _, err := tx.Tessera(t); !errors.Is(err, catalog.ErrNotFound) {
		return catalog.PlanRow{Tessera: t}, err
	}
	row.Own = false // repaired as a holder does: the owner's copy is not here
	return row, nil
}

// visitPage asks the holders of what is due in this round and gives the ids of what was asked about, in order.
func (s *Service) visitPage(ctx context.Context, page []keptRow, round int, alive map[sdk.OwnerKey][]identity.Contact, sample *sample) ([]sdk.TesseraID, *climate, error) {
	due, watched, err := s.duties(page, round, alive)
	if err != nil {
		return nil, nil, err
	}
	alone, err := s.watch(ctx, watched)
	if err != nil {
		return nil, nil, err
	}
	due = s.withPlans(append(due, alone...))
	slices.SortFunc(due, func(a, b *patient) int { return bytes.Compare(a.row.Tessera[:], b.row.Tessera[:]) })
	climate, err := s.askHolders(ctx, visits(due), sample.add)
	return tesserasOf(due), climate, err
}

// duties tells of a page what is to be checked in this round, and of what others are to be asked whether
// they check it.
func (s *Service) duties(page []keptRow, round int, alive map[sdk.OwnerKey][]identity.Contact) (due, watched []*patient, err error) {
	ids := make([]sdk.TesseraID, len(page))
	for i, k := range page {
		ids[i] = k.row.Tessera
	}
	known, err := s.Book.OfEach(ids)
	if err != nil {
		return nil, nil, err
	}
	for i, k := range page {
		p := &patient{row: k.row, mine: k.mine, kept: true, holders: known[i]}
		p.turn = turnOf(k.row.Tessera, s.Self, p.holders, len(alive[k.row.Owner]) > 0)
		duty := p.turn.duty(k.row.Tessera, round)
		switch {
		case duty == check || len(p.holders) == 0 || !k.row.IllSince.IsZero():
			due = append(due, p)
		case duty == watch:
			watched = append(watched, p)
		}
	}
	return due, watched, nil
}

// withPlans reads the plans of patients and leaves out those whose plan is damaged: it comes again with
// the next fragment.
func (s *Service) withPlans(patients []*patient) []*patient {
	patients = slices.DeleteFunc(patients, func(p *patient) bool {
		err := s.readPlan(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Warn("a plan kept here cannot be read", "tessera", p.row.Tessera.Short(), "err", err)
		}
		return err != nil
	})
	s.noteVerified(patients)
	return patients
}

// readPlan reads the plan of a patient, unless that was done.
func (s *Service) readPlan(p *patient) error {
	if p.plan != nil {
		return nil
	}
	plan, hash, err := s.loadPlan(p.row)
	if err != nil {
		return err
	}
	p.verified = hash != p.row.Verified
	p.plan, p.row.Verified = plan, hash
	return nil
}

// noteVerified remembers plans that were verified just now: to verify one takes longer than all else that
// is done with it.
func (s *Service) noteVerified(patients []*patient) {
	var fresh []*patient
	for _, p := range patients {
		if p.verified {
			p.verified = false
			fresh = append(fresh, p)
		}
	}
	if err := s.noteRows(fresh); err != nil {
		s.Log.Warn("it is not remembered that plans were verified", "err", err)
	}
}

// examineKept examines a page of what was checked, and gives what falls to this node to repair.
func (s *Service) examineKept(
	ctx context.Context, ids []sdk.TesseraID, alive map[sdk.OwnerKey][]identity.Contact, others health.Habits,
) (mine []*patient, err error) {
	ill, err := s.illOf(ctx, ids, alive)
	if err != nil {
		return nil, err
	}
	for _, p := range ill {
		if s.untilTurn(p) > 0 {
			continue
		}
		mine = append(mine, p)
		s.Log.Info("this node's turn to repair", "tessera", p.row.Tessera.Short(), "position", p.turn.position,
			"owner_lives", p.turn.owner, "holders", len(p.holders), "deficit", p.report.Deficit)
	}
	return s.summed(mine, others), nil
}

// illOf assesses tesseras that were checked, looks for holders it does not know where something is missing, and
// gives those that are not at their target.
func (s *Service) illOf(ctx context.Context, ids []sdk.TesseraID, alive map[sdk.OwnerKey][]identity.Contact) (ill []*patient, err error) {
	ill, err = s.assessKept(ctx, ids)
	if err != nil || len(ill) == 0 {
		return nil, err
	}
	ill = s.withPlans(ill)
	if err := s.discover(ctx, ill); err != nil {
		return nil, err
	}
	if ill, err = s.assessKept(ctx, tesserasOf(ill)); err != nil {
		return nil, err
	}
	for _, p := range ill {
		p.turn = turnOf(p.row.Tessera, s.Self, p.holders, len(alive[p.row.Owner]) > 0)
	}
	return ill, nil
}

// checkKept asks the holders of tesseras that a person named, as far as fragments of them are kept here for others,
// and adds to a ward what it found, whosever turn it is.
func (s *Service) checkKept(ctx context.Context, only []sdk.TesseraID, w *ward) error {
	var patients []*patient
	for _, id := range only {
		k, err := s.keptOne(id)
		if err != nil {
			return err
		}
		if k.row.Data == 0 || len(k.mine) == 0 {
			continue
		}
		holders, err := s.Book.Of(id)
		if err != nil {
			return err
		}
		patients = append(patients, &patient{row: k.row, mine: k.mine, kept: true, holders: holders})
	}
	patients = s.withPlans(patients)
	climate, err := s.askHolders(ctx, visits(patients), s.auditSome)
	if err != nil {
		return err
	}
	w.climate.add(climate)
	ill, err := s.illOf(ctx, tesserasOf(patients), s.Network.Owners())
	if err != nil {
		return err
	}
	w.checked, w.healthy = w.checked+len(patients), w.healthy+len(patients)-len(ill)
	w.patients = append(w.patients, s.summed(ill, w.climate.habits())...)
	return nil
}

// healKept repairs what falls to this node, all pages of it in the policy's order.
func (s *Service) healKept(ctx context.Context, w ward) error {
	orders, err := s.order(ctx, w)
	if err != nil {
		return err
	}
	for _, o := range orders {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if o.Rebuild == 0 || o.Wait > 0 {
			continue
		}
		if _, err := s.mend(ctx, o); errors.Is(err, errElsewhere) {
			s.Log.Info("a tessera kept here is repaired elsewhere", "tessera", o.Tessera.Short())
		} else if err != nil {
			s.Log.Warn("a tessera kept here could not be repaired now", "tessera", o.Tessera.Short(), "err", err)
		}
	}
	return nil
}

// assessKept tells which of these tesseras are not at their target, and gives up what is surplus of
// those that are.
func (s *Service) assessKept(ctx context.Context, ids []sdk.TesseraID) (ill []*patient, err error) {
	var patients []*patient
	for _, id := range ids {
		k, err := s.keptOne(id)
		if err != nil {
			return nil, err
		}
		if k.row.Data > 0 && len(k.mine) > 0 { // else it was deleted meanwhile
			patients = append(patients, &patient{row: k.row, mine: k.mine, kept: true})
		}
	}
	if err := s.assessEach(patients); err != nil {
		return nil, err
	}
	for _, p := range patients {
		s.rounds.checked(p.row.Tessera, s.Now())
		if err := errors.Join(s.dropReplaced(p), s.noteIllness(p)); err != nil {
			return nil, err
		}
		if p.report.Status != health.Healthy {
			ill = append(ill, p)
			continue
		}
		if err := s.trim(ctx, p); err != nil {
			return nil, err
		}
	}
	return ill, nil
}

func (s *Service) keptOne(id sdk.TesseraID) (k keptRow, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		if k.row, err = s.keptPlan(tx, id); err != nil {
			return err
		}
		for f, err := range tx.WholeFragments(tx.Fragments(id)) {
			if err != nil {
				return err
			}
			k.mine = append(k.mine, f.Index)
		}
		return nil
	})
	return k, err
}

// lostHere tells whether fragments of a tessera are known to be damaged here.
func (s *Service) lostHere(id sdk.TesseraID) (lost bool, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(id) {
			if err != nil {
				return err
			}
			if _, err := tx.Damage(f.Hash); !errors.Is(err, catalog.ErrNotFound) {
				lost = true
				return err
			}
		}
		return nil
	})
	return lost, err
}

// assess judges a tessera by its holders, this node among them where it is one.
func (s *Service) assess(p *patient) error { return s.assessEach([]*patient{p}) }

// assessEach is assess for tesseras by ascending ids.
func (s *Service) assessEach(patients []*patient) error {
	records, err := s.Book.RecordsEach(tesserasOf(patients))
	if err != nil {
		return err
	}
	for i, p := range patients {
		p.records, p.holders = records[i], make([]catalog.Holder, len(records[i]))
		for at, r := range p.records {
			p.holders[at] = r.Holder
		}
		p.report = health.Assess(p.shape(), s.standing(p), s.config.Replicas)
	}
	return nil
}

func (s *Service) standing(p *patient) []health.Holder {
	all := s.Book.Standing(p.records)
	if len(p.mine) == 0 {
		return all
	}
	return append(all, health.Holder{Peer: s.Self.String(), Subnet: s.Network.Subnet(), Operator: s.Owner.String(), Held: p.mine})
}

// discovered is how many tesseras are looked up in the network at the same time.
const discovered = 4

// discover asks the network for holders that are not known yet, and asks these what they hold. Nothing is
// repaired before this was done: what is missing here may be at somebody whom only others know.
func (s *Service) discover(ctx context.Context, patients []*patient) error {
	var (
		mu   sync.Mutex // guards news
		news questions
		g    errgroup.Group
	)
	g.SetLimit(discovered)
	for _, p := range patients {
		g.Go(func() error {
			found, err := s.Network.Others(ctx, p.row.Tessera)
			if err != nil {
				return fmt.Errorf("find holders of %s: %w", p.row.Tessera.Short(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range found {
				if c.Key != s.Self && !p.heldBy(c.Key) {
					news.add(stranger(c), p)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if _, err := s.askHolders(ctx, news.all, s.auditSome); err != nil {
		return err
	}
	s.sought.note(patients, s.Now(), s.Now().Add(-memory*s.config.Interval))
	return nil
}

// purpose is why what is rebuilt is pushed: only the owner's node publishes.
func (p *patient) purpose() wire.Purpose {
	if p.row.Own {
		return wire.Purpose_PUBLISH
	}
	return wire.Purpose_CUSTODY
}

// auditAll lets audit challenge every holder for what was drawn of its claims.
func (s *Service) auditAll(ctx context.Context, sample *sample, audit auditor) error {
	var g errgroup.Group
	g.SetLimit(askedAtOnce)
	for holder, claims := range sample.all() {
		g.Go(func() error { return audit(ctx, holder, claims) })
	}
	return errors.Join(g.Wait(), ctx.Err())
}
