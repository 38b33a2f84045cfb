package flood

import (
	"net"
	"sync"
	"time"
)

// Deaf is a socket that never hears anything: handshakes begun over it stay half open.
type Deaf struct {
	net.PacketConn
	closed chan struct{}
	once   sync.Once
}

// Listen opens a deaf socket on loopback.
func Listen() (*Deaf, error) {
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &Deaf{PacketConn: pc, closed: make(chan struct{})}, nil
}

// ReadFrom waits until the socket is closed.
func (d *Deaf) ReadFrom([]byte) (int, net.Addr, error) {
	<-d.closed
	return 0, nil, net.ErrClosed
}

// SetReadDeadline ends ReadFrom when it is not in the future: quic-go wakes its reader so before it closes.
func (d *Deaf) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		d.once.Do(func() { close(d.closed) })
	}
	return nil
}

// Close closes the socket.
func (d *Deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.PacketConn.Close()
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
func (d *Deaf) SetReadBuffer(int) error { return nil }

func (d *Deaf) SetWriteBuffer(int) error { return nil }
