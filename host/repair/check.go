package repair

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

const (
	askedAtOnce    = 16              // holders asked at the same time
	perQuestion    = 1024            // tesseras a question names at most
	attestPatience = 6 * time.Second // longer than a dial takes to find nobody: then no ping is needed
	pingPatience   = 3 * time.Second
)

// patient is one tessera under examination.
type patient struct {
	row     catalog.PlanRow
	plan    *fragment.FragmentPlan
	holders []catalog.Holder
	records []holders.Record // what they proved, as of the report
	report  health.Report
	health  *sdk.TesseraHealth // what the policy sees, as of the report

	verified bool // the plan's text is another than the one that was verified before

	kept bool  // for somebody else
	mine []int // fragments on this node, where it is a holder
	lost bool  // others that were on it are damaged or gone
	turn turn
}

func (p *patient) shape() health.Shape {
	return health.Shape{Data: p.row.Data, Total: p.row.Total(), Copies: max(p.row.Copies, 1)}
}

// ward is what a round found.
type ward struct {
	checked  int        // tesseras
	healthy  int        // of them
	patients []*patient // those that are not at their target, without what only their examination needed
	broken   []Failure  // tesseras that cannot be examined at all
	climate  *climate
}

// check asks all holders, records what they say, and assesses every tessera of ours, a page at a time.
func (s *Service) check(ctx context.Context, only []sdk.TesseraID) (ward, error) {
	rows, err := s.own(only)
	w := ward{checked: len(rows), climate: newClimate()}
	if err != nil {
		return w, err
	}
	audit := s.audit
	if only != nil {
		audit = s.auditSome
	}
	sample := s.newSample()
	var readable []catalog.PlanRow
	for page := range slices.Chunk(rows, s.page) {
		patients, broken, err := s.admit(page)
		if err != nil {
			return w, err
		}
		climate, err := s.askHolders(ctx, visits(patients), sample.add)
		if err != nil {
			return w, err
		}
		w.broken = append(w.broken, broken...)
		w.climate.add(climate)
		for _, p := range patients {
			readable = append(readable, p.row)
		}
	}
	if err := s.auditAll(ctx, sample, audit); err != nil {
		return w, err
	}
	for page := range slices.Chunk(readable, s.page) {
		ill, err := s.examineOwn(ctx, page, w.climate.habits())
		if err != nil {
			return w, err
		}
		w.patients = append(w.patients, ill...)
	}
	w.healthy = len(readable) - len(w.patients)
	return w, s.auditWhole(ctx, readable)
}

// examineOwn judges a page of tesseras, looks for holders it does not know where something is missing, and
// gives those that are not at their target.
func (s *Service) examineOwn(ctx context.Context, page []catalog.PlanRow, others health.Habits) (ill []*patient, err error) {
	patients := make([]*patient, len(page))
	for i, row := range page {
		patients[i] = &patient{row: row}
	}
	if ill, err = s.assessOwn(patients); err != nil {
		return nil, err
	}
	if len(ill) > 0 {
		ill = s.withPlans(ill)
		if err := s.discover(ctx, ill); err != nil {
			return nil, err
		}
		if ill, err = s.assessOwn(ill); err != nil {
			return nil, err
		}
	}
	for _, p := range patients {
		if err := s.dropReplaced(p); err != nil {
			return nil, err
		}
	}
	return s.summed(ill, others), nil
}

// assessOwn judges tesseras and gives those that are not at their target. What did not count for too long
// gives its holders no credit any more.
func (s *Service) assessOwn(patients []*patient) (ill []*patient, err error) {
	if err := s.assessEach(patients); err != nil {
		return nil, err
	}
	var unsettled []holders.Record
	for _, p := range patients {
		unsettled = append(unsettled, s.Book.Unsettled(p.records)...)
		s.rounds.checked(p.row.Tessera, s.Now())
		if p.report.Status != health.Healthy {
			ill = append(ill, p)
		}
	}
	return ill, s.Book.Settle(unsettled)
}

// summed takes what the policy has to know from patients, and drops what is too large to be kept of all.
func (s *Service) summed(patients []*patient, others health.Habits) []*patient {
	for _, p := range patients {
		p.health = s.view(p, others)
		p.plan, p.holders, p.records = nil, nil, nil
	}
	return patients
}

// admit reads the plans of a page and what is known of its holders. A tessera whose plan cannot be read is
// broken, and the others go on.
func (s *Service) admit(page []catalog.PlanRow) (patients []*patient, broken []Failure, err error) {
	for _, row := range page {
		p := &patient{row: row}
		if err := s.readPlan(p); err != nil {
			broken = append(broken, Failure{row.Tessera, err})
			continue
		}
		patients = append(patients, p)
	}
	s.noteVerified(patients)
	known, err := s.Book.OfEach(tesserasOf(patients))
	if err != nil {
		return nil, nil, err
	}
	for i, p := range patients {
		p.holders = known[i]
	}
	return patients, broken, nil
}

// own lists the tesseras this node cares for: its owner's, unless they were deleted.
func (s *Service) own(only []sdk.TesseraID) (rows []catalog.PlanRow, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for row, err := range tx.Plans(sdk.TesseraID{}) {
			if err != nil {
				return err
			}
			if !row.Own || only != nil && !slices.Contains(only, row.Tessera) {
				continue
			}
			_, err := tx.Tessera(row.Tessera)
			if err == nil {
				rows = append(rows, row)
			} else if !errors.Is(err, catalog.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// visit is one holder and the tesseras to ask it about.
type visit struct {
	holder   catalog.Holder // any of its rows
	patients []*patient
	silent   time.Time // since when, by any of its rows; zero when it answered the last time
}

// questions are visits to make, one to each holder.
type questions struct {
	byKey map[sdk.NodeKey]*visit
	all   []*visit
}

// add has a holder asked about a tessera too.
func (q *questions) add(h catalog.Holder, about *patient) {
	v := q.byKey[h.Key]
	if v == nil {
		if q.byKey == nil {
			q.byKey = map[sdk.NodeKey]*visit{}
		}
		v = &visit{holder: h}
		q.byKey[h.Key] = v
		q.all = append(q.all, v)
	}
	v.patients = append(v.patients, about)
	if h.SilentSince.After(v.silent) {
		v.silent = h.SilentSince
	}
}

func visits(patients []*patient) []*visit {
	var q questions
	for _, p := range patients {
		for _, h := range p.holders {
			q.add(h, p)
		}
	}
	return q.all
}

// stranger is somebody who is not known to hold anything yet, as one to ask.
func stranger(c identity.Contact) catalog.Holder {
	return catalog.Holder{Key: c.Key, Nonce: c.Nonce, Addr: c.Addr.String()}
}

// heldBy tells whether somebody is a known holder of the tessera.
func (p *patient) heldBy(k sdk.NodeKey) bool {
	return slices.ContainsFunc(p.holders, func(h catalog.Holder) bool { return h.Key == k })
}

// auditor is given what a holder claims, to ask for proofs of some of it.
type auditor func(ctx context.Context, holder identity.Contact, claims []claim) error

// askHolders asks every holder once, records what they say all together, lets audit challenge them, and counts
// how the network looked.
func (s *Service) askHolders(ctx context.Context, visits []*visit, audit auditor) (*climate, error) {
	var (
		mu      sync.Mutex // guards climate and all
		climate = newClimate()
		all     []heard
		g       errgroup.Group
	)
	g.SetLimit(askedAtOnce)
	for _, v := range visits {
		g.Go(func() error {
			h, answered, err := s.ask(ctx, v)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, h)
			climate.weather.PeersAsked++
			if !answered {
				climate.weather.PeersSilent++
				if s.newlySilent(v.holder) {
					climate.weather.PeersNewlySilent++
				}
			}
			s.noteBack(climate, v, answered)
			return err
		})
	}
	if err := errors.Join(g.Wait(), s.record(all)); err != nil {
		return nil, err
	}
	for _, h := range all {
		g.Go(func() error { return audit(ctx, h.Holder, h.claims) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return climate, ctx.Err()
}

// heard is what a holder said in one visit.
type heard struct {
	holders.Answer
	claims []claim // all that it claims, where it answered to the end
}

func (s *Service) record(all []heard) error {
	answers := make([]holders.Answer, 0, len(all))
	for _, h := range all {
		if len(h.Statements) > 0 {
			answers = append(answers, h.Answer)
		}
	}
	return s.Book.AttestedAll(answers)
}

// ask asks one holder about all its tesseras. One that neither answers nor is alive is recorded as
// silent; one that is alive but did not answer keeps its standing until its word is too old.
func (s *Service) ask(ctx context.Context, v *visit) (h heard, answered bool, err error) {
	if s.rounds.leave(v.holder.Key, s.Network.Seen(v.holder.Key), s.Now()) {
		return h, false, s.silent(v.holder.Key, v.patients)
	}
	contact, ok := holders.Contact(v.holder)
	if !ok {
		return h, false, s.silent(v.holder.Key, v.patients)
	}
	h.Holder = s.Network.Locate(contact)
	var claims []claim
	for rest := v.patients; len(rest) > 0; {
		part := rest[:min(len(rest), perQuestion)]
		owner, said, err := s.attest(ctx, h.Holder, part)
		if ctx.Err() != nil {
			return h, true, ctx.Err() // nobody is silent because we stopped listening
		}
		if err != nil {
			answered, err = s.late(ctx, h.Holder, v.holder.Key, rest, err)
			return h, answered, err
		}
		h.Owner, h.Statements = owner, append(h.Statements, said...)
		claims = append(claims, claimsOf(part, said)...)
		rest = rest[len(said):]
	}
	s.rounds.answered(v.holder.Key)
	h.claims = claims
	return h, true, nil
}

// attest asks a holder what it holds of some tesseras. What it says is about the first so many of them, one at least.
func (s *Service) attest(ctx context.Context, holder identity.Contact, about []*patient) (owner sdk.OwnerKey, said []holders.Statement, err error) {
	ctx, cancel := context.WithTimeout(ctx, attestPatience)
	defer cancel()
	asked := s.Now()
	owner, held, covered, err := s.Network.Attest(ctx, holder, tesserasOf(about))
	if err == nil && covered == 0 {
		err = errCoversNothing
	}
	if err != nil {
		return owner, nil, err
	}
	return owner, statements(about[:covered], held, asked), nil
}

// errCoversNothing tells that an attestation is about none of the tesseras that were asked for.
var errCoversNothing = errors.New("an answer that covers nothing")

// statements turns an answer, which is in the order of the question, into one statement for each tessera asked. A
// fragment whose stored checksum is not the plan's is not held.
func statements(about []*patient, held []wire.Holding, asked time.Time) []holders.Statement {
	out := make([]holders.Statement, len(about))
	for i, p := range about {
		out[i] = holders.Statement{Tessera: p.row.Tessera, Owner: p.row.Owner, ShardSize: p.row.ShardSize, Asked: asked}
		if len(held) == 0 || held[0].Tessera != p.row.Tessera {
			continue
		}
		for _, f := range held[0].Fragments {
			if f.Index < p.plan.Total() && f.Checksum == p.plan.Fragments[f.Index] {
				out[i].Fragments = append(out[i].Fragments, f.Index)
			}
		}
		held = held[1:]
	}
	return out
}

// late tells a holder that is gone from one that is only late: it pings it, unless nobody answered at
// its address at all. Nobody is silent because this node could not ask.
func (s *Service) late(ctx context.Context, contact identity.Contact, key sdk.NodeKey, rest []*patient, cause error) (answered bool, err error) {
	err = cause
	if !errors.Is(cause, quicnet.ErrUnreachable) {
		ping, cancel := context.WithTimeout(ctx, pingPatience)
		defer cancel()
		err = s.Network.Ping(ping, contact)
	}
	switch {
	case ctx.Err() != nil:
		return true, ctx.Err()
	case errors.Is(err, quicnet.ErrClosed):
		return true, err
	case errors.Is(err, quicnet.ErrFull): // the fault is here
		return true, nil
	case err == nil || wire.CodeOf(err) != wire.Code_OK: // a refusal is a sign of life
		s.Log.Info("a holder is alive but did not attest", "peer", contact.ID().Short(), "err", cause)
		return true, nil
	}
	s.rounds.silent(key, s.Now())
	s.Log.Info("a holder is silent", "peer", contact.ID().Short(), "addr", contact.Addr.String(), "err", cause)
	return false, s.silent(key, rest)
}

func tesserasOf(patients []*patient) []sdk.TesseraID {
	ids := make([]sdk.TesseraID, len(patients))
	for i, p := range patients {
		ids[i] = p.row.Tessera
	}
	return ids
}

// balance is what an owner's nodes store for us less what we store for it; an unreadable book says 0.
func (s *Service) balance(owner sdk.OwnerKey) (balance int64) {
	err := s.Catalog.View(func(tx *catalog.Tx) error {
		row, err := tx.Ledger(owner)
		balance = ledger.Balance(row)
		return err
	})
	if err != nil {
		s.Log.Error("read ledger", "err", err)
	}
	return balance
}

// view is what the policy sees of a tessera, with what others do who fall silent.
func (s *Service) view(p *patient, others health.Habits) *sdk.TesseraHealth {
	id := p.row.Tessera
	v := &sdk.TesseraHealth{
		Tessera: id[:], Tier: sdk.FragmentationTier(p.row.Tier),
		SurvivesPeers: uint32(p.report.Survives.Peers), SurvivesSubnets: uint32(p.report.Survives.Subnets),
		SurvivesOperators: uint32(p.report.Survives.Operators),
		Missing:           uint32(countMissing(p.report.Missing)),
		Own:               p.row.Owner == s.Owner,
		Institutional:     s.config.Institutional != nil && s.config.Institutional(p.row.Owner),
		CostBytes:         uint64(p.row.ShardSize) * uint64(p.row.Data+countMissing(p.report.Missing)),
		PeersShort:        uint32(max(s.config.Replicas-p.report.Peers, 0)),
		Recoverable:       p.report.Status != health.Unrecoverable || p.row.Own,
	}
	if p.kept {
		v.OwnerBalanceBytes = s.balance(p.row.Owner)
	}
	suspects := p.report.Suspects(s.absent(p), others, s.config.Interval, s.longestGrace())
	v.Suspect, v.SuspectPeers = uint32(suspects.Fragments), uint32(suspects.Peers)
	v.ExpectedPeers = uint32(suspects.Expected)
	v.SuspectSinceMs, v.Flaps = uint64(suspects.Silence.Milliseconds()), uint32(suspects.Flaps)
	return v
}
