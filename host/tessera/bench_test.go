package tessera

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
)

const benchSize = 256 << 20

// zeroes are a large file that costs little to read.
func zeroes(size int64) io.ReadCloser { return io.NopCloser(io.LimitReader(zeroReader{}, size)) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func largeManifest(b *testing.B) *Manifest {
	b.Helper()
	h := digest.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{zeroes(benchSize)}, make([]byte, bufferSize))
	must(b, err)
	return seal(b, FileList{{Path: "large", Hash: h.Sum(), Size: benchSize, ModTime: created}}, "")
}

func smallManifest(b *testing.B) (*Manifest, memories) {
	b.Helper()
	files, list := memories{}, FileList{}
	for i := range 10_000 {
		list = append(list, files.file(fmt.Sprintf("d%02d/%d.txt", i%100, i), fmt.Sprint("content ", i), "2020-01-01T00:00:00Z"))
	}
	return seal(b, list, ""), files
}

// BenchmarkHash is the bound of packing and unpacking a large file.
func BenchmarkHash(b *testing.B) {
	b.SetBytes(benchSize)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		h := digest.New()
		for range benchSize / len(buf) {
			h.Write(buf)
		}
		h.Sum()
	}
}

func BenchmarkPackLarge(b *testing.B) {
	m := largeManifest(b)
	b.SetBytes(benchSize)
	for b.Loop() {
		must(b, Pack(b.Context(), io.Discard, m, func(e Entry) (io.ReadCloser, error) { return zeroes(e.Size), nil }))
	}
}

type discard struct{}

func (discard) Manifest(*Manifest) error { return nil }
func (discard) Folder(Entry) error       { return nil }
func (discard) File(_ Entry, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func BenchmarkUnpackLarge(b *testing.B) {
	m := largeManifest(b)
	var packed bytes.Buffer
	packed.Grow(int(PackedSize(m)))
	must(b, Pack(b.Context(), &packed, m, func(e Entry) (io.ReadCloser, error) { return zeroes(e.Size), nil }))
	b.SetBytes(benchSize)
	for b.Loop() {
		must(b, Unpack(b.Context(), bytes.NewReader(packed.Bytes()), discard{}))
	}
}

func BenchmarkPackSmall(b *testing.B) {
	m, files := smallManifest(b)
	for b.Loop() {
		must(b, Pack(b.Context(), io.Discard, m, files.open))
	}
	b.ReportMetric(float64(m.Head.Files*b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkUnpackToSmall(b *testing.B) {
	m, files := smallManifest(b)
	packed, dir, i := pack(b, m, files), b.TempDir(), 0
	for b.Loop() {
		i++
		_, err := UnpackTo(b.Context(), bytes.NewReader(packed), filepath.Join(dir, fmt.Sprint(i)), UnpackOptions{})
		must(b, err)
	}
	b.ReportMetric(float64(m.Head.Files*b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkCreateSmall is what create does before the store: scan, stream, receive, hash, seal.
func BenchmarkCreateSmall(b *testing.B) {
	m, files := smallManifest(b)
	dir := b.TempDir()
	writeTree(b, dir, m.Entries, files)
	root := openRoot(b, dir)
	for b.Loop() {
		found, err := Scan(b.Context(), root, ScanOptions{})
		must(b, err)
		r, w := io.Pipe()
		go func() { w.CloseWithError(WriteFolder(b.Context(), w, root, "", found.Entries)) }()
		list, title, err := receive(b.Context(), r)
		must(b, err)
		seal(b, list, title)
	}
	b.ReportMetric(float64(m.Head.Files*b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkParseManifest(b *testing.B) {
	m, _ := smallManifest(b)
	text := m.Bytes()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, err := ParseManifest(text)
		must(b, err)
	}
}
