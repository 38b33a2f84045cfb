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

// SignChecked answers who watches: times has, for each tessera of the request, when this node last
// checked its health; zero is never.
func SignChecked(node *identity.Node, q *Watch, watcher sdk.NodeKey, times []time.Time, now time.Time) *Checked {
	key := node.Key()
	m := &Checked{Holder: key[:], Verifier: watcher[:], Nonce: q.GetNonce(), TimeMs: now.UnixMilli()}
	for _, t := range times {
		if t.IsZero() {
			m.Times = binary.BigEndian.AppendUint64(m.Times, 0)
			continue
		}
		m.Times = appendTime(m.Times, t)
	}
	m.Signature = node.Sign(m.text(q))
	return m
}

// VerifyChecked reads an answer of node to a watcher's question and checks that it is that answer, and
// signed: ErrMalformed or ErrSignature. It gives how long before its answer the node checked each
// tessera, by its own clock, so that clocks need not agree; a negative age is never.
func VerifyChecked(m *Checked, q *Watch, node, watcher sdk.NodeKey) (ages []time.Duration, err error) {
	if !bytes.Equal(m.GetHolder(), node[:]) || !bytes.Equal(m.GetVerifier(), watcher[:]) ||
		!bytes.Equal(m.GetNonce(), q.GetNonce()) || len(m.GetTimes()) != 8*len(q.GetTesseras()) {
		return nil, fmt.Errorf("checks of %s: %w: an answer to another question", node.Short(), ErrMalformed)
	}
	if !identity.Verify(node, m.text(q), m.GetSignature()) {
		return nil, fmt.Errorf("checks of %s: %w", node.Short(), ErrSignature)
	}
	said := time.UnixMilli(m.GetTimeMs())
	for b := m.GetTimes(); len(b) > 0; b = b[8:] {
		age := time.Duration(-1)
		if at := binary.BigEndian.Uint64(b); at != 0 {
			age = max(said.Sub(time.UnixMilli(int64(at))), 0)
		}
		ages = append(ages, age)
	}
	return ages, nil
}

// text is what is signed: the tesseras asked about and the times stand in it as hashes.
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
	return append(b, times[:]...)
}
