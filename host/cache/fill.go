package cache

import (
	"errors"
	"io"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
)

// fill reads an object and keeps what it reads for the cache. One goroutine uses it.
type fill struct {
	c    *Cache
	r    *cas.Reader
	hash digest.Hash
	size int64
	b    []byte // nil when it is not worth keeping any more
}

var (
	_ io.ReadCloser = (*fill)(nil)
	_ io.WriterTo   = (*fill)(nil)
)

// begin reserves room for an object, nil where it is not to be kept: too large, being read by somebody
// else, or no room.
func (c *Cache) begin(h digest.Hash, size int64) *fill {
	if c.limit <= 0 || size > c.limit/share {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filling[h] != nil || !c.reserveLocked(size) {
		return nil
	}
	f := &fill{c: c, hash: h, size: size, b: make([]byte, 0, size)}
	c.filling[h] = f
	return f
}

// Read implements io.Reader.
func (f *fill) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.add(p[:n])
	switch {
	case err == io.EOF:
		f.keep()
	case err != nil:
		f.giveUp()
	}
	return n, err
}

// WriteTo implements io.WriterTo, so that io.Copy reads in large steps.
func (f *fill) WriteTo(w io.Writer) (int64, error) {
	n, err := f.r.WriteTo(tee{f, w})
	if err != nil {
		f.giveUp()
		return n, err
	}
	f.keep()
	return n, nil
}

type tee struct {
	f *fill
	w io.Writer
}

func (t tee) Write(p []byte) (int, error) {
	t.f.add(p)
	return t.w.Write(p)
}

// Close implements io.Closer. What was not read to its end is not kept, unless only the end was not
// asked for.
func (f *fill) Close() error {
	if f.b != nil && int64(len(f.b)) == f.size {
		_, err := f.r.Read(make([]byte, 1))
		if errors.Is(err, io.EOF) {
			f.keep()
		}
	}
	f.giveUp()
	return f.r.Close()
}

func (f *fill) add(p []byte) {
	if f.b != nil && int64(len(f.b)+len(p)) <= f.size {
		f.b = append(f.b, p...)
	}
}

// keep hands the object to the cache, unless it was forgotten meanwhile.
func (f *fill) keep() {
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.b == nil {
		return
	}
	b := f.b
	f.b = nil
	if c.filling[f.hash] != f || int64(len(b)) != f.size {
		f.releaseLocked()
		return
	}
	delete(c.filling, f.hash)
	if old, ok := c.kept.Peek(f.hash); ok { // not possible while only one fills it
		c.bytes -= int64(len(old))
	}
	c.kept.Add(f.hash, b)
}

// giveUp gives the reserved room back, if it was not used.
func (f *fill) giveUp() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.b != nil {
		f.b = nil
		f.releaseLocked()
	}
}

func (f *fill) releaseLocked() {
	f.c.bytes -= f.size
	if f.c.filling[f.hash] == f {
		delete(f.c.filling, f.hash)
	}
}
