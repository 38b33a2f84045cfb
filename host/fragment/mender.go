package fragment

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/tesseras/tesseras/host/digest"
)

// mender reads stripes from some shards and computes the chunks of others.
type mender struct {
	plan    *FragmentPlan
	code    *code
	feed    *feed
	read    []chunk  // what was read of the stripe at hand, by index
	chunks  [][]byte // its bytes, and those that were computed; nil where neither
	missing []int    // the shards to compute
	wanted  []bool   // the same, by index
	spare   [][]byte // a buffer for each of missing
	hashers []*digest.Hasher
}

// newMender begins to read the lowest of the shards in have, so data before parity. It computes the
// wanted ones that are not there.
func newMender(ctx context.Context, plan *FragmentPlan, have map[int]io.Reader, wanted func(i int) bool) (*mender, error) {
	if err := plan.Params.Check(); err != nil {
		return nil, err
	}
	if len(plan.Fragments) != plan.Total() {
		return nil, fmt.Errorf("%w: %d fragments, not %d", ErrPlan, len(plan.Fragments), plan.Total())
	}
	sources, err := pick(plan.Params, have)
	if err != nil {
		return nil, err
	}
	n := plan.Total()
	m := &mender{plan: plan, read: make([]chunk, n), chunks: make([][]byte, n), wanted: make([]bool, n)}
	if m.code, err = newCode(plan.Params); err != nil {
		return nil, err
	}
	for i := range n {
		if wanted(i) && !slices.Contains(sources, i) {
			m.wanted[i] = true
			m.missing = append(m.missing, i)
			m.hashers = append(m.hashers, digest.New())
		}
	}
	m.spare = buffers(len(m.missing), plan.bufferSize())
	m.feed = newFeed(ctx, plan.Params, sources, readLanes, shardReader{plan.Params, have}.chunk)
	return m, nil
}

// pick chooses the shards to decode from, ascending.
func pick(p Params, have map[int]io.Reader) ([]int, error) {
	var sources []int
	for i := range p.Total() {
		if have[i] != nil {
			sources = append(sources, i)
		}
	}
	if len(sources) < p.Data {
		return nil, &TooFewError{Have: len(sources), Need: p.Data}
	}
	return sources[:p.Data], nil
}

// next reads and computes one stripe. The stripe before it must have been given back.
func (m *mender) next(stripe int64) error {
	clear(m.chunks)
	for i := range m.plan.Data {
		c, err := m.feed.take(i % len(m.feed.lanes))
		if err != nil {
			return err
		}
		m.read[c.shard], m.chunks[c.shard] = c, c.bytes
	}
	for i, shard := range m.missing {
		m.chunks[shard] = m.spare[i][:0:m.plan.chunkAt(stripe)]
	}
	if len(m.missing) == 0 {
		return nil
	}
	if err := m.code.reconstruct(m.chunks, m.wanted); err != nil {
		return fmt.Errorf("stripe %d: %w", stripe, err)
	}
	return nil
}

// hash adds the computed chunks to their shards' hashes.
func (m *mender) hash() error {
	return parallel(len(m.missing), func(i int) error {
		m.hashers[i].Write(m.chunks[m.missing[i]])
		return nil
	})
}

// writeContent writes the tessera's bytes of the stripe in order and gives every chunk back.
func (m *mender) writeContent(stripe int64, w io.Writer) error {
	m.release(m.plan.Data, m.plan.Total())
	for shard, bytes := range m.chunks[:m.plan.Data] {
		if _, err := w.Write(bytes[:m.plan.contentAt(stripe, shard)]); err != nil {
			return fmt.Errorf("write packed tessera: %w", err)
		}
		m.release(shard, shard+1)
	}
	return nil
}

// writeShards writes and hashes what was asked for and gives every chunk back.
func (m *mender) writeShards(out map[int]io.Writer) error {
	defer m.release(0, m.plan.Total())
	return parallel(len(m.missing), func(i int) error {
		shard := m.missing[i]
		m.hashers[i].Write(m.chunks[shard])
		if _, err := out[shard].Write(m.chunks[shard]); err != nil {
			return fmt.Errorf("write shard %d: %w", shard, err)
		}
		return nil
	})
}

// release gives back what was read of the shards from first up to end.
func (m *mender) release(first, end int) {
	for i, c := range m.read[first:end] {
		if c.home != nil {
			c.release()
			m.read[first+i] = chunk{}
		}
	}
}

// check compares the computed shards with the plan.
func (m *mender) check() error {
	for i, shard := range m.missing {
		if got := m.hashers[i].Sum(); got != m.plan.Fragments[shard] {
			return &ParityMismatchError{Index: shard, Want: m.plan.Fragments[shard], Got: got}
		}
	}
	return nil
}

func (m *mender) stop() { m.feed.stop() }

// shardReader reads chunks from shards.
type shardReader struct {
	p      Params
	shards map[int]io.Reader
}

// chunk implements fill.
func (r shardReader) chunk(stripe int64, shard int, buf []byte) ([]byte, error) {
	buf = buf[:r.p.chunkAt(stripe)]
	if n, err := io.ReadFull(r.shards[shard], buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read shard %d: %d bytes before the end of stripe %d: %w", shard, len(buf)-n, stripe, err)
	}
	return buf, nil
}
