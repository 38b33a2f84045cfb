// Package quicnet answers: how do bytes reach a peer, and who is allowed to send us any?
//
// One UDP socket carries everything: QUIC with mutual TLS, in which a peer is its key and never its
// address. Each request has a stream of its own. Connections are pooled by key, bounded in number,
// and closed when idle; every wait has a deadline, and cancelling a request reaches the peer. What is
// said over a stream is host/wire's; quic-go's types stop at this door.
package quicnet
