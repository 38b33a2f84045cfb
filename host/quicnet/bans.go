package quicnet

import (
	"errors"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/wire"
)

// bans remembers which keys, of nodes and of owners, broke rules that nobody breaks by being slow, old or of
// another time: messages that cannot be read or are above their ceiling, and signatures that do not hold. Who does
// it again and again is not spoken to for a while. It is kept in memory only.
type bans struct {
	faults *paces[[32]byte]

	mu    sync.Mutex // guards below
	until map[[32]byte]time.Time
}

const (
	// forgiven is how many faults of one key are let pass; then one in each forgetting.
	forgiven   = 10
	forgetting = time.Minute
	banTime    = 10 * time.Minute
	maxBans    = 4096
)

func newBans() *bans {
	return &bans{
		faults: newPaces[[32]byte](1/forgetting.Seconds(), forgiven, maxBans),
		until:  map[[32]byte]time.Time{},
	}
}

// blame notes a fault of some keys, which are those of one peer, and tells whether that was one too many.
func (b *bans) blame(now time.Time, keys ...[32]byte) (banned bool) {
	for _, key := range keys {
		if !b.faults.allow(key, 1, 1, now) {
			b.ban(key, now)
			banned = true
		}
	}
	return banned
}

func (b *bans) ban(key [32]byte, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for old, until := range b.until {
		if len(b.until) < maxBans {
			break
		}
		if until.Before(now) {
			delete(b.until, old)
		}
	}
	for old := range b.until {
		if len(b.until) < maxBans {
			break
		}
		delete(b.until, old)
	}
	b.until[key] = now.Add(banTime)
}

// left is for how long the longest ban of some keys still holds; 0 = there is none.
func (b *bans) left(now time.Time, keys ...[32]byte) (most time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		most = max(most, b.until[key].Sub(now))
	}
	return most
}

// isFault tells whether an error is the fault of who sent something: not of the way there, of a clock, or of a
// version this node does not know.
func isFault(err error) bool {
	return errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) || wire.CodeOf(err) == wire.Code_BAD_SIGNATURE
}

// denied is what a banned peer is told; nil = it is not banned.
func (n *Net) denied(keys ...[32]byte) error {
	left := n.bans.left(time.Now(), keys...)
	if left <= 0 {
		return nil
	}
	return named(RefusedBanned, wire.Refuse(wire.Code_DENIED, "this key broke the protocol too often").Later(left))
}

// blame notes what an error of a peer's making says about the peer. One that is banned for it, and dialled us, has to go.
func (n *Net) blame(c *conn, err error) {
	if !isFault(err) || !n.bans.blame(time.Now(), c.peer.Contact.Key, c.peer.Owner) {
		return
	}
	n.log.Warn("a peer breaks the protocol and is shut out for a while", "peer", c.peer.ID().Short(), "for", banTime, "err", err)
	if !c.peer.Dialed {
		c.q.CloseWithError(closeCode(wire.Code_DENIED), "this key broke the protocol too often")
	}
}
