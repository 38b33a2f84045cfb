// Package invariants answers: does everything hold that must hold at any time?
//
// It looks at nodes from outside, at their disks, indexes and journals, and knows the invariants of the list
// of threats as far as these show them:
//
//	I1  what was acknowledged is kept, byte-exact                     Kept
//	I2  no object is other than its name says                         Kept
//	I3  what is referenced is there                                   Kept
//	I4  a tessera is at its target                                    Copies.Target
//	I5  the last copy is never deleted                                Copies.Lost
//	I6  both sides' receipts agree, and the ledger with the facts     Receipts
//	I7  no more connections than allowed, nothing left in the spool   Bounded, Spooled
//	I8  nobody honest is marked down                                  Accused
//
// That wrong bytes are never returned, and that an index that is rebuilt is what it was, a suite sees by
// restoring and rebuilding; that the same seed gives the same run is for the single-threaded cores.
package invariants

import (
	"errors"
	"iter"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/sdk"
)

// Node is a node that runs, as it is looked at.
type Node struct {
	Key     sdk.NodeKey
	Owner   sdk.OwnerKey
	Dir     string // its data directory
	View    func(func(*catalog.Tx) error) error
	Records iter.Seq2[journal.Record, error] // of its journal, from the first on

	Connections, MaxConnections int
}

// Harm is what a suite did to the disks of nodes: faults that the invariants do not speak of. The zero value
// is none.
type Harm struct{ done map[harmed]bool }

type harmed struct {
	node   sdk.NodeKey
	object digest.Hash
}

// Note says that an object was damaged or taken away under a node.
func (h *Harm) Note(node sdk.NodeKey, object digest.Hash) {
	if h.done == nil {
		h.done = map[harmed]bool{}
	}
	h.done[harmed{node, object}] = true
}

func (h *Harm) to(node sdk.NodeKey, object digest.Hash) bool { return h.done[harmed{node, object}] }

// any tells whether a node was harmed at all.
func (h *Harm) any(node sdk.NodeKey) bool {
	for k := range h.done {
		if k.node == node {
			return true
		}
	}
	return false
}

// Check looks for whatever does not hold at nodes that are left alone while it looks. Its error names each
// finding.
func Check(nodes []Node, harm *Harm) error {
	var found []error
	for _, n := range nodes {
		found = append(found, Kept(n, harm), Bounded(n))
	}
	return errors.Join(append(found, Receipts(nodes), Accused(nodes, harm))...)
}
