package quicnet

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/wire"
)

// TestFaultsAreForgiven: a few at once, and one more a minute; a ban ends.
func TestFaultsAreForgiven(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	b := newBans()
	node, owner, other := [32]byte{1}, [32]byte{2}, [32]byte{3}
	for i := range forgiven {
		if b.blame(now, node, owner) {
			t.Fatalf("banned for fault %d", i)
		}
	}
	if now = now.Add(forgetting); b.blame(now, node, owner) {
		t.Error("nothing is forgotten in a minute")
	}
	if b.left(now, node, owner) > 0 {
		t.Error("banned without a fault too many")
	}
	if !b.blame(now, node, owner) {
		t.Error("one too many is forgiven")
	}
	for _, key := range [][32]byte{node, owner} {
		if got := b.left(now, other, key); got != banTime {
			t.Errorf("banned for %s, want %s", got, banTime)
		}
	}
	if b.left(now, other) > 0 || b.left(now.Add(banTime), node, owner) > 0 {
		t.Error("another key is banned, or a ban does not end")
	}
}

// TestBansAreBounded, and the newest holds.
func TestBansAreBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	b := newBans()
	var key [32]byte
	for i := range 2 * maxBans {
		binary.BigEndian.PutUint64(key[:], uint64(i))
		b.ban(key, now)
	}
	if len(b.until) > maxBans || b.left(now, key) <= 0 {
		t.Errorf("%d bans, the newest has %s", len(b.until), b.left(now, key))
	}
}

// TestWhatIsAFault: what cannot be read and what is forged; not what is late, unknown, cut off or too much.
func TestWhatIsAFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("receive: %w", wire.ErrMalformed), true},
		{fmt.Errorf("receive: %w", wire.ErrTooLarge), true},
		{wire.Refuse(wire.Code_BAD_SIGNATURE, "the plan"), true},
		{named(RefusedDelegation, wire.Refuse(wire.Code_BAD_SIGNATURE, "the owner")), true},
		{wire.ErrUnknownKind, false},
		{io.ErrUnexpectedEOF, false},
		{ErrSilent, false},
		{ErrGone, false},
		{wire.Refuse(wire.Code_TOO_SLOW, "late"), false},
		{wire.Refuse(wire.Code_UNSUPPORTED, "a version"), false},
		{wire.Refuse(wire.Code_HASH_MISMATCH, "a disk that rots"), false},
		{wire.ErrExpired, false},
	} {
		if got := isFault(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
