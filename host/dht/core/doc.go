// Package core answers: what does a node of the distributed hash table do next?
//
// It is Kademlia (Maymounkov and Mazières, 2002) with the disjoint lookup paths of S/Kademlia
// (Baumgart and Mies, 2007), as a state machine: what peers say, time and randomness go in, questions
// to peers come out. It has no clock, no lock, no goroutine and no network, so thousands of nodes run
// in one process and a seed replays a run. The daemon runs this same code; package dht moves
// messages between it and the network.
//
// A node enters the table only after a handshake proved its key and its work, and not merely because a lookup
// asked it: those that a lookup found get some of the places in a bucket, so that liars, who crowd the way,
// get no more of them than they are. A lookup that finds ids farther apart than they lie in this network goes
// on with whom it knows itself. Everything learnt here is a hint where to ask: the signed plan is the truth.
package core
