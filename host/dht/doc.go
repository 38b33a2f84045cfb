// Package dht answers: who exists, and who holds this tessera?
//
// It is Kademlia (Maymounkov and Mazières, 2002) with its four messages: ping, find node, store
// pointer, find pointer. A node enters the table only after a handshake proved its key and its work;
// a pointer is a holder's own signed statement. All of it is a hint where to ask: the signed plan is
// the truth.
//
// What to do next is decided by the state machine in package core, which has no clock and no I/O; DHT
// moves messages and time between it and the network.
package dht
