// Package cache answers: which fragments were read lately, and may be read again from memory?
//
// It stands before the object store on the way of fetches and proofs, and nobody beyond that way knows
// of it. A fragment that was read to its end, and so found right, is kept; the one used least lately
// goes first; what all of them take never exceeds the bound, those that are just being read included.
// An object that is written, removed or put aside is forgotten at once.
package cache

import (
	"bytes"
	"io"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
)

// share is the part of the cache above which an object is not admitted: it would push out too much.
const share = 8

// File is an object open for reading at any place.
type File interface {
	io.Reader
	io.ReaderAt
	io.Closer
	Size() int64
}

// Store is where objects are.
type Store interface {
	// Open reads an object from its beginning and ends with an error unless it was right.
	Open(h digest.Hash, size int64) (*cas.Reader, error)
	// OpenAt reads it anywhere, unchecked.
	OpenAt(h digest.Hash, size int64) (*cas.File, error)
}

// Stats count since the node was opened.
type Stats struct {
	Hits, Misses int64
	Bytes        int64 // kept now, and being read
}

// Cache reads objects through memory. All its methods may be called at the same time.
type Cache struct {
	store Store
	limit int64 // bytes; 0 keeps nothing

	mu      sync.Mutex // guards below
	kept    *simplelru.LRU[digest.Hash, []byte]
	bytes   int64 // kept and reserved
	filling map[digest.Hash]*fill
	stats   Stats
}

// New returns a cache of at most limit bytes before a store; 0 is none.
func New(store Store, limit int64) *Cache {
	kept, err := simplelru.NewLRU[digest.Hash, []byte](math.MaxInt32, nil) // bounded by bytes, here
	if err != nil {
		panic(err) // the size is positive
	}
	return &Cache{store: store, limit: limit, kept: kept, filling: map[digest.Hash]*fill{}}
}

// Open opens an object for reading from its beginning. What is read is checked: the last bytes come only
// when all of it was right.
func (c *Cache) Open(h digest.Hash, size int64) (io.ReadCloser, error) {
	if b := c.find(h, size); b != nil {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	r, err := c.store.Open(h, size)
	if err != nil {
		return nil, err
	}
	f := c.begin(h, size)
	if f == nil {
		return r, nil
	}
	f.r = r
	return f, nil
}

// OpenAt opens an object for reading at any place. What comes from memory was checked, what comes from
// the disk is for the caller to check. It keeps nothing: a proof reads little of an object.
func (c *Cache) OpenAt(h digest.Hash, size int64) (File, error) {
	if b := c.find(h, size); b != nil {
		return inMemory{bytes.NewReader(b)}, nil
	}
	f, err := c.store.OpenAt(h, size)
	if err != nil {
		return nil, err
	}
	return f, nil
}

type inMemory struct{ *bytes.Reader }

// Close implements io.Closer.
func (inMemory) Close() error { return nil }

// find looks an object up. Nobody may change the bytes.
func (c *Cache) find(h digest.Hash, size int64) []byte {
	if c.limit <= 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.kept.Get(h)
	if !ok || int64(len(b)) != size {
		c.stats.Misses++
		return nil
	}
	c.stats.Hits++
	return b
}

// Forget drops an object that is written, removed or put aside, also one that is just being read.
func (c *Cache) Forget(h digest.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.filling, h)
	if b, ok := c.kept.Peek(h); ok {
		c.kept.Remove(h)
		c.bytes -= int64(len(b))
	}
}

// Stats gives the counts so far.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Bytes = c.bytes
	return s
}

// reserveLocked makes room for n bytes and takes it.
func (c *Cache) reserveLocked(n int64) bool {
	for c.bytes+n > c.limit {
		_, b, ok := c.kept.RemoveOldest()
		if !ok {
			return false // all of it is being read
		}
		c.bytes -= int64(len(b))
	}
	c.bytes += n
	return true
}
