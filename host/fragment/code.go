package fragment

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// code computes the missing chunks of one stripe from the present ones. All chunks of a stripe have
// the same size. Shard r of parity is the sum over the data shards c of 1/(r^c) times shard c, in
// GF(256) with polynomial 0x11d, r counted from the number of data shards (a Cauchy matrix; J. Bloemer
// et al., "An XOR-Based Erasure-Resilient Coding Scheme", 1995).
//
// The library walks through columns that fit the first-level cache, on several cores, by itself. Cutting
// the chunks before it only costs: 48+24 in columns of 16, 32 and 64 KiB ran at 9, 12 and 16 GB/s where
// whole chunks of 256 KiB ran at 24.
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
