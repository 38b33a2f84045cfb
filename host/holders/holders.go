// Package holders answers: who holds which fragments of this tessera, and on what evidence?
//
// A fragment counts as held when its holder is not silent and gave a receipt for it less than a day ago,
// or proved it within the proof period, or says it has it still and passed the round of proofs that it was
// drawn for. What failed a proof counts again only when it is proven. Receipts go to the journal before
// the catalog, so that the map of holders can be rebuilt without it.
package holders

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// ProofPeriod is how long an acknowledgement counts, as long as the first proof may take, and a proof at
// least.
const ProofPeriod = 24 * time.Hour

// Journal keeps receipts durably.
type Journal interface {
	Append(kind byte, record []byte) error
}

// Config says what counts.
type Config struct {
	Replicas int           // least number of distinct peers a tessera should be on
	Period   time.Duration // how long a proof counts, and a holder's word; 0 = ProofPeriod
	First    time.Duration // how long a receipt counts until the first proof; 0 = ProofPeriod
	// Proofs tells that holders are asked for proofs. Without them a holder's word is all there is.
	Proofs bool
	// Operator tells who runs a node; nil = its owner, whose key signed the node's.
	Operator func(sdk.NodeKey, sdk.OwnerKey) string
}

// Book records holders in catalog, ledger and journal.
type Book struct {
	catalog *catalog.Catalog
	journal Journal
	self    sdk.OwnerKey
	config  Config
	now     func() time.Time
	proofs  proofs
	losses  losses
}

// New returns a Book for the owner self.
func New(c *catalog.Catalog, j Journal, self sdk.OwnerKey, config Config, now func() time.Time) *Book {
	config.Period, config.First = cmp.Or(config.Period, ProofPeriod), cmp.Or(config.First, ProofPeriod)
	if config.Operator == nil {
		config.Operator = func(_ sdk.NodeKey, owner sdk.OwnerKey) string { return owner.String() }
	}
	return &Book{catalog: c, journal: j, self: self, config: config, now: now, proofs: newProofs()}
}

// RecordTaken is the journal's kind for receipts that others gave us.
const RecordTaken = 1

// RecordGiven is the journal's kind for receipts that we gave.
const RecordGiven = 2

// Acknowledge records a verified receipt of the holder reached at a contact. The same receipt twice
// is credited once.
func (b *Book) Acknowledge(holder identity.Contact, r wire.Receipt) error {
	record, err := proto.Marshal(r.Message())
	if err != nil {
		return err
	}
	if err := b.journal.Append(RecordTaken, record); err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	if err := b.noteMet(holder); err != nil {
		return err
	}
	err = b.catalog.Update(func(tx *catalog.Tx) error {
		h, err := tx.Holder(r.Tessera, holder.Key)
		if errors.Is(err, catalog.ErrNotFound) {
			h, err = catalog.Holder{Tessera: r.Tessera, Key: holder.Key}, nil
		}
		if err != nil {
			return err
		}
		h.Nonce, h.Addr, h.Owner = holder.Nonce, holder.Addr.String(), r.HolderOwner
		h.LastSeen, h.SilentSince = b.now(), time.Time{}
		at, known := slices.BinarySearchFunc(h.Fragments, int(r.Index), byIndex)
		credited := known && h.Fragments[at].Credited()
		if !known {
			h.Fragments = slices.Insert(h.Fragments, at, catalog.HeldFragment{Index: int(r.Index)})
		}
		f := &h.Fragments[at]
		f.Acked, f.Failed, f.Lapsed = b.now(), time.Time{}, time.Time{}
		if r.Owner == b.self && !credited {
			if err := ledger.Acknowledged(tx, b.self, r.HolderOwner, int64(r.Size)); err != nil {
				return err
			}
		}
		return b.putAcknowledged(tx, h)
	})
	if err == nil {
		b.losses.madeGood(r.Tessera, holder.Key, int(r.Index))
	}
	return err
}

// putAcknowledged writes a holder that gave a receipt. Where a tessera has too many holders those make room
// that have no credit: they can be heard again.
func (b *Book) putAcknowledged(tx *catalog.Tx, h catalog.Holder) error {
	err := tx.PutHolder(h)
	if !errors.Is(err, catalog.ErrCrowded) {
		return err
	}
	for other, err := range tx.HoldersOf(h.Tessera) {
		if err != nil {
			return err
		}
		if other.Credited() > 0 || other.Key == h.Key {
			continue
		}
		b.proofs.note(h.Tessera, other.Key, false)
		if err := tx.DropHolder(h.Tessera, other.Key); err != nil {
			return err
		}
	}
	return tx.PutHolder(h)
}

func byIndex(f catalog.HeldFragment, index int) int { return cmp.Compare(f.Index, index) }

// Statement is what a holder said, under its signature, about the fragments of one tessera. Only
// fragments whose checksum is the plan's are in it.
type Statement struct {
	Tessera   sdk.TesseraID
	Owner     sdk.OwnerKey
	ShardSize int64
	Fragments []int
	// Asked is when the holder was asked. What it gave a receipt for since then stands, whether it is named or not:
	// it may have taken that after it had answered. Zero is just now.
	Asked time.Time
}

// Answer is what one holder said about several tesseras.
type Answer struct {
	Holder     identity.Contact
	Owner      sdk.OwnerKey // of the holder
	Statements []Statement
}

// Attested records a holder's answer about several tesseras: see AttestedAll.
func (b *Book) Attested(holder identity.Contact, heldBy sdk.OwnerKey, statements []Statement) error {
	return b.AttestedAll([]Answer{{holder, heldBy, statements}})
}

// AttestedAll records what holders answered about several tesseras: what one named it still says it holds, what
// it no longer named is not held by it any more and its credit lapses. What it once said to be gone when it
// was asked to prove it is down as failed, until it proves it. All that was said of a tessera is written at
// once, which is why the answers about the same tesseras belong into one call.
func (b *Book) AttestedAll(answers []Answer) error {
	answers = slices.SortedFunc(slices.Values(answers), byHolder)
	for _, a := range answers {
		if err := b.noteMet(a.Holder); err != nil {
			return err
		}
	}
	fresh := map[pair]news{}
	err := b.eachTessera(answers, func(s said, h catalog.Holder, known bool) (restated bool) {
		if !known && len(s.Fragments) == 0 {
			return false
		}
		n := b.newsIn(h, *s.Statement)
		if !n.held && len(n.credits) == 0 {
			return true
		}
		fresh[pair{s.Tessera, h.Key}] = n // the journal comes first
		return false
	})
	if err != nil || len(fresh) == 0 {
		return err
	}
	newly := make([]Answer, len(answers))
	for i, a := range answers {
		if newly[i], err = b.journalNews(a, fresh); err != nil {
			return err
		}
	}
	return b.eachTessera(newly, func(said, catalog.Holder, bool) bool { return true })
}

func byHolder(a, b Answer) int { return bytes.Compare(a.Holder.Key[:], b.Holder.Key[:]) }

// journalNews keeps what is new in an answer in the journal, and gives the answer without what is not.
func (b *Book) journalNews(a Answer, fresh map[pair]news) (Answer, error) {
	var all []news
	for _, s := range a.Statements {
		if n, is := fresh[pair{s.Tessera, a.Holder.Key}]; is {
			all = append(all, n)
		}
	}
	a.Statements = nil
	for _, n := range all {
		a.Statements = append(a.Statements, n.Statement)
	}
	return a, b.noteHeld(a.Holder, a.Owner, all)
}

// said is one statement, and in whose answer it was.
type said struct {
	by   *Answer
	addr string // of the holder
	*Statement
}

// addTakenSince adds to a statement what its holder took between the question and now. A receipt from the future
// is from before a clock was set back.
func (s said) addTakenSince(h catalog.Holder, now time.Time) {
	if s.Asked.IsZero() {
		return
	}
	for _, f := range h.Fragments {
		if f.Acked.After(s.Asked) && !f.Acked.After(now) && !slices.Contains(s.Fragments, f.Index) {
			s.Fragments = append(slices.Clip(s.Fragments), f.Index)
		}
	}
}

// saidTogether is how many statements are written in one transaction, about.
const saidTogether = 8192

// eachTessera takes those statements to the rows that wanted tells to restate, all about a tessera at once and
// by ascending ids. The answers come in order of the holders' keys. wanted may be called more than once for a statement.
func (b *Book) eachTessera(answers []Answer, wanted func(said, catalog.Holder, bool) bool) error {
	byTessera := map[sdk.TesseraID][]said{}
	for i := range answers {
		addr := answers[i].Holder.Addr.String()
		for at := range answers[i].Statements {
			s := said{&answers[i], addr, &answers[i].Statements[at]}
			if byTessera[s.Tessera] == nil {
				byTessera[s.Tessera] = make([]said, 0, len(answers))
			}
			byTessera[s.Tessera] = append(byTessera[s.Tessera], s)
		}
	}
	ids := slices.SortedFunc(maps.Keys(byTessera), func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) })
	for len(ids) > 0 {
		var part [][]said
		for n := 0; len(ids) > 0 && n < saidTogether; ids = ids[1:] {
			part = append(part, byTessera[ids[0]])
			n += len(byTessera[ids[0]])
		}
		if err := b.restateEach(part, wanted); err != nil {
			return err
		}
	}
	return nil
}

// restateEach is eachTessera for what was said of some by ascending ids, in as few transactions as can be.
func (b *Book) restateEach(part [][]said, wanted func(said, catalog.Holder, bool) bool) error {
	ids := make([]sdk.TesseraID, len(part))
	for i, all := range part {
		ids[i] = all[0].Tessera
	}
	err := b.catalog.Update(func(tx *catalog.Tx) error {
		known, err := holdersOfEach(tx, ids)
		var changed []catalog.Holder
		for i, all := range part {
			if err == nil {
				changed, err = b.restateAll(tx, known[i], all, wanted, changed[:0])
			}
		}
		return err
	})
	if half := len(part) / 2; errors.Is(err, catalog.ErrTooBig) && half > 0 {
		if err := b.restateEach(part[:half], wanted); err != nil {
			return err
		}
		return b.restateEach(part[half:], wanted)
	}
	return err
}

// restateAll is eachTessera for what was said of one, with those who are known to hold it. It gives what it
// changed in them, appended to changed.
func (b *Book) restateAll(
	tx *catalog.Tx, known []catalog.Holder, all []said, wanted func(said, catalog.Holder, bool) bool, changed []catalog.Holder,
) ([]catalog.Holder, error) {
	t, everybody := all[0].Tessera, known
	for _, s := range all {
		h, is := catalog.Holder{Tessera: t, Key: s.by.Holder.Key}, false
		for len(known) > 0 && bytes.Compare(known[0].Key[:], h.Key[:]) < 0 {
			known = known[1:]
		}
		if len(known) > 0 && known[0].Key == h.Key {
			h, is = known[0], true
		}
		s.addTakenSince(h, b.now())
		if !wanted(s, h, is) {
			continue
		}
		now, keep, err := b.restate(tx, h, s)
		if err != nil {
			return changed, err
		}
		b.losses.note(now, lostSince(h, now, everybody), now.LastSeen)
		if keep {
			changed = append(changed, now)
		}
	}
	return changed, tx.ChangeHolders(t, changed)
}

// news is what is new in a statement.
type news struct {
	Statement
	held    bool     // it names other fragments than its holder is known to hold
	credits []Credit // that it changes
}

func (b *Book) newsIn(h catalog.Holder, s Statement) news {
	return news{s, !says(s, h), b.creditsIn(h, s)}
}

// says tells that a statement names just what its holder is known to hold.
func says(s Statement, h catalog.Holder) bool {
	if len(s.Fragments) != len(h.Fragments) {
		return false
	}
	for n, i := range ascending(s.Fragments) {
		if h.Fragments[n].Index != i {
			return false
		}
	}
	return true
}

// restate takes a statement to what is known of its holder. It writes a holder that is new, or has more than
// before, or nothing any more; keep tells that the caller has to write what changed of another. Where there is
// no room for what a holder claims it is as if it had not been said.
func (b *Book) restate(tx *catalog.Tx, before catalog.Holder, s said) (h catalog.Holder, keep bool, err error) {
	h, err = b.restated(tx, before, s)
	if err != nil || b.noNews(before, h) {
		return h, false, err
	}
	switch {
	case len(h.Fragments) == 0:
		err = tx.DropHolder(s.Tessera, h.Key)
	case len(before.Fragments) < len(h.Fragments):
		err = tx.PutHolder(h)
	default:
		keep = true
	}
	if errors.Is(err, catalog.ErrCrowded) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	if hasProof(before) && !hasProof(h) {
		b.proofs.note(s.Tessera, h.Key, false)
	}
	if s.Owner == b.self {
		err = ledger.Acknowledged(tx, b.self, h.Owner, (h.Credited()-before.Credited())*s.ShardSize)
	}
	return h, keep, err
}

// restated gives what is known of a holder after a statement.
func (b *Book) restated(tx *catalog.Tx, before catalog.Holder, s said) (h catalog.Holder, err error) {
	now, by := b.now(), s.by.Holder
	h = before
	if !h.SilentSince.IsZero() {
		h.Flaps++
	}
	h.Nonce, h.Addr, h.Owner = by.Nonce, s.addr, s.by.Owner
	h.LastSeen, h.SilentSince = now, time.Time{}
	if b.config.Proofs && says(*s.Statement, before) {
		return h, nil // its word changes nothing in what it holds
	}
	h.Fragments = make([]catalog.HeldFragment, 0, len(s.Fragments))
	for _, i := range ascending(s.Fragments) {
		f := catalog.HeldFragment{Index: i}
		if at, known := slices.BinarySearchFunc(before.Fragments, i, byIndex); known {
			f = before.Fragments[at]
		} else if denied, err := wasGone(tx, by.Key, s.Tessera, i); err != nil {
			return h, err
		} else if denied {
			f.Failed = now
		}
		if !b.config.Proofs {
			f.Acked, f.Lapsed = now, time.Time{} // its word is as good as a receipt where nobody asks for proofs
		}
		h.Fragments = append(h.Fragments, f)
	}
	return h, nil
}

func ascending(fragments []int) []int {
	if slices.IsSorted(fragments) {
		return fragments
	}
	return slices.Sorted(slices.Values(fragments))
}

// wasGone tells whether a holder said of a fragment that it claims that it is gone, when it was asked to
// prove it.
func wasGone(tx *catalog.Tx, holder sdk.NodeKey, t sdk.TesseraID, index int) (bool, error) {
	audit, err := tx.Audit(holder)
	return slices.Contains(audit.Gone, catalog.GoneFragment{Tessera: t, Index: index}), err
}

// noNews tells that a row need not be written: it says the same as before, not so long ago that the
// holder's word would grow too old before the next round.
func (b *Book) noNews(before, now catalog.Holder) bool {
	age := now.LastSeen.Sub(before.LastSeen)
	before.LastSeen = now.LastSeen
	return age >= 0 && age < b.config.Period/3 && before.Flaps == now.Flaps && before.SilentSince.IsZero() &&
		before.Nonce == now.Nonce && before.Addr == now.Addr && before.Owner == now.Owner &&
		slices.Equal(before.Fragments, now.Fragments)
}

// Silent records that a holder did not answer. It keeps its place: whether to wait for it is the
// repair policy's to say. Where it was met, for whatever reason, since it fell silent, it came back from
// that silence, and this is another one; a zero time is never.
func (b *Book) Silent(holder sdk.NodeKey, met time.Time, tesseras []sdk.TesseraID) error {
	return catalog.UpdateEach(b.catalog, tesseras, func(tx *catalog.Tx, t sdk.TesseraID) error {
		h, err := tx.Holder(t, holder)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case h.SilentSince.IsZero():
		case met.After(h.SilentSince):
			h.Flaps++
		default:
			return nil
		}
		h.SilentSince = b.now()
		return tx.ChangeHolder(h)
	})
}

// Forgotten records that a holder no longer keeps anything of a tessera: its owner wished so, or the holder
// is gone and was replaced. Its credit for an own tessera ends.
func (b *Book) Forgotten(t sdk.TesseraID, holder sdk.NodeKey) error {
	if err := b.journal.Append(RecordHeld, Held{Tessera: t, Holder: holder}.record()); err != nil {
		return fmt.Errorf("keep what a holder forgot: %w", err)
	}
	return b.catalog.Reclaim(func(tx *catalog.Tx) error {
		return b.giveUp(tx, t, holder, func(int) bool { return true })
	})
}

// Released records that a holder gave up one fragment. Its credit for that ends.
func (b *Book) Released(t sdk.TesseraID, holder sdk.NodeKey, index int) error {
	left := Held{Tessera: t, Holder: holder}
	known := false
	err := b.catalog.View(func(tx *catalog.Tx) error {
		h, err := tx.Holder(t, holder)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		left.Owner = h.Owner
		for _, f := range h.Fragments {
			if f.Index == index {
				known = true
			} else {
				left.Fragments = append(left.Fragments, f.Index)
			}
		}
		return err
	})
	if err != nil || !known {
		return err
	}
	if err := b.journal.Append(RecordHeld, left.record()); err != nil {
		return fmt.Errorf("keep what a holder gave up: %w", err)
	}
	return b.catalog.Reclaim(func(tx *catalog.Tx) error {
		return b.giveUp(tx, t, holder, func(i int) bool { return i == index })
	})
}

// giveUp forgets those fragments of a holder that gone names, and ends the credit for them.
func (b *Book) giveUp(tx *catalog.Tx, t sdk.TesseraID, holder sdk.NodeKey, gone func(index int) bool) error {
	h, err := tx.Holder(t, holder)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	plan, err := tx.Plan(t)
	if err != nil {
		return err
	}
	credited, proved := h.Credited(), hasProof(h)
	h.Fragments = slices.DeleteFunc(h.Fragments, func(f catalog.HeldFragment) bool { return gone(f.Index) })
	if plan.Owner == b.self {
		if err := ledger.Lapsed(tx, b.self, h.Owner, (credited-h.Credited())*plan.ShardSize); err != nil {
			return err
		}
	}
	if proved && !hasProof(h) {
		b.proofs.note(t, holder, false)
	}
	if len(h.Fragments) == 0 {
		return tx.DropHolder(t, holder)
	}
	return tx.ChangeHolder(h)
}

// Of gives the holders of a tessera, each with what it is known to hold.
func (b *Book) Of(t sdk.TesseraID) (holders []catalog.Holder, err error) {
	err = b.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.HoldersOf(t) {
			if err != nil {
				return err
			}
			holders = append(holders, h)
		}
		return nil
	})
	return holders, err
}

// OfEach is Of for tesseras by ascending ids, all in one pass.
func (b *Book) OfEach(ids []sdk.TesseraID) (holders [][]catalog.Holder, err error) {
	err = b.catalog.View(func(tx *catalog.Tx) error {
		holders, err = holdersOfEach(tx, ids)
		return err
	})
	return holders, err
}

func holdersOfEach(tx *catalog.Tx, ids []sdk.TesseraID) ([][]catalog.Holder, error) {
	holders := make([][]catalog.Holder, len(ids))
	err := eachOf(tx, ids, func(at int, all []catalog.Holder) error {
		holders[at] = all
		return nil
	})
	return holders, err
}

// eachOf goes through the holders of tesseras by ascending ids: fn is told whose by the position among them.
func eachOf(tx *catalog.Tx, ids []sdk.TesseraID, fn func(at int, all []catalog.Holder) error) error {
	at := 0
	for all, err := range tx.HoldersAmong(ids) {
		if err != nil {
			return err
		}
		for ids[at] != all[0].Tessera {
			at++
		}
		if err := fn(at, all); err != nil {
			return err
		}
	}
	return nil
}

// Contact is where a holder can be reached; ok is false when its address cannot be read.
func Contact(h catalog.Holder) (c identity.Contact, ok bool) {
	addr, err := netip.ParseAddrPort(h.Addr)
	return identity.Contact{Key: h.Key, Nonce: h.Nonce, Addr: addr}, err == nil
}

// SubnetOf is the /24 or /48 a holder's address is in, "" where it is unknown.
func SubnetOf(h catalog.Holder) string {
	c, ok := Contact(h)
	if !ok {
		return ""
	}
	return identity.Subnet(c.Addr.Addr()).String()
}
