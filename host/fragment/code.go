package fragment

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// code computes the missing chunks of one stripe from the present ones. All chunks of a stripe have
// the same size. Shard r of parity is the sum over the data shards c of 1/(r^c) times shard c, in
// GF(256) with polynomial 0x11d, r counted from the number of data shards (a Cauchy matrix; J. Bloemer
// et al., "An XOR-Based Erasure-Resilient Coding Scheme", 1995). The library works on column blocks that
// fit the first-level cache and on several cores by itself; splitting the columns before it makes it slower.
type code struct {
	data, parity int
	rs           reedsolomon.Encoder // nil without parity
}

func newCode(p Params) (*code, error) {
	c := &code{data: p.Data, parity: p.Parity}
	if p.Parity == 0 {
		return c, nil
	}
	rs, err := reedsolomon.New(p.Data, p.Parity, reedsolomon.WithCauchyMatrix())
	if err != nil {
		return nil, fmt.Errorf("code %d+%d: %w", p.Data, p.Parity, err)
	}
	c.rs = rs
	return c, nil
}

// encode fills the parity chunks, which lie behind the data chunks.
func (c *code) encode(chunks [][]byte) error {
	if c.parity == 0 {
		return nil
	}
	return c.rs.Encode(chunks)
}

// reconstruct fills the chunks that are wanted. Those are empty with room for a chunk; exactly as many
// others as there are data shards are present, the rest is nil.
func (c *code) reconstruct(chunks [][]byte, wanted []bool) error {
	if c.parity == 0 {
		return nil
	}
	return c.rs.ReconstructSome(chunks, wanted)
}
