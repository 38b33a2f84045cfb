package fragment

import (
	"errors"
	"fmt"

	"github.com/tesseras/tesseras/sdk"
)

// FragmentationTier tells how a tessera is coded for the network.
type FragmentationTier = sdk.FragmentationTier

// The three tiers.
const (
	Small  = sdk.FragmentationTier_SMALL  // whole copies
	Medium = sdk.FragmentationTier_MEDIUM // 16 data + 8 parity
	Large  = sdk.FragmentationTier_LARGE  // 48 data + 24 parity
)

// The packed sizes in bytes at which the next tier begins.
const (
	mediumFrom = 4 << 20
	largeFrom  = 256 << 20
)

// DefaultChunk is the size in bytes of a shard's part of a full stripe.
const DefaultChunk = 256 << 10

// smallCopies is how many peers keep a whole copy in the small tier.
const smallCopies = 7

// Ceilings of a plan. They bound what a stranger's plan can make this node do.
const (
	MaxShards = 255       // data + parity: an index of GF(256), 255 of 256 used
	MaxChunk  = 1 << 20   // bytes
	MaxStripe = 32 << 20  // bytes of (data+parity) chunks: what memory goes by
	MaxPacked = 1 << 40   // bytes
	MaxCopies = MaxShards // holders of one fragment
)

// ErrParams tells that numbers of a plan are outside their ceilings or contradict each other.
var ErrParams = errors.New("impossible fragmentation")

// TierOf is the tier for a packed tessera of so many bytes.
func TierOf(packed int64) FragmentationTier {
	switch {
	case packed < mediumFrom:
		return Small
	case packed < largeFrom:
		return Medium
	}
	return Large
}

// Params says how a packed tessera is cut: full stripes of Data chunks, each with Parity more computed
// from them; shard i is the chunk i of every stripe. The last stripe may have shorter chunks.
type Params struct {
	Tier   FragmentationTier
	Data   int   // shards that suffice to decode
	Parity int   // shards more than that
	Chunk  int   // bytes of a shard in a full stripe
	Packed int64 // bytes of the packed tessera
	Copies int   // holders wanted for each fragment
}

// ParamsFor are the parameters every tessera of this packed size gets.
func ParamsFor(packed int64) Params {
	p := Params{Tier: TierOf(packed), Chunk: DefaultChunk, Packed: packed, Copies: 1}
	switch p.Tier {
	case Small:
		p.Data, p.Copies = 1, smallCopies
	case Medium:
		p.Data, p.Parity = 16, 8
	default:
		p.Data, p.Parity = 48, 24
	}
	return p
}

// Check tells whether the numbers are within their ceilings and fit each other. Small means whole
// copies and the other tiers mean Reed-Solomon, but k, m and chunk are free: the thresholds between
// the tiers bind who writes a plan, not who reads it.
func (p Params) Check() error {
	switch {
	case p.Packed < 1 || p.Packed > MaxPacked:
		return fmt.Errorf("%w: %d bytes packed", ErrParams, p.Packed)
	case p.Data < 1 || p.Parity < 0 || p.Data > MaxShards || p.Parity > MaxShards-p.Data:
		return fmt.Errorf("%w: %d data and %d parity shards", ErrParams, p.Data, p.Parity)
	case p.Chunk < 1 || p.Chunk > MaxChunk:
		return fmt.Errorf("%w: chunks of %d bytes", ErrParams, p.Chunk)
	case p.Total()*p.Chunk > MaxStripe:
		return fmt.Errorf("%w: stripes of %d bytes", ErrParams, p.Total()*p.Chunk)
	case p.Tier == Small && (p.Total() != 1 || p.Copies < 1 || p.Copies > MaxCopies):
		return fmt.Errorf("%w: %d copies of %d fragments in the small tier", ErrParams, p.Copies, p.Total())
	case p.Tier != Small && p.Tier != Medium && p.Tier != Large:
		return fmt.Errorf("%w: unknown tier", ErrParams)
	case p.Tier != Small && p.Copies != 1:
		return fmt.Errorf("%w: %d copies of coded shards", ErrParams, p.Copies)
	}
	return nil
}

// Total is the number of fragments.
func (p Params) Total() int { return p.Data + p.Parity }

// ShardSize is the size of each shard in bytes.
func (p Params) ShardSize() int64 {
	full, rest := p.Packed/p.stripe(), p.Packed%p.stripe()
	return full*int64(p.Chunk) + p.share(rest)
}

// Memory is the most that Encode, Decode or Rebuild allocate for chunks, in bytes: 1.25 stripes of
// data, the parity, and a little for each buffer. It is about 21 MiB for 48+24 and below 43 MiB for
// every plan that passes Check.
func (p Params) Memory() int64 {
	buffers := p.Data + readAhead(p.Data) + p.Parity
	return int64(buffers) * int64(bufferStride(p.bufferSize()))
}

// stripe is the number of data bytes in a full stripe.
func (p Params) stripe() int64 { return int64(p.Data) * int64(p.Chunk) }

// stripes counts the stripes, a partial one at the end included.
func (p Params) stripes() int64 { return (p.Packed + p.stripe() - 1) / p.stripe() }

// share is each shard's part of rest bytes.
func (p Params) share(rest int64) int64 { return (rest + int64(p.Data) - 1) / int64(p.Data) }

// chunkAt is the size of the chunks of a stripe.
func (p Params) chunkAt(stripe int64) int {
	return int(p.share(min(p.stripe(), p.Packed-stripe*p.stripe())))
}

// contentAt is how many bytes of the data chunk are the tessera's; what follows them is zero.
func (p Params) contentAt(stripe int64, shard int) int {
	chunk := int64(p.chunkAt(stripe))
	left := p.Packed - stripe*p.stripe() - int64(shard)*chunk
	return int(max(0, min(chunk, left)))
}

// bufferSize is what the largest chunk takes.
func (p Params) bufferSize() int { return p.chunkAt(0) }
