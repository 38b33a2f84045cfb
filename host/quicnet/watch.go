package quicnet

import (
	"context"
	"time"

	"github.com/tesseras/tesseras/host/wire"
)

// closeSilent closes a connection whose peer seems dead: requests under way fail with ErrSilent.
const closeSilent = closeCode(wire.Code_TOO_SLOW)

// pulse is what was last heard of a connection.
type pulse struct {
	begun    bool
	received uint64    // packets in all, when it was last looked at
	sent     uint64    // packets in all, when something was last heard
	since    time.Time // when packets were first seen to go unanswered
}

// How many packets sent since something was last heard mean that they go unanswered, and how many
// that the peer is dead if it lasts. A peer that thinks about an answer has acknowledged the question, so
// that at most an acknowledgement follows; one that is gone is sent probes by QUIC.
const (
	unanswered = 2
	desperate  = 4
)

// dead takes the pulse: probes were sent for as long as patience, and nothing was heard.
func (p *pulse) dead(received, sent uint64, now time.Time, patience time.Duration) bool {
	switch {
	case !p.begun || received != p.received:
		*p = pulse{begun: true, received: received, sent: sent}
	case sent >= p.sent+unanswered && p.since.IsZero():
		p.since = now
	}
	return sent >= p.sent+desperate && now.Sub(p.since) >= patience
}

// watch drops connections in use whose peers are dead, long before QUIC's idle timeout would.
func (n *Net) watch(ctx context.Context) {
	tick := time.NewTicker(n.config.DeadAfter / 8)
	defer tick.Stop()
	pulses := map[*conn]*pulse{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			n.takePulses(pulses, now)
		}
	}
}

func (n *Net) takePulses(pulses map[*conn]*pulse, now time.Time) {
	inUse := n.pool.inUse()
	for c := range pulses {
		if !inUse[c] {
			delete(pulses, c)
		}
	}
	for c := range inUse {
		if pulses[c] == nil {
			pulses[c] = &pulse{}
		}
		stats := c.q.ConnectionStats()
		if pulses[c].dead(stats.PacketsReceived, stats.PacketsSent, now, max(n.config.DeadAfter, 8*stats.SmoothedRTT)) {
			delete(pulses, c)
			n.giveUp(c)
		}
	}
}

// giveUp closes the connection of a dead peer.
func (n *Net) giveUp(c *conn) {
	n.pool.abandon(c)
	n.tasks.Go(func() { // waits for the connection to wind down; the caller is a task itself
		c.q.CloseWithError(closeSilent, "silent")
	})
}
