// Command bench measures each step of the main job beside its bound: the time the raw parts alone need
// for the same bytes, in the same run.
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/reedsolomon"
	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"
	"lukechampine.com/blake3"
)

// The raw parts: what a step cannot avoid, done with nothing around it. Each takes as many bytes as
// the step it is compared with, at the best buffer size and concurrency known for it.

// rawHash hashes data as a stream of 1 MiB writes.
func rawHash(data []byte, times float64) (time.Duration, error) {
	begun := time.Now()
	h := blake3.New(32, nil)
	for left := int(times * float64(len(data))); left > 0; {
		n := min(left, len(data))
		for part := data[:n]; len(part) > 0; {
			m := min(1<<20, len(part))
			h.Write(part[:m])
			part = part[m:]
		}
		left -= n
	}
	h.Sum(nil)
	return time.Since(begun), nil
}

// rawCode computes the parity of data in stripes that fit the cache.
func rawCode(data []byte, k, m int) (time.Duration, error) {
	enc, err := reedsolomon.New(k, m, reedsolomon.WithCauchyMatrix())
	if err != nil {
		return 0, err
	}
	column := (6 << 20) / (k + m) &^ 63
	parity := make([][]byte, m)
	for i := range parity {
		parity[i] = make([]byte, column)
	}
	shards := make([][]byte, k+m)
	copy(shards[k:], parity)
	begun := time.Now()
	for part := data; len(part) >= k*column; part = part[k*column:] {
		for i := range k {
			shards[i] = part[i*column : (i+1)*column]
		}
		if err := enc.Encode(shards); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

// rawSpool writes size bytes to files without syncing them.
func rawSpool(dir string, data []byte, size int64) (time.Duration, error) {
	defer os.RemoveAll(filepath.Join(dir, "raw-spool"))
	if err := os.MkdirAll(filepath.Join(dir, "raw-spool"), 0o700); err != nil {
		return 0, err
	}
	begun := time.Now()
	f, err := os.Create(filepath.Join(dir, "raw-spool", "file"))
	if err != nil {
		return 0, err
	}
	for left := size; left > 0; {
		n := min(left, 1<<20, int64(len(data)))
		if _, err := f.Write(data[:n]); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		left -= n
	}
	return time.Since(begun), f.Close()
}

// rawDurable makes count files of data each durable: write, fsync, rename, fsync of the folder, at
// the given concurrency.
func rawDurable(dir string, data []byte, count, concurrent int) (time.Duration, error) {
	dir = filepath.Join(dir, "raw-durable")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	begun := time.Now()
	var g errgroup.Group
	g.SetLimit(concurrent)
	for i := range count {
		g.Go(func() error { return writeDurable(dir, fmt.Sprint(i), data) })
	}
	err := g.Wait()
	return time.Since(begun), err
}

func writeDurable(dir, name string, data []byte) error {
	f, err := os.Create(filepath.Join(dir, name+".tmp"))
	if err != nil {
		return err
	}
	for part := data; len(part) > 0; {
		n := min(1<<20, len(part))
		if _, err := f.Write(part[:n]); err != nil {
			return errors.Join(err, f.Close())
		}
		part = part[n:]
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rawSocket sends data as one HTTP body over a Unix socket.
func rawSocket(dir string, data []byte) (time.Duration, error) {
	path := filepath.Join(dir, "raw.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<20)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for {
			if _, err := r.Body.Read(buf); err != nil {
				return
			}
		}
	})}
	go server.Serve(l)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{
		WriteBufferSize: 1 << 20,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", path)
		},
	}}
	defer client.CloseIdleConnections()
	begun := time.Now()
	resp, err := client.Post("http://node/", "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	return time.Since(begun), resp.Body.Close()
}

// rawALPN keeps the raw QUIC processes from being taken for nodes.
const rawALPN = "tesseras-bench"

func rawTLS() (*tls.Config, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
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

// serveRawQUIC is the child: it prints its address, then answers each stream. A stream that opens
// with 'w' is read to its end and answered with one byte; one that opens with 'r' and an 8-byte
// count is sent that many bytes.
func serveRawQUIC() error {
	conf, err := rawTLS()
	if err != nil {
		return err
	}
	l, err := quic.ListenAddr("127.0.0.1:0", conf, nil)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		conn, err := l.Accept(context.Background())
		if err != nil {
			return err
		}
		go func() {
			for {
				s, err := conn.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go answerRaw(s)
			}
		}()
	}
}

func answerRaw(s *quic.Stream) {
	defer s.Close()
	buf := make([]byte, 256<<10)
	if _, err := io.ReadFull(s, buf[:1]); err != nil {
		return
	}
	if buf[0] == 'w' {
		for {
			if _, err := s.Read(buf); err != nil {
				break
			}
		}
		_, _ = s.Write([]byte{1}) // the sender notices when it does not come
		return
	}
	if _, err := io.ReadFull(s, buf[:8]); err != nil {
		return
	}
	for left := int64(new(big.Int).SetBytes(buf[:8]).Uint64()); left > 0; {
		n, err := s.Write(buf[:min(int64(len(buf)), left)])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// rawPush sends each of the addresses its bytes, so many streams at a time.
func rawPush(addrs []string, each []byte, concurrent int) (time.Duration, error) {
	return rawExchange(addrs, concurrent, func(s *quic.Stream) error {
		if _, err := s.Write([]byte{'w'}); err != nil {
			return err
		}
		if _, err := s.Write(each); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		_, err := io.ReadFull(s, make([]byte, 1))
		return err
	})
}

// rawPull fetches size bytes from each of the addresses.
func rawPull(addrs []string, size int64, concurrent int) (time.Duration, error) {
	return rawExchange(addrs, concurrent, func(s *quic.Stream) error {
		ask := append([]byte{'r'}, big.NewInt(size).FillBytes(make([]byte, 8))...)
		if _, err := s.Write(ask); err != nil {
			return err
		}
		buf := make([]byte, 256<<10)
		for left := size; left > 0; {
			n, err := s.Read(buf)
			left -= int64(n)
			if err != nil && left > 0 {
				return err
			}
		}
		return s.Close()
	})
}

// rawExchange dials every address first, as nodes know each other before they push, then times the streams.
func rawExchange(addrs []string, concurrent int, exchange func(*quic.Stream) error) (time.Duration, error) {
	conf, err := rawTLS()
	if err != nil {
		return 0, err
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	transport := &quic.Transport{Conn: pc}
	defer transport.Close()
	conns := make([]*quic.Conn, len(addrs))
	for i, a := range addrs {
		addr, err := net.ResolveUDPAddr("udp", a)
		if err != nil {
			return 0, err
		}
		if conns[i], err = transport.Dial(context.Background(), addr, conf, nil); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	var g errgroup.Group
	g.SetLimit(concurrent)
	for _, conn := range conns {
		g.Go(func() error {
			s, err := conn.OpenStreamSync(context.Background())
			if err != nil {
				return err
			}
			return exchange(s)
		})
	}
	err = g.Wait()
	return time.Since(begun), err
}
