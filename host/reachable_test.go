package host_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/quicnet"
)

// TestNetCheckOfWholeNodes: what a node is told of itself by others on loopback, and the words that go with it.
func TestNetCheckOfWholeNodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		neighbours int
		tune       func(*config.Config)
		bind       func(listen string) (net.PacketConn, error)
		reachable  string
		agreed     bool
		advice     string // one word of it; "" = none, but for the kernel's buffers
	}{
		"all is well": {neighbours: 3, reachable: localapi.ReachableYes, agreed: true},
		"alone":       {reachable: localapi.ReachableUnknown, advice: "Name one to begin with"},
		"one voice":   {neighbours: 1, reachable: localapi.ReachableYes, advice: "Too few were asked"},
		"a firewall":  {neighbours: 3, bind: bindBehindFirewall, reachable: localapi.ReachableNo, agreed: true, advice: "Forward UDP port"},
		"it says another address": {
			neighbours: 3, tune: func(c *config.Config) { c.Network.Advertise = "127.77.0.1:4433" },
			reachable: localapi.ReachableNo, advice: "Peers disagree",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &village{t: t}
			for range c.neighbours {
				v.add()
			}
			if c.bind != nil {
				v.options = []host.Option{host.WithSocket(c.bind)}
			}
			n := v.add(func(cfg *config.Config) {
				if c.tune != nil {
					c.tune(cfg)
				}
			})
			v.meet(n, c.neighbours)
			got, err := n.NetCheck(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Reachable != c.reachable || got.Agreed != c.agreed || got.Peers != c.neighbours || len(got.DialledBack) != c.neighbours {
				t.Errorf("got %+v", got)
			}
			if seen := got.Views; c.neighbours > 0 && (len(seen) != 1 || seen[0].Addr != got.Listen || seen[0].Voices != c.neighbours) {
				t.Errorf("%d neighbours see it at %+v, it listens at %s", c.neighbours, seen, got.Listen)
			}
			checkUDP(t, got, c.bind == nil)
			advice := slices.DeleteFunc(got.Advice, func(a string) bool { return strings.Contains(a, "rmem_max") })
			if c.advice == "" && len(advice) > 0 || c.advice != "" && !strings.Contains(strings.Join(advice, "\n"), c.advice) {
				t.Errorf("advice: %q, want %q", advice, c.advice)
			}
		})
	}
}

// checkUDP: what the kernel gives is told of a real socket, and what to do where that is too little.
func checkUDP(t *testing.T, got localapi.NetCheck, real bool) {
	t.Helper()
	if (got.UDP != nil) != real {
		t.Errorf("buffers %+v, of a real socket: %v", got.UDP, real)
	}
	if got.UDP == nil {
		return
	}
	few := min(got.UDP.Receive, got.UDP.Send) < quicnet.WantedBuffer
	said := slices.ContainsFunc(got.Advice, func(a string) bool { return strings.Contains(a, "sysctl -w net.core.rmem_max") })
	if got.UDP.Wanted != quicnet.WantedBuffer || got.UDP.Receive <= 0 || few != said {
		t.Errorf("buffers %+v, and advice %q", got.UDP, got.Advice)
	}
}

// firewalled is a socket that hears only those it has written to.
type firewalled struct {
	net.PacketConn

	mu      sync.Mutex // guards written
	written map[netip.AddrPort]bool
}

func bindBehindFirewall(listen string) (net.PacketConn, error) {
	conn, err := net.ListenPacket("udp4", listen)
	return &firewalled{PacketConn: conn, written: map[netip.AddrPort]bool{}}, err
}

func (f *firewalled) WriteTo(p []byte, to net.Addr) (int, error) {
	f.mu.Lock()
	f.written[to.(*net.UDPAddr).AddrPort()] = true
	f.mu.Unlock()
	return f.PacketConn.WriteTo(p, to)
}

func (f *firewalled) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.PacketConn.ReadFrom(p)
		if err != nil || f.lets(from.(*net.UDPAddr).AddrPort()) {
			return n, from, err
		}
	}
}

func (f *firewalled) lets(from netip.AddrPort) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())] || f.written[from]
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
func (f *firewalled) SetReadBuffer(int) error { return nil }

func (f *firewalled) SetWriteBuffer(int) error { return nil }
