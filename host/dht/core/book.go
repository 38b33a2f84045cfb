package core

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// Known is a peer this node has met, and its record.
type Known struct {
	Contact   identity.Contact
	Owner     sdk.OwnerKey
	FirstSeen time.Time
	LastSeen  time.Time
	RoundTrip time.Duration // 0 = not measured
	FreeBytes uint64        // as it last said
	Asked     uint64        // times it was asked something by the DHT
	Answered  uint64        // of those
	Silent    int           // of the last times in a row, how often it did not answer

	at       ID        // its position, once it was met or recalled
	silentAt time.Time // the last time it did not
	slowAt   time.Time // when a lookup last went on without its answer
}

// ID is the peer's position in the network.
func (k Known) ID() sdk.NodeID { return k.Contact.ID() }

func (k *Known) node() Node { return Node{k.Contact, k.at} }

// UptimePPM is the share of questions it answered, in parts per million; an unasked peer has all.
func (k Known) UptimePPM() uint32 {
	if k.Asked == 0 {
		return 1_000_000
	}
	return uint32(k.Answered * 1_000_000 / k.Asked)
}

// book remembers everyone who was met, also those the table has no place for, up to a limit.
type book struct {
	limit int
	peers map[sdk.NodeKey]*Known
}

func newBook(limit int) *book {
	return &book{limit: limit, peers: map[sdk.NodeKey]*Known{}}
}

// met notes a verified connection. A full book forgets those who were silent for the longest, but
// nobody whom keep names.
func (b *book) met(k Known, keep func(sdk.NodeKey) bool) *Known {
	old := b.peers[k.Contact.Key]
	if old == nil {
		b.makeRoom(keep)
		old = &Known{FirstSeen: k.LastSeen}
		b.peers[k.Contact.Key] = old
	}
	old.Contact, old.at, old.Owner, old.FreeBytes = k.Contact, k.at, k.Owner, k.FreeBytes
	old.LastSeen, old.Silent, old.slowAt = k.LastSeen, 0, time.Time{}
	return old
}

func (b *book) makeRoom(keep func(sdk.NodeKey) bool) {
	if len(b.peers) < b.limit {
		return
	}
	var out []*Known
	for key, k := range b.peers {
		if !keep(key) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, byLastSeen)
	for _, k := range out[:min(len(out), 1+b.limit/16)] { // some at a time, so that not every newcomer costs a look at all
		delete(b.peers, k.Contact.Key)
	}
}

// byLastSeen orders records, those longest unheard first.
func byLastSeen(a, b *Known) int {
	return cmp.Or(a.LastSeen.Compare(b.LastSeen), bytes.Compare(a.Contact.Key[:], b.Contact.Key[:]))
}

// answered notes that a peer answered a question after some time.
func (b *book) answered(key sdk.NodeKey, took time.Duration, now time.Time) {
	k := b.peers[key]
	if k == nil {
		return
	}
	k.Asked++
	k.Answered++
	k.Silent, k.LastSeen, k.slowAt = 0, now, time.Time{}
	if k.RoundTrip == 0 || took < k.RoundTrip {
		k.RoundTrip = took
	} else {
		k.RoundTrip += (took - k.RoundTrip) / 8
	}
}

// silent notes that a peer did not answer, unless it was met elsewhere: then it was looked for where it
// never was, or is no more.
func (b *book) silent(c identity.Contact, now time.Time) {
	if k := b.at(c); k != nil {
		k.Asked++
		k.fellSilent(now)
	}
}

// fellSilent counts a silence; several tidings of it in one second are one.
func (k *Known) fellSilent(now time.Time) {
	if k.Silent > 0 && now.Sub(k.silentAt) < time.Second {
		return
	}
	k.Silent++
	k.silentAt = now
}

// missed notes that a peer could not be reached at an address, unless it has been met at another.
func (b *book) missed(c identity.Contact, now time.Time) {
	if k := b.at(c); k != nil {
		k.fellSilent(now)
	}
}

// at is the record of a peer that was met at an address, or nil.
func (b *book) at(c identity.Contact) *Known {
	if k := b.peers[c.Key]; k != nil && k.Contact.Addr == c.Addr {
		return k
	}
	return nil
}

// dueForPing tells whether it is time to ask a peer whether it lives: it was not heard of for as long
// as after, or it was silent, and then the wait doubles from retry with every silence.
func (k *Known) dueForPing(now time.Time, after, retry time.Duration) bool {
	if k.Silent > 0 {
		return now.Sub(k.silentAt) >= min(retry<<min(k.Silent-1, 16), after)
	}
	return now.Sub(k.LastSeen) >= after
}

// due lists at most n peers that it is time to ask, those longest unheard first. Who is not in the
// table is asked a twelfth as often.
func (b *book) due(now time.Time, n int, after, retry time.Duration, inTable func(sdk.NodeKey) bool) []Node {
	var due []*Known
	for key, k := range b.peers {
		wait := after
		if !inTable(key) {
			wait *= 12
		}
		if k.dueForPing(now, wait, retry) {
			due = append(due, k)
		}
	}
	slices.SortFunc(due, byLastSeen)
	var out []Node
	for _, k := range due[:min(n, len(due))] {
		out = append(out, k.node())
	}
	return out
}

// alive tells whether a peer is not known to be silent.
func (b *book) alive(key sdk.NodeKey) bool {
	k := b.peers[key]
	return k == nil || k.Silent == 0
}

// slow notes that a lookup went on without the answer of a contact, and tells whether that is a peer that
// was met there.
func (b *book) slow(c identity.Contact, now time.Time) bool {
	k := b.at(c)
	if k != nil {
		k.slowAt = now
	}
	return k != nil
}

// worthAsking tells whether a contact is not known to have been silent or slow since a time. A peer that
// was may be at another address now.
func (b *book) worthAsking(c identity.Contact, since time.Time) bool {
	k := b.at(c)
	return k == nil || (k.Silent == 0 || k.silentAt.Before(since)) && k.slowAt.Before(since)
}

// list copies all, in the order of their keys.
func (b *book) list() []Known {
	out := make([]Known, 0, len(b.peers))
	for _, k := range b.peers {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b Known) int {
		return bytes.Compare(a.Contact.Key[:], b.Contact.Key[:])
	})
	return out
}
