package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// Check is what a node says of a tessera to who watches it.
type Check struct {
	At     time.Time // when it last checked the tessera's health, to the millisecond; zero is never
	Moving bool      // it is placing fragments of it just now
}

// CheckHeard is a Check as the watcher understands it.
type CheckHeard struct {
	Age    time.Duration // how long before the answer the tessera was checked; negative is never
	Moving bool
}

// SignChecked answers who watches: checks has an entry for each tessera of the request.
func SignChecked(node *identity.Node, q *Watch, watcher sdk.NodeKey, checks []Check, now time.Time) *Checked {
	key := node.Key()
	m := &Checked{Holder: key[:], Verifier: watcher[:], Nonce: q.GetNonce(), TimeMs: now.UnixMilli()}
	moving := make([]byte, len(checks))
	for i, c := range checks {
		if c.At.IsZero() {
			m.Times = binary.BigEndian.AppendUint64(m.Times, 0)
		} else {
			m.Times = appendTime(m.Times, c.At)
		}
		if c.Moving {
			moving[i] = 1
			m.Moving = moving
		}
	}
	m.Signature = node.Sign(m.text(q))
	return m
}

// VerifyChecked reads an answer of node to a watcher's question and checks that it is that answer, and
// signed: ErrMalformed or ErrSignature. It gives what the node said of each tessera. Times are as its own
// clock has them, so that clocks need not agree.
func VerifyChecked(m *Checked, q *Watch, node, watcher sdk.NodeKey) (heard []CheckHeard, err error) {
	if !bytes.Equal(m.GetHolder(), node[:]) || !bytes.Equal(m.GetVerifier(), watcher[:]) || !bytes.Equal(m.GetNonce(), q.GetNonce()) {
		return nil, fmt.Errorf("checks of %s: %w: an answer to another question", node.Short(), ErrMalformed)
	}
	asked, moving := len(q.GetTesseras()), m.GetMoving()
	if len(m.GetTimes()) != 8*asked || len(moving) != 0 && len(moving) != asked {
		return nil, fmt.Errorf("checks of %s: %w: %d tesseras were asked for", node.Short(), ErrMalformed, asked)
	}
	if !identity.Verify(node, m.text(q), m.GetSignature()) {
		return nil, fmt.Errorf("checks of %s: %w", node.Short(), ErrSignature)
	}
	said := time.UnixMilli(m.GetTimeMs())
	heard = make([]CheckHeard, asked)
	for i := range heard {
		heard[i] = CheckHeard{Age: -1, Moving: len(moving) > 0 && moving[i] == 1}
		if at := binary.BigEndian.Uint64(m.GetTimes()[8*i:]); at != 0 {
			heard[i].Age = max(said.Sub(time.UnixMilli(int64(at))), 0)
		}
	}
	return heard, nil
}

// text is what is signed: the tesseras asked about, the times and what is moving stand in it as hashes.
func (x *Checked) text(q *Watch) []byte {
	h := digest.New()
	for _, t := range q.GetTesseras() {
		h.Write(t)
	}
	asked, times := h.Sum(), digest.Of(x.GetTimes())
	b := []byte("tesseras checked 1\n")
	b = append(b, x.GetHolder()...)
	b = append(b, x.GetVerifier()...)
	b = append(b, x.GetNonce()...)
	b = binary.BigEndian.AppendUint64(b, uint64(x.GetTimeMs()))
	b = append(b, asked[:]...)
	b = append(b, times[:]...)
	if moving := x.GetMoving(); len(moving) > 0 {
		hash := digest.Of(moving)
		b = append(b, hash[:]...)
	}
	return b
}
