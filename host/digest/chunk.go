package digest

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
)

// ChunkSize is the leaf of BLAKE3's tree in bytes, and what a proof opens: a slice of one chunk carries
// 1 KiB and its path, where one of a whole group carries 16.
const ChunkSize = guts.ChunkSize

// Chunks is the number of chunks of content of the given size; the last one may be short.
func Chunks(size int64) int64 { return (size + ChunkSize - 1) / ChunkSize }

// chunkRange is where a chunk begins and how long it is.
func chunkRange(size, chunk int64) (offset, length int64) {
	offset = chunk * ChunkSize
	return offset, min(ChunkSize, size-offset)
}

// ChunkSliceSize is the size in bytes of the slice that proves one chunk of content of the given size.
func ChunkSliceSize(size, chunk int64) (int64, error) {
	if err := checkChunk(size, chunk); err != nil {
		return 0, err
	}
	offset, length := chunkRange(size, chunk)
	return sliceSize(size, offset, length, 0), nil
}

// ExtractChunk is the holder's side of a proof of one chunk: the standard Bao slice of its bytes. It
// needs only the outboard for groups, reads one group of the content and makes the tree within that
// group anew. It checks what it made: rotten content or a wrong outboard is ErrMismatch.
func ExtractChunk(root Hash, size, chunk int64, data io.ReaderAt, outboard []byte) ([]byte, error) {
	if err := checkChunk(size, chunk); err != nil {
		return nil, err
	}
	if err := checkOutboard(size, outboard, group); err != nil {
		return nil, err
	}
	offset, length := chunkRange(size, chunk)
	out := make([]byte, headerSize, sliceSize(size, offset, length, 0))
	binary.LittleEndian.PutUint64(out, uint64(size))
	out, first, end := appendPath(out, outboard[headerSize:], 0, size, offset, GroupSize)
	group := make([]byte, end-first)
	if _, err := data.ReadAt(group, first); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %d bytes at %d for a proof: %w", len(group), first, err)
	}
	out = appendGroupPath(out, group, uint64(first/ChunkSize), int(offset-first))
	out = append(out, group[offset-first:offset-first+length]...)
	if _, err := VerifyChunk(root, size, chunk, out); err != nil {
		return nil, err
	}
	return out, nil
}

// VerifyChunk is the verifier's side: it returns the bytes of a chunk, proven by its slice to be part
// of the content whose hash and size were recorded. A chunk beyond the content is ErrRange, anything
// but the one right slice is ErrMismatch.
func VerifyChunk(root Hash, size, chunk int64, slice []byte) ([]byte, error) {
	if err := checkChunk(size, chunk); err != nil {
		return nil, err
	}
	offset, length := chunkRange(size, chunk)
	return verifySlice(root, size, offset, length, slice, 0)
}

func checkChunk(size, chunk int64) error {
	if size < 1 || size > maxContent || chunk < 0 || chunk >= Chunks(size) {
		return fmt.Errorf("%w: chunk %d of %d bytes", ErrRange, chunk, size)
	}
	return nil
}

// appendPath appends the nodes of a tree, laid out in pre-order, that lie above the byte at offset, from
// the topmost down to where no more than unit bytes are left, and tells which these are.
func appendPath(out, tree []byte, pos, size, offset, unit int64) (path []byte, first, end int64) {
	for node := int64(0); size > unit; {
		out = append(out, tree[node*nodeSize:][:nodeSize]...)
		mid := int64(1) << (bits.Len64(uint64(size-1)) - 1)
		if offset < pos+mid {
			node, size = node+1, mid
			continue
		}
		node += mid / unit // the nodes of the left subtree, and this one
		pos, size = pos+mid, size-mid
	}
	return out, pos, pos + size
}

// appendGroupPath appends the nodes within a group that lie above the chunk at offset, from the topmost down. The
// first chunk of the group has the number chunk.
func appendGroupPath(out, group []byte, chunk uint64, offset int) []byte {
	if len(group) <= ChunkSize {
		return out
	}
	mid := ChunkSize << (bits.Len(uint(len(group)-1)/ChunkSize) - 1)
	node := len(out)
	out = append(out, make([]byte, nodeSize)...)
	putChain(out[node:], subtree(group[:mid], chunk))
	putChain(out[node+Size:], subtree(group[mid:], chunk+uint64(mid/ChunkSize)))
	if offset < mid {
		return appendGroupPath(out, group[:mid], chunk, offset)
	}
	return appendGroupPath(out, group[mid:], chunk+uint64(mid/ChunkSize), offset-mid)
}

// subtree gives the chaining value of a part of a group, which is not all of the content.
func subtree(part []byte, chunk uint64) chain {
	var whole [groupSize]byte
	copy(whole[:], part)
	return guts.ChainingValue(guts.CompressBuffer(&whole, len(part), &guts.IV, chunk, 0))
}

// Keyed hashes a stream under a key of 32 bytes, as BLAKE3's keyed mode does.
type Keyed struct{ h *blake3.Hasher }

// NewKeyed returns a Keyed for an empty stream.
func NewKeyed(key [32]byte) *Keyed { return &Keyed{blake3.New(Size, key[:])} }

// Write adds p to the stream; it never fails.
func (k *Keyed) Write(p []byte) (int, error) { return k.h.Write(p) }

// Sum is the keyed hash of all that was written so far.
func (k *Keyed) Sum() (h Hash) {
	k.h.Sum(h[:0])
	return h
}
