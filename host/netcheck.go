package host

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/quicnet"
)

// A check of the network asks a few peers, and does not wait for ever.
const (
	netCheckPeers = 6
	netCheckTime  = 20 * time.Second
)

// NetCheck implements localapi.Network.
func (n *Node) NetCheck(ctx context.Context) (localapi.NetCheck, error) {
	ctx, cancel := context.WithTimeout(ctx, netCheckTime)
	defer cancel()
	n.dht.Joined(ctx)
	c := localapi.NetCheck{Listen: n.net.Addr().String(), Views: []localapi.AddressView{}}
	c.DialledBack = n.askToDialBack(ctx) // which connects to them, and so hears where they see this node
	for _, k := range n.dht.Peers() {
		if k.Silent == 0 {
			c.Peers++
		}
	}
	if self := n.net.Self().Addr; self.IsValid() {
		c.Addr = self.String()
	}
	agreed := n.net.Agreed()
	c.Agreed = agreed.IsValid() && agreed.String() == c.Addr
	for at, voices := range n.net.Views() {
		c.Views = append(c.Views, localapi.AddressView{Addr: at.String(), Voices: voices})
	}
	slices.SortFunc(c.Views, func(a, b localapi.AddressView) int {
		return cmp.Or(cmp.Compare(b.Voices, a.Voices), cmp.Compare(a.Addr, b.Addr))
	})
	c.Reachable = reachable(c.Reached(), len(c.DialledBack))
	if receive, send, ok := n.net.UDPBuffers(); ok {
		c.UDP = &localapi.UDPBuffers{Receive: receive, Send: send, Wanted: quicnet.WantedBuffer}
	}
	c.Advice = netAdvice(c, n.net.Addr().Port())
	return c, ctx.Err()
}

// askToDialBack asks some peers of different subnets; those that cannot or will not try are left out.
func (n *Node) askToDialBack(ctx context.Context) []localapi.DialBack {
	results := make(chan localapi.DialBack, netCheckPeers)
	var asking sync.WaitGroup
	for _, k := range scattered(n.dht.Peers(), netCheckPeers) {
		asking.Go(func() {
			if tried, reached, err := n.net.DialBack(ctx, k.Contact); err == nil {
				results <- localapi.DialBack{Node: k.ID(), Tried: tried.String(), Reached: reached}
			} else {
				n.log.Debug("not dialled back", "peer", k.ID().Short(), "err", err)
			}
		})
	}
	asking.Wait()
	close(results)
	out := []localapi.DialBack{}
	for r := range results {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b localapi.DialBack) int { return cmp.Compare(a.Node.String(), b.Node.String()) })
	return out
}

// scattered picks at most so many peers that answer: those heard of last, one of each subnet first.
func scattered(peers []dht.Known, most int) (out []dht.Known) {
	slices.SortFunc(peers, func(a, b dht.Known) int { return b.LastSeen.Compare(a.LastSeen) })
	taken := map[netip.Prefix]bool{}
	var rest []dht.Known
	for _, k := range peers {
		switch subnet := identity.Subnet(k.Contact.Addr.Addr()); {
		case k.Silent > 0:
		case taken[subnet]:
			rest = append(rest, k)
		default:
			taken[subnet] = true
			out = append(out, k)
		}
	}
	out = append(out, rest...)
	return out[:min(len(out), most)]
}

// reachable is what so many of those that tried to dial this node mean together: nobody's word counts where
// as many say otherwise.
func reachable(reached, tried int) string {
	switch {
	case tried == 0:
		return localapi.ReachableUnknown
	case 3*reached >= 2*tried:
		return localapi.ReachableYes
	case 3*(tried-reached) >= 2*tried:
		return localapi.ReachableNo
	}
	return localapi.ReachableUnknown
}

// netAdvice says what to do about what a check found; nothing when all is well.
func netAdvice(c localapi.NetCheck, port uint16) []string {
	advice := []string{}
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	if c.Peers == 0 {
		say("No peer answers. Name one to begin with, tesd --bootstrap host:port, and look whether UDP leaves this network.")
	}
	if portsDiffer(c.Views) {
		say("Peers see this node at different ports of one address: the router gives each of them another. Forward UDP port %d to this computer and set network.advertise to the public address.", port)
	} else if c.Reachable == localapi.ReachableNo {
		say("Peers could not dial this node. Forward UDP port %d of the router to this computer, let it through the firewall, and set network.advertise to the public address if it is another than %s.", port, orUnknown(c.Addr))
	}
	if c.Reachable == localapi.ReachableUnknown && c.Reached() > 0 {
		say("Some peers got through and others did not: a firewall may let in only those that this node wrote to before. Let UDP port %d in from everywhere.", port)
	}
	switch {
	case c.Peers == 0 || c.Agreed:
	case c.Voices() == 0 && c.Addr == "":
		say("No peer says where it sees this node, so nobody can be told where to dial. Set network.advertise.")
	case c.Voices() < 2:
		say("Too few were asked where they see this node. Check again once peers of two networks are connected, or set network.advertise.")
	case !portsDiffer(c.Views):
		say("Peers disagree about where they see this node. Check again once more are connected, or set network.advertise to the address that is right.")
	}
	if c.UDP != nil && min(c.UDP.Receive, c.UDP.Send) < c.UDP.Wanted {
		say("The kernel gives small UDP buffers, which slows transfers: sysctl -w net.core.rmem_max=%[1]d net.core.wmem_max=%[1]d, and again at each start through a file in /etc/sysctl.d.", c.UDP.Wanted)
	}
	return advice
}

// portsDiffer tells whether one address is seen at several ports, by whatever voices.
func portsDiffer(views []localapi.AddressView) bool {
	seen := map[netip.Addr]bool{}
	for _, v := range views {
		at, err := netip.ParseAddrPort(v.Addr)
		if err != nil {
			continue
		}
		if seen[at.Addr()] {
			return true
		}
		seen[at.Addr()] = true
	}
	return false
}

func orUnknown(addr string) string { return cmp.Or(addr, "the one it listens on") }

// NetCheck implements localapi.Network: it takes a running node.
func (*localBackend) NetCheck(context.Context) (localapi.NetCheck, error) {
	return localapi.NetCheck{}, localapi.ErrNoDaemon
}
