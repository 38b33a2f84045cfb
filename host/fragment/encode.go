package fragment

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/digest"
)

// ErrTooLong tells that a packed tessera did not end where it was said to.
var ErrTooLong = errors.New("more bytes than recorded")

// Sink is where encoded shards go. Spool is one.
type Sink interface {
	// Create begins the shard of this index, replacing what was there. Each writer is used by one
	// goroutine at a time and closed at the end, whether all went well or not.
	Create(index int) (io.WriteCloser, error)
}

// Encode reads exactly p.Packed bytes, the packed tessera, and writes its p.Total() shards into sink.
// It returns their checksums. r is read to io.EOF, so that a reader which checks what it reads has
// its say. After an error the shards are worthless. Reading, coding, and hashing with writing overlap;
// memory is p.Memory() and a Hasher for each shard. When ctx ends Encode returns as soon as the read
// and the writes under way do.
func Encode(ctx context.Context, p Params, r io.Reader, sink Sink) ([]digest.Hash, error) {
	hashes, err := encode(ctx, p, r, sink)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return hashes, nil
}

func encode(ctx context.Context, p Params, r io.Reader, sink Sink) (hashes []digest.Hash, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	c, err := newCode(p)
	if err != nil {
		return nil, err
	}
	outs, err := createShards(sink, p.Total())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, outs.close()) }()

	f := newFeed(ctx, p, firstInts(p.Data), 1, packedReader{p: p, r: r}.chunk)
	defer f.stop()
	e := encoder{p: p, code: c, feed: f, outs: outs, parity: buffers(p.Parity, p.bufferSize())}
	for stripe := range p.stripes() {
		if err := e.stripe(stripe); err != nil {
			return nil, err
		}
	}
	return outs.sums(), nil
}

type encoder struct {
	p      Params
	code   *code
	feed   *feed
	outs   shardWriters
	parity [][]byte
}

// stripe hashes and writes each data chunk while it is fresh in the cache, then computes the parity,
// and hashes and writes that while the next stripe is being read.
func (e *encoder) stripe(stripe int64) error {
	data := make([]chunk, e.p.Data)
	all := make([][]byte, e.p.Total())
	err := parallel(e.p.Data, func(int) error {
		c, err := e.feed.take(0)
		if err != nil {
			return err
		}
		data[c.shard], all[c.shard] = c, c.bytes
		return e.outs[c.shard].write(c.bytes)
	})
	if err != nil {
		return err
	}
	parity := all[e.p.Data:]
	for i, b := range e.parity {
		parity[i] = b[:e.p.chunkAt(stripe)]
	}
	if err := e.code.encode(all); err != nil {
		return err
	}
	for _, c := range data {
		c.release()
	}
	return parallel(e.p.Parity, func(i int) error { return e.outs[e.p.Data+i].write(parity[i]) })
}

// packedReader cuts a packed tessera into data chunks.
type packedReader struct {
	p Params
	r io.Reader
}

// chunk implements fill. The chunks must be asked for in order.
func (r packedReader) chunk(stripe int64, shard int, buf []byte) ([]byte, error) {
	buf = buf[:r.p.chunkAt(stripe)]
	content := r.p.contentAt(stripe, shard)
	n, err := io.ReadFull(r.r, buf[:content])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("read packed tessera: %d bytes before the end of shard %d, stripe %d: %w", content-n, shard, stripe, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, fmt.Errorf("read packed tessera: %w", err)
	}
	clear(buf[content:])
	if stripe == r.p.stripes()-1 && shard == r.p.Data-1 {
		return buf, atEnd(r.r)
	}
	return buf, nil
}

// atEnd reads the io.EOF that must follow.
func atEnd(r io.Reader) error {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	switch err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("read packed tessera: %w", ErrTooLong)
	}
	return fmt.Errorf("read packed tessera: %w", err)
}

// shardWriter hashes a shard while it is written.
type shardWriter struct {
	index int
	w     io.WriteCloser
	h     *digest.Hasher
}

func (s *shardWriter) write(chunk []byte) error {
	s.h.Write(chunk)
	if _, err := s.w.Write(chunk); err != nil {
		return fmt.Errorf("write shard %d: %w", s.index, err)
	}
	return nil
}

type shardWriters []*shardWriter

// createShards begins n shards, all of them or none.
func createShards(sink Sink, n int) (out shardWriters, err error) {
	for i := range n {
		w, err := sink.Create(i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("create shard %d: %w", i, err), out.close())
		}
		out = append(out, &shardWriter{index: i, w: w, h: digest.New()})
	}
	return out, nil
}

func (s shardWriters) sums() []digest.Hash {
	out := make([]digest.Hash, len(s))
	for i, w := range s {
		out[i] = w.h.Sum()
	}
	return out
}

func (s shardWriters) close() error {
	var errs []error
	for _, w := range s {
		if err := w.w.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close shard %d: %w", w.index, err))
		}
	}
	return errors.Join(errs...)
}

// firstInts are 0 ... n-1.
func firstInts(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
