package quicnet

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// bundles is a UDP socket that takes packets from the kernel in bundles: those that came in a row from one
// peer, in one piece. That is how QUIC sends them, and often how the network card hands them on; without
// this the kernel takes each bundle apart again, packet by packet. One goroutine at a time reads.
type bundles struct {
	*net.UDPConn
	socket *ipv4.PacketConn // the same
	room   []ipv4.Message   // what the next bundles are read into
	left   []bundle         // what was read and not handed on yet
}

// bundle is packets of one peer, all of one size but for the last, which may be shorter.
type bundle struct {
	packets []byte
	size    int // bytes of a packet
	oob     []byte
	from    net.Addr
}

const (
	bundleSize   = 64 << 10 // bytes: no datagram is larger
	bundlesAhead = 4        // are read at once
	bundleOOB    = 128      // bytes of what the kernel says about one
)

// bundled gives the socket as one that reads in bundles, where it is a UDP socket and the kernel can do that.
func bundled(conn net.PacketConn) net.PacketConn {
	udp, is := conn.(*net.UDPConn)
	if !is || !askForBundles(udp) {
		return conn
	}
	b := &bundles{UDPConn: udp, socket: ipv4.NewPacketConn(udp), room: make([]ipv4.Message, bundlesAhead)}
	for i := range b.room {
		b.room[i] = ipv4.Message{Buffers: [][]byte{make([]byte, bundleSize)}, OOB: make([]byte, bundleOOB)}
	}
	return b
}

func askForBundles(udp *net.UDPConn) bool {
	raw, err := udp.SyscallConn()
	if err != nil {
		return false
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	})
	return err == nil && refused == nil
}

// ReadBatch reads as many packets as are here, up to len(ms), and waits for the first. It is what quic-go
// calls where a socket has it.
func (b *bundles) ReadBatch(ms []ipv4.Message, flags int) (n int, err error) {
	if len(b.left) == 0 {
		if err := b.read(flags); err != nil {
			return 0, err
		}
	}
	for n < len(ms) && len(b.left) > 0 {
		next := &b.left[0]
		next.give(&ms[n])
		n++
		if len(next.packets) == 0 {
			b.left = b.left[1:]
		}
	}
	return n, nil
}

// read waits for bundles. Those before must be handed on: their bytes are overwritten.
func (b *bundles) read(flags int) error {
	n, err := b.socket.ReadBatch(b.room, flags)
	if err != nil {
		return err
	}
	b.left = b.left[:0]
	for _, m := range b.room[:n] {
		oob := m.OOB[:m.NN]
		b.left = append(b.left, bundle{packets: m.Buffers[0][:m.N], size: packetSize(oob, m.N), oob: oob, from: m.Addr})
	}
	return nil
}

// give hands on the next packet.
func (b *bundle) give(m *ipv4.Message) {
	size := min(b.size, len(b.packets))
	m.N, m.NN, m.Addr = copy(m.Buffers[0], b.packets[:size]), copy(m.OOB, b.oob), b.from
	b.packets = b.packets[size:]
}

// packetSize is the size of the packets in a bundle of so many bytes: what the kernel says, and where it says
// nothing it is one packet.
func packetSize(oob []byte, all int) int {
	for len(oob) > 0 {
		head, body, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if head.Level == unix.IPPROTO_UDP && head.Type == unix.UDP_GRO && len(body) >= 4 {
			if size := int(binary.NativeEndian.Uint32(body)); size > 0 {
				return size
			}
		}
		oob = rest
	}
	return all
}
