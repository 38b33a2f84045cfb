package digest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"lukechampine.com/blake3/bao"
	"lukechampine.com/blake3/guts"
)

// GroupSize is the unit of proofs in bytes: 16 chunks of BLAKE3. It is part of the format; every
// slice holds whole groups.
const GroupSize = groupSize

// group is GroupSize as the library wants it: log2 of the chunks in a group.
const group = 4

// The size of a length header, and of a node of the tree: two chaining values.
const (
	headerSize = 8
	nodeSize   = 2 * Size
)

// MaxOutboardInput is the largest content that gets an outboard: the outboard is kept in memory, and
// this one takes 4 MiB. No fragment comes near it.
const MaxOutboardInput = 1 << 30

// maxContent keeps the arithmetic of ranges far from overflow.
const maxContent = 1 << 60

// ErrRange tells that a slice was asked for that does not lie within the content, or is empty.
var ErrRange = errors.New("slice is empty or reaches beyond the content")

// OutboardSize is the size in bytes of the outboard of content of the given size.
func OutboardSize(size int64) int64 {
	return headerSize + nodeSize*max(0, (size+GroupSize-1)/GroupSize-1)
}

// Outboard hashes a stream and collects its tree on the way, 32 bytes for each group. Like Hasher, it
// never fails.
type Outboard struct {
	h   Hasher
	cvs []chain
	len int64
}

// NewOutboard returns an Outboard for an empty stream.
func NewOutboard() *Outboard {
	o := &Outboard{}
	o.h.keep = &o.cvs
	return o
}

// Write adds p to the stream.
func (o *Outboard) Write(p []byte) (int, error) {
	o.len += int64(len(p))
	return o.h.Write(p)
}

// Bytes gives the outboard of all that was written so far, in the Bao format for groups of 16 chunks:
// the length as 8 bytes, little-endian, then the nodes of the tree, parents before children, left
// before right. The hash is that of the content. The caller owns the bytes.
func (o *Outboard) Bytes() ([]byte, Hash) { return o.h.outboard(o.len) }

// NewKeeping returns a Hasher that keeps what an outboard is made of, 32 bytes for each group.
func NewKeeping() *Hasher { return &Hasher{keep: new([]chain)} }

// Outboard is that of the size bytes that were written to a Hasher of NewKeeping; nil of any other. The
// caller owns the bytes.
func (h *Hasher) Outboard(size int64) []byte {
	if h.keep == nil {
		return nil
	}
	out, _ := h.outboard(size)
	return out
}

func (h *Hasher) outboard(size int64) ([]byte, Hash) {
	out := make([]byte, OutboardSize(size))
	binary.LittleEndian.PutUint64(out, uint64(size))
	last, _ := h.root()
	cvs := *h.keep
	if h.held && h.n > 0 {
		cvs = append(cvs[:len(cvs):len(cvs)], guts.ChainingValue(h.last))
	}
	cvs = append(cvs[:len(cvs):len(cvs)], guts.ChainingValue(last))
	if len(cvs) == 1 {
		last.Flags |= guts.FlagRoot
		return out, hashOf(last)
	}
	root := layTree(out[headerSize:], cvs)
	root.Flags |= guts.FlagRoot
	return out, hashOf(root)
}

// layTree writes the nodes above two or more groups into out and returns the topmost.
func layTree(out []byte, cvs []chain) guts.Node {
	mid := 1 << (bits.Len(uint(len(cvs)-1)) - 1)
	left := laySubtree(out[nodeSize:], cvs[:mid])
	right := laySubtree(out[nodeSize*mid:], cvs[mid:])
	putChain(out, left)
	putChain(out[Size:], right)
	return guts.ParentNode(left, right, &guts.IV, 0)
}

func laySubtree(out []byte, cvs []chain) chain {
	if len(cvs) == 1 {
		return cvs[0]
	}
	return guts.ChainingValue(layTree(out, cvs))
}

// EncodeOutboard reads exactly size bytes from r in one pass and returns their outboard and their
// hash. A stream that is shorter or longer is an error. The caller owns the outboard.
func EncodeOutboard(r io.Reader, size int64) ([]byte, Hash, error) {
	if size < 0 || size > MaxOutboardInput {
		return nil, Hash{}, fmt.Errorf("outboard of %d bytes: more than %d", size, int64(MaxOutboardInput))
	}
	o := NewOutboard()
	n, err := io.CopyBuffer(o, io.LimitReader(r, size+1), make([]byte, min(size+1, 256<<10)))
	if err != nil {
		return nil, Hash{}, fmt.Errorf("outboard: %w", err)
	}
	if n != size {
		return nil, Hash{}, fmt.Errorf("outboard: %w: %d bytes or more, %d recorded", ErrMismatch, n, size)
	}
	out, root := o.Bytes()
	return out, root, nil
}

// SliceSize is the size in bytes of the slice that proves length bytes at offset of content of the
// given size. The range must be valid: see ErrRange.
func SliceSize(size, offset, length int64) (int64, error) {
	if err := checkRange(size, offset, length); err != nil {
		return 0, err
	}
	return sliceSize(size, offset, length, group), nil
}

// ExtractSlice is the holder's side of a proof: it reads the groups that hold length bytes at offset
// and joins them with the path of the tree up to root. It checks what it made, so that neither rotten
// content nor a wrong outboard leaves as a proof: ErrMismatch.
func ExtractSlice(root Hash, size, offset, length int64, data io.ReaderAt, outboard []byte) ([]byte, error) {
	return extractSlice(root, size, offset, length, data, outboard, group)
}

// VerifySlice is the verifier's side: it returns the length bytes at offset, proven by slice to be
// part of the content whose hash and size were recorded. A range outside the content is ErrRange,
// anything but the one right slice is ErrMismatch.
func VerifySlice(root Hash, size, offset, length int64, slice []byte) ([]byte, error) {
	return verifySlice(root, size, offset, length, slice, group)
}

func extractSlice(root Hash, size, offset, length int64, data io.ReaderAt, outboard []byte, group int) ([]byte, error) {
	if err := checkRange(size, offset, length); err != nil {
		return nil, err
	}
	if err := checkOutboard(size, outboard, group); err != nil {
		return nil, err
	}
	first, end := groupBounds(size, offset, length, group)
	var out bytes.Buffer
	out.Grow(int(sliceSize(size, offset, length, group)))
	groups := io.NewSectionReader(data, first, end-first)
	err := bao.ExtractSlice(&out, groups, bytes.NewReader(outboard), group, uint64(offset), uint64(length))
	if err != nil {
		return nil, fmt.Errorf("read %d bytes at %d for a proof: %w", end-first, first, err)
	}
	if _, err := verifySlice(root, size, offset, length, out.Bytes(), group); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// verifySlice closes the holes of the library's check, which is true for any root when the range is
// empty or overflows, and does not pin the length header: the range, the size of the slice and its
// header are settled before a byte is hashed, the size of the result after.
func verifySlice(root Hash, size, offset, length int64, slice []byte, group int) ([]byte, error) {
	if err := checkRange(size, offset, length); err != nil {
		return nil, err
	}
	if want := sliceSize(size, offset, length, group); int64(len(slice)) != want {
		return nil, fmt.Errorf("%w: a slice of %d bytes, not %d", ErrMismatch, len(slice), want)
	}
	if header := binary.LittleEndian.Uint64(slice); header != uint64(size) {
		return nil, fmt.Errorf("%w: slice of a content of %d bytes, not %d", ErrMismatch, header, size)
	}
	out, ok := bao.VerifySlice(slice, group, uint64(offset), uint64(length), root)
	if !ok || int64(len(out)) != length {
		return nil, ErrMismatch
	}
	return out, nil
}

// checkRange refuses ranges that are empty, negative, overflowing or beyond size.
func checkRange(size, offset, length int64) error {
	if size < 1 || size > maxContent || length < 1 || offset < 0 || offset >= size || length > size-offset {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, length, offset, size)
	}
	return nil
}

func checkOutboard(size int64, outboard []byte, group int) error {
	groups := (size + guts.ChunkSize<<group - 1) >> (10 + group)
	if int64(len(outboard)) != headerSize+nodeSize*(groups-1) || binary.LittleEndian.Uint64(outboard) != uint64(size) {
		return fmt.Errorf("%w: not the outboard of a content of %d bytes", ErrMismatch, size)
	}
	return nil
}

// groupBounds is where the groups that hold the range begin and end.
func groupBounds(size, offset, length int64, group int) (first, end int64) {
	unit := int64(guts.ChunkSize) << group
	first = offset / unit * unit
	end = (offset + length + unit - 1) / unit * unit
	return first, min(end, size)
}

// sliceSize walks the tree as the encoding does: a header, then the nodes above the range and its groups.
func sliceSize(size, offset, length int64, group int) int64 {
	first, end := groupBounds(size, offset, length, group)
	return headerSize + nodeSize*nodesAbove(0, size, first, end, int64(guts.ChunkSize)<<group) + end - first
}

// nodesAbove counts the parents in the subtree [pos, pos+size) that have a part of [first, end) below them.
func nodesAbove(pos, size, first, end, unit int64) int64 {
	if size <= unit || pos >= end || first >= pos+size {
		return 0
	}
	mid := int64(1) << (bits.Len64(uint64(size-1)) - 1)
	return 1 + nodesAbove(pos, mid, first, end, unit) + nodesAbove(pos+mid, size-mid, first, end, unit)
}
