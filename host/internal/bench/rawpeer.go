package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/quicnet"
)

// A raw peer is a process with nothing but a bare QUIC listener. A request is a stream: a letter and a
// size in bytes, and for a push so many bytes; the answer is so many bytes for a pull, else one byte.
type request byte

const (
	push    request = 'p' // take the bytes that follow
	pull    request = 'g' // give bytes
	hash    request = 'h' // BLAKE3 so many bytes of your own
	durable request = 'd' // make a file of so many bytes durable
)

// rawALPN keeps raw peers and nodes apart.
const rawALPN = "tesseras-bench"

// rawBuffer is what is read or written at a time; larger ones gain nothing.
const rawBuffer = 256 * kib

// rawQUIC has windows that never hold a transfer up here, from the start.
func rawQUIC() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow: 6 * mib, MaxStreamReceiveWindow: 6 * mib,
		InitialConnectionReceiveWindow: 15 * mib, MaxConnectionReceiveWindow: 15 * mib,
		KeepAlivePeriod: 10 * time.Second,
	}
}

func rawTLS() (*tls.Config, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:         []string{rawALPN},
		InsecureSkipVerify: true, // measured is the transport; the peers are our own children
	}, nil
}

// runRawPeer is the hidden subcommand: it prints its address and serves until its input ends.
func runRawPeer(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("want a folder")
	}
	ctx = untilOrphaned(ctx)
	conf, err := rawTLS()
	if err != nil {
		return err
	}
	socket, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	l, err := transport.Listen(conf, rawQUIC())
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	p := &rawPeer{dir: args[0], data: make([]byte, 4*mib)}
	fillRandom(p.data)
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			return nil // asked to end
		}
		go p.serve(ctx, conn)
	}
}

type rawPeer struct {
	dir  string // for durable files
	data []byte
}

func (p *rawPeer) serve(ctx context.Context, conn *quic.Conn) {
	for {
		s, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if err := p.answer(s); err != nil {
				s.CancelWrite(1) // the bench notices and stops
			}
		}()
	}
}

func (p *rawPeer) answer(s *quic.Stream) error {
	var head [9]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint64(head[1:]))
	var err error
	switch request(head[0]) {
	case push:
		err = discard(s, size)
	case pull:
		return stream(p.data, size, rawBuffer, func(b []byte) error {
			_, err := s.Write(b)
			return err
		})
	case hash:
		hashStream(p.data, size, mib)
	case durable:
		err = writeDurable(p.dir, fmt.Sprint(s.StreamID()), p.data, size, mib)
	default:
		err = errors.ErrUnsupported
	}
	if err == nil {
		_, err = s.Write([]byte{1})
	}
	return err
}

// discard reads exactly size bytes.
func discard(r io.Reader, size int64) error {
	buf := make([]byte, rawBuffer)
	for size > 0 {
		n, err := r.Read(buf[:min(size, rawBuffer)])
		size -= int64(n)
		if err != nil && size > 0 {
			return err
		}
	}
	return nil
}

// rawPeers are the raw processes, each with a connection that stays.
type rawPeers struct {
	transport *quic.Transport
	conns     []*quic.Conn
}

func (l *lab) startRawPeers(ctx context.Context, n int) (*rawPeers, error) {
	conf, err := rawTLS()
	if err != nil {
		return nil, err
	}
	socket, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &rawPeers{transport: &quic.Transport{Conn: socket}}
	for i := range n {
		conn, err := l.startRawPeer(ctx, i, p.transport, conf)
		if err != nil {
			p.close()
			return nil, err
		}
		p.conns = append(p.conns, conn)
	}
	return p, nil
}

func (l *lab) startRawPeer(ctx context.Context, i int, t *quic.Transport, conf *tls.Config) (*quic.Conn, error) {
	dir, err := l.folder(fmt.Sprintf("raw-peer-%d", i))
	if err != nil {
		return nil, err
	}
	c, err := l.spawn(fmt.Sprintf("raw-peer-%d", i), peerCommand, dir)
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(c.stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", c.name, err, c.lastWords())
	}
	addr, err := net.ResolveUDPAddr("udp", strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	return t.Dial(ctx, addr, conf, rawQUIC())
}

func (p *rawPeers) close() {
	_ = p.transport.Close() // and with it every connection
	_ = p.transport.Conn.Close()
}

// ask sends jobs requests of a size, spread over the peers, so many at a time.
func (p *rawPeers) ask(ctx context.Context, what request, jobs, atOnce int, size int64, body []byte) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range jobs {
		g.Go(func() error { return exchange(ctx, p.conns[i%len(p.conns)], what, size, body) })
	}
	return g.Wait()
}

func exchange(ctx context.Context, conn *quic.Conn, what request, size int64, body []byte) error {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer s.CancelRead(0)
	stop := context.AfterFunc(ctx, func() { s.CancelRead(1); s.CancelWrite(1) })
	defer stop()
	if _, err := s.Write(binary.BigEndian.AppendUint64([]byte{byte(what)}, uint64(size))); err != nil {
		return err
	}
	if what == push {
		err := stream(body, size, rawBuffer, func(b []byte) error {
			_, err := s.Write(b)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	if what == pull {
		return discard(s, size)
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}

// rawAsk is a raw part that the peers do.
func (l *lab) rawAsk(name string, what request, jobs int, size int64) part {
	run := func(atOnce int) timed {
		return func(ctx context.Context, t *timer) error {
			peers, err := l.raw(ctx)
			if err != nil {
				return err
			}
			defer l.emptyRawPeers()
			t.begin()
			defer t.end()
			return peers.ask(ctx, what, jobs, atOnce, size, l.random)
		}
	}
	p := part{name: name, bytes: int64(jobs) * size}
	for _, n := range []int{2, 4, 8} {
		p.forms = append(p.forms, form{fmt.Sprintf("%d processes, %d at a time", l.nodes, n), run(n)})
	}
	return p
}
