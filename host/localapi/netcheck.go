package localapi

import "github.com/tesseras/tesseras/sdk"

// Whether others can reach a node.
const (
	ReachableYes     = "yes"
	ReachableNo      = "no"
	ReachableUnknown = "unknown" // nobody could be asked to try, or those that did found different things
)

// NetCheck is how the network sees this node.
type NetCheck struct {
	Listen    string `json:"listen"` // where the socket is bound
	Addr      string `json:"addr"`   // where peers are told to dial; "" = not known
	Agreed    bool   `json:"agreed"` // peers agree that they see it there
	Reachable string `json:"reachable"`
	Peers     int    `json:"peers"` // that answer

	Views       []AddressView `json:"views"`
	DialledBack []DialBack    `json:"dialled_back"`
	UDP         *UDPBuffers   `json:"udp,omitempty"` // nil = not known
	Advice      []string      `json:"advice"`        // what to do, in words; none = all is well
}

// Voices counts who said where this node is seen.
func (n NetCheck) Voices() (all int) {
	for _, v := range n.Views {
		all += v.Voices
	}
	return all
}

// Reached counts the peers that dialled this node and got through.
func (n NetCheck) Reached() (all int) {
	for _, b := range n.DialledBack {
		if b.Reached {
			all++
		}
	}
	return all
}

// AddressView is an address at which peers see this node. Peers of one public subnet have one voice.
type AddressView struct {
	Addr   string `json:"addr"`
	Voices int    `json:"voices"`
}

// DialBack is a peer's attempt to reach this node as a stranger would.
type DialBack struct {
	Node    sdk.NodeID `json:"node"`
	Tried   string     `json:"tried"`
	Reached bool       `json:"reached"`
}

// UDPBuffers are the sizes in bytes of the socket's buffers, and what is wanted of each.
type UDPBuffers struct {
	Receive int `json:"receive"`
	Send    int `json:"send"`
	Wanted  int `json:"wanted"`
}

func (n NetCheck) message() *NetCheckResponse {
	m := &NetCheckResponse{
		Listen: n.Listen, Addr: n.Addr, Agreed: n.Agreed, Reachable: n.Reachable, Peers: int64(n.Peers), Advice: n.Advice,
		Views: mapped(n.Views, func(v AddressView) *NetCheckResponse_View {
			return &NetCheckResponse_View{Addr: v.Addr, Voices: int64(v.Voices)}
		}),
		DialledBack: mapped(n.DialledBack, func(d DialBack) *NetCheckResponse_DialBack {
			return &NetCheckResponse_DialBack{Node: d.Node.String(), Tried: d.Tried, Reached: d.Reached}
		}),
	}
	if n.UDP != nil {
		m.Udp = &NetCheckResponse_Buffers{Receive: int64(n.UDP.Receive), Send: int64(n.UDP.Send), Wanted: int64(n.UDP.Wanted)}
	}
	return m
}

func (d *decoder) netCheck(m *NetCheckResponse) NetCheck {
	n := NetCheck{
		Listen: m.Listen, Addr: m.Addr, Agreed: m.Agreed, Reachable: m.Reachable, Peers: int(m.Peers), Advice: m.Advice,
		Views: mapped(m.Views, func(v *NetCheckResponse_View) AddressView { return AddressView{v.Addr, int(v.Voices)} }),
		DialledBack: mapped(m.DialledBack, func(b *NetCheckResponse_DialBack) DialBack {
			return DialBack{d.node(b.Node), b.Tried, b.Reached}
		}),
	}
	if m.Udp != nil {
		n.UDP = &UDPBuffers{int(m.Udp.Receive), int(m.Udp.Send), int(m.Udp.Wanted)}
	}
	return n
}
