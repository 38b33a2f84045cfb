package quicnet_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// raw is a bare quic-go connection beside which this package is measured: same library, socket
// buffers and packet sizes and windows, and nothing else.
type raw struct{ conn *quic.Conn }

// newRaw connects to a server that reads 8 bytes of size, then so many bytes, and answers with one.
func newRaw(b *testing.B, id *identity.Identity) *raw {
	b.Helper()
	cert, err := id.Node.Certificate(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"raw"}, InsecureSkipVerify: true}
	windows := &quic.Config{MaxStreamReceiveWindow: 2 << 20, MaxConnectionReceiveWindow: 4 << 20}
	listener, err := quic.Listen(bind(b), config, windows)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			c, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			go serveRaw(c)
		}
	}()
	conn, err := (&quic.Transport{Conn: bind(b)}).Dial(b.Context(), listener.Addr(), config, windows)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.CloseWithError(0, "")
		listener.Close()
	})
	return &raw{conn}
}

func bind(b *testing.B) net.PacketConn {
	b.Helper()
	pc, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pc.Close() })
	return pc
}

func serveRaw(c *quic.Conn) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			var size [8]byte
			io.ReadFull(s, size[:])
			io.CopyBuffer(plainWriter{}, io.LimitReader(s, int64(binary.BigEndian.Uint64(size[:]))), make([]byte, 256<<10))
			s.Write([]byte{1})
			s.Close()
		}()
	}
}

// plainWriter discards without the ReadFrom that io.Discard has, so that the buffer given is used.
type plainWriter struct{}

func (plainWriter) Write(p []byte) (int, error) { return len(p), nil }

func (r *raw) push(b *testing.B, body []byte) {
	s, err := r.conn.OpenStreamSync(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	s.Write(binary.BigEndian.AppendUint64(nil, uint64(len(body))))
	for ; len(body) > 0; body = body[min(len(body), 256<<10):] {
		if _, err := s.Write(body[:min(len(body), 256<<10)]); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}

// pair is two Nets of which the second takes bodies and answers.
func pair(b *testing.B) (from *quicnet.Net, to identity.Contact) {
	b.Helper()
	from = node(b, quicnet.Config{})
	n := node(b, quicnet.Config{})
	n.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		if _, err := io.CopyBuffer(plainWriter{}, s.Body(int64(m.(*wire.Replicate).GetSize())), make([]byte, 256<<10)); err != nil {
			return err
		}
		return s.Send(&wire.Pong{})
	})
	return from, n.Self()
}

// processor is the processor time this process has used: it tells the truth on a busy machine too.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBulk compares a push of 64 MiB with the same over a bare stream; ratio 1.0 = as fast.
func BenchmarkBulk(b *testing.B) {
	body := make([]byte, 64<<20)
	from, to := pair(b)
	bare := newRaw(b, newIdentity(b))
	push(b, from, to, body[:1<<20])
	bare.push(b, body[:1<<20])
	var ours, theirs, oursCPU, theirsCPU time.Duration
	b.SetBytes(int64(2 * len(body)))
	for b.Loop() {
		begun, cpu := time.Now(), processor()
		push(b, from, to, body)
		ours, oursCPU = ours+time.Since(begun), oursCPU+processor()-cpu
		begun, cpu = time.Now(), processor()
		bare.push(b, body)
		theirs, theirsCPU = theirs+time.Since(begun), theirsCPU+processor()-cpu
	}
	b.ReportMetric(float64(theirs)/float64(ours), "ratio")
	b.ReportMetric(float64(theirsCPU)/float64(oursCPU), "cpu-ratio")
	b.ReportMetric(float64(len(body))*float64(b.N)/ours.Seconds()/1e9, "GB/s-ours")
	b.ReportMetric(float64(len(body))*float64(b.N)/theirs.Seconds()/1e9, "GB/s-bare")
}

// BenchmarkSmall compares the median of small requests with a bare stream's round trip.
func BenchmarkSmall(b *testing.B) {
	from, to := pair(b)
	bare := newRaw(b, newIdentity(b))
	ping(b, from, to)
	bare.push(b, nil)
	var ours, theirs []time.Duration
	for b.Loop() {
		begun := time.Now()
		if _, err := from.Call(b.Context(), to, &wire.Ping{}); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(begun))
		begun = time.Now()
		bare.push(b, nil)
		theirs = append(theirs, time.Since(begun))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	median, bound := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(median)/float64(bound), "times-bare")
	b.ReportMetric(float64(median.Microseconds()), "us-ours")
	b.ReportMetric(float64(bound.Microseconds()), "us-bare")
}
