package catalog

import (
	"bytes"
	"errors"
	"sync"

	"github.com/google/btree"
)

// memory is the kv in memory. Snapshots are copy-on-write clones.
type memory struct {
	mu   sync.Mutex // guards rows
	rows *btree.BTreeG[row]
}

var _ kv = (*memory)(nil)

const memoryDegree = 32

func newMemory() *memory {
	return &memory{rows: btree.NewG(memoryDegree, func(a, b row) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

// Fork gives another catalog in memory, as a process finds the index that starts after this one died
// now: with all rows that were applied. Only a catalog in memory forks.
func (c *Catalog) Fork() (*Catalog, error) {
	m, ok := c.kv.(*memory)
	if !ok {
		return nil, errors.New("fork index: not in memory")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Catalog{kv: &memory{rows: m.rows.Clone()}, now: c.now, log: c.log}, nil
}

func (m *memory) snapshot() snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return memorySnapshot{m.rows.Clone()}
}

func (m *memory) apply(changes []change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.del {
			m.rows.Delete(row{key: c.key})
			continue
		}
		m.rows.ReplaceOrInsert(row{c.key, c.value})
	}
	return nil
}

func (m *memory) close() error { return nil }

type memorySnapshot struct{ rows *btree.BTreeG[row] }

func (s memorySnapshot) get(key []byte) ([]byte, error) {
	r, ok := s.rows.Get(row{key: key})
	if !ok {
		return nil, ErrNotFound
	}
	return r.value, nil
}

func (s memorySnapshot) page(prefix, from []byte, limit int) ([]row, error) {
	var out []row
	s.rows.AscendGreaterOrEqual(row{key: start(prefix, from)}, func(r row) bool {
		if len(out) == limit || !bytes.HasPrefix(r.key, prefix) {
			return false
		}
		out = append(out, r)
		return true
	})
	return out, nil
}

func (s memorySnapshot) release() {}

// start is where a scan of prefix begins when it may not begin below from.
func start(prefix, from []byte) []byte {
	if bytes.Compare(from, prefix) < 0 {
		return prefix
	}
	return from
}
