package catalog

import (
	"errors"
	"iter"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Peer is a node this one knew, kept so that a restart needs no bootstrap.
type Peer struct {
	Key       sdk.NodeKey
	Nonce     uint64 // of its proof of work
	Addr      string // host:port where it was last reached
	Owner     sdk.OwnerKey
	FirstSeen time.Time
	LastSeen  time.Time
	// Asked is how often it was asked something, Answered of that how often it answered, and Silent how often
	// it did not lately, in a row.
	Asked, Answered, Silent uint64
}

// PutPeer writes the row, replacing the one of the same key.
func (tx *Tx) PutPeer(p Peer) error {
	return tx.set(nodeKey(kindPeer, p.Key), newValue().
		uint(p.Nonce).text(p.Addr).raw(p.Owner[:]).time(p.FirstSeen).time(p.LastSeen).
		uint(p.Asked).uint(p.Answered).uint(p.Silent))
}

// Peer gives the row of a node, or ErrNotFound.
func (tx *Tx) Peer(k sdk.NodeKey) (Peer, error) { return one(tx, nodeKey(kindPeer, k), decodePeer) }

// Peers gives all peers, in order of their keys.
func (tx *Tx) Peers() iter.Seq2[Peer, error] { return list(tx, []byte{kindPeer}, nil, decodePeer) }

// DropPeer forgets a peer. One that has no row is no error.
func (tx *Tx) DropPeer(k sdk.NodeKey) error { return tx.del(nodeKey(kindPeer, k)) }

func decodePeer(r row) (p Peer, err error) {
	k := openKey("peer", r.key[1:])
	p.Key = k.node()
	v := openValue("peer", r.value)
	p.Nonce, p.Addr, p.Owner, p.FirstSeen, p.LastSeen = v.uint(), v.text(), v.owner(), v.time(), v.time()
	if len(v.b) > 0 { // rows of before do not tell
		p.Asked, p.Answered, p.Silent = v.uint(), v.uint(), v.uint()
	}
	return p, errors.Join(k.done(), v.done())
}
