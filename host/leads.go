package host

import (
	"bytes"
	"slices"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// leaders is how many holders of a tessera keep its pointers fresh.
const leaders = 8

// leads tells whether this node is among the first holders of a tessera, of those it knows of and that
// are not silent. One that cannot tell leads: a pointer too many costs less than one too few.
func (n *Node) leads(t sdk.TesseraID) bool {
	known, err := n.book.Of(t)
	if err != nil {
		return true
	}
	self := n.id.Node.Key()
	holders := []sdk.NodeKey{self}
	for _, h := range known {
		if h.Key != self && h.SilentSince.IsZero() {
			holders = append(holders, h.Key)
		}
	}
	return leading(t, holders, self)
}

// leading tells whether a holder is among the first of all in rendezvous order (Thaler and Ravishankar,
// 1996): by the BLAKE3 of the tessera's id and the node key.
func leading(t sdk.TesseraID, holders []sdk.NodeKey, who sdk.NodeKey) bool {
	rank := func(k sdk.NodeKey) digest.Hash { return digest.Of(slices.Concat(t[:], k[:])) }
	own, ahead := rank(who), 0
	for _, k := range holders {
		if other := rank(k); bytes.Compare(other[:], own[:]) < 0 {
			ahead++
		}
	}
	return ahead < leaders
}
