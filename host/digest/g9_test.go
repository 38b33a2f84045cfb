package digest_test

import (
	"bytes"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/bombard"
)

// TestStrangersSlices (G9): what is said to prove a chunk, or a few bytes, of a content that is known by its hash.
func TestStrangersSlices(t *testing.T) {
	content := bytes.Repeat([]byte("tessera."), 500)
	size := int64(len(content))
	outboard, root, err := digest.EncodeOutboard(bytes.NewReader(content), size)
	if err != nil {
		t.Fatal(err)
	}
	var seeds [][]byte
	for at := range digest.Chunks(size) {
		chunk, err := digest.ExtractChunk(root, size, at, bytes.NewReader(content), outboard)
		if err != nil {
			t.Fatal(err)
		}
		group, err := digest.ExtractSlice(root, size, at*digest.ChunkSize, 5, bytes.NewReader(content), outboard)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, append([]byte{byte(at)}, chunk...), append([]byte{byte(at)}, group...))
	}
	bombard.Run(t, bombard.Parser{Name: "FuzzSlices", Seeds: seeds, Parse: func(in []byte) { verifySlices(t, root, content, in) }})
}

// verifySlices takes the number of a chunk, one byte, and what is said to prove it.
func verifySlices(t *testing.T, root digest.Hash, content, in []byte) {
	if len(in) == 0 {
		return
	}
	size, at, slice := int64(len(content)), int64(in[0]), in[1:]
	offset := at * digest.ChunkSize
	if out, err := digest.VerifySlice(root, size, offset, 5, slice); err == nil && !bytes.Equal(out, content[offset:offset+5]) {
		t.Fatalf("wrong bytes at %d", offset)
	}
	if out, err := digest.VerifyChunk(root, size, at, slice); err == nil && !bytes.Equal(out, content[offset:][:len(out)]) {
		t.Fatalf("wrong bytes in chunk %d", at)
	}
}

// FuzzSlices has the number of the chunk and the slice in one.
func FuzzSlices(f *testing.F) {
	content := bytes.Repeat([]byte("tessera."), 500)
	root := digest.Of(content)
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, in []byte) { verifySlices(t, root, content, in) })
}
