package quicnet

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// WantedBuffer is the size in bytes of the UDP buffers QUIC needs to be fast.
const WantedBuffer = 7 << 20

// Bind opens the UDP socket for a listen address such as ":4433", and asks the kernel for large
// buffers. Buffers tells what it gave.
func Bind(listen string) (*net.UDPConn, error) {
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", listen, err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", listen, err)
	}
	grow(conn)
	return conn, nil
}

// grow asks for WantedBuffer; with enough privilege also beyond the system's limit. What was refused
// shows in Buffers.
func grow(conn *net.UDPConn) {
	_ = conn.SetReadBuffer(WantedBuffer)
	_ = conn.SetWriteBuffer(WantedBuffer)
}

// Buffers tells the sizes in bytes of a socket's receive and send buffers; ok is false where it is
// no real socket.
func Buffers(pc net.PacketConn) (receive, send int, ok bool) {
	sc, is := pc.(syscall.Conn)
	if !is {
		return 0, 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var rerr, serr error
	err = raw.Control(func(fd uintptr) {
		receive, rerr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, serr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return receive, send, err == nil && rerr == nil && serr == nil
}

// addrPort is a net.Addr as a value, IPv4 never in IPv6 clothes.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
