package cas

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
)

func TestRemove(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	o, err := s.Stage(ctx, bytes.NewReader([]byte("x")), nil)
	must(t, err)
	remove := func(needed bool, failure error) bool {
		gone, err := s.Remove(o.Hash, func() (bool, error) { return needed, failure })
		wantError(t, err, failure)
		return gone
	}
	if remove(false, nil) {
		t.Error("a pinned object was removed")
	}
	s.Unpin(o.Hash)
	if remove(true, nil) {
		t.Error("a needed object was removed")
	}
	if remove(false, errors.ErrUnsupported) {
		t.Error("an object was removed though the need is not known")
	}
	if !remove(false, nil) || !d.durable(Path(o.Hash)) || len(d.names(t)) > 0 {
		t.Error("the object is not gone, durably")
	}
	if !remove(false, nil) {
		t.Error("an object that was gone is not gone")
	}
	never := digest.Of([]byte("never"))
	if gone, err := s.Remove(never, func() (bool, error) { return false, nil }); err != nil || !gone {
		t.Errorf("an object that never was: %v, %v", gone, err)
	}
}

// TestNeedIsAskedUnderTheLock: between the question and the unlink nobody can pin the object.
func TestNeedIsAskedUnderTheLock(t *testing.T) {
	s := open(t, newDisk(t))
	o := stage(t, s, []byte("x"), nil)
	ask := func() (bool, error) {
		if s.stripe(o.Hash).mu.TryLock() {
			t.Error("an object can be pinned after the need was asked")
			s.stripe(o.Hash).mu.Unlock()
		}
		return false, nil
	}
	_, err := s.Remove(o.Hash, ask)
	must(t, err)
	_, err = s.RemoveAll([]digest.Hash{o.Hash}, func(digest.Hash) (bool, error) { return ask() })
	must(t, err)
}

func TestPinsAreCounted(t *testing.T) {
	s := open(t, newDisk(t))
	h := digest.Of([]byte("x"))
	for range 2 {
		_, err := s.Stage(ctx, bytes.NewReader([]byte("x")), nil)
		must(t, err)
	}
	for _, want := range []bool{false, true} {
		s.Unpin(h)
		gone, err := s.Remove(h, func() (bool, error) { return false, nil })
		if err != nil || gone != want {
			t.Errorf("gone %v, %v", gone, err)
		}
	}
}

func TestRemoveAll(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	var all, needed []digest.Hash
	for i := range 100 {
		o := stage(t, s, fmt.Append(nil, i), nil)
		all = append(all, o.Hash)
		if i%3 == 0 {
			needed = append(needed, o.Hash)
		}
	}
	gone, err := s.RemoveAll(all, func(h digest.Hash) (bool, error) { return slices.Contains(needed, h), nil })
	must(t, err)
	if len(gone) != len(all)-len(needed) || len(d.names(t)) != len(needed) {
		t.Errorf("%d gone, %d files left", len(gone), len(d.names(t)))
	}
	for _, h := range gone {
		if !d.durable(Path(h)) {
			t.Fatal("a removal is not durable when told")
		}
	}
}

// needs is what the index is in the real house: who needs which object.
type needs struct {
	mu    sync.Mutex
	count map[digest.Hash]int
}

func (n *needs) add(h digest.Hash, by int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count[h] += by
	return n.count[h]
}

func (n *needs) needed(h digest.Hash) (bool, error) { return n.add(h, 0) > 0, nil }

// TestRemoveNeverTakesWhatIsNeeded lets many workers put, release and sweep a few contents at the same
// time. Whoever holds a reference must be able to read the object until it gives the reference back.
func TestRemoveNeverTakesWhatIsNeeded(t *testing.T) {
	const workers, contents = 8, 12
	seed, operations := suite.Seed(t), suite.ModelRemove.Cases()
	s, index := open(t, newDisk(t)), &needs{count: map[digest.Hash]int{}}
	var done atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			m := &modelWorker{t: t, s: s, index: index, rnd: rand.New(rand.NewPCG(seed, uint64(w))), contents: contents}
			for done.Add(1) <= int64(operations) && !t.Failed() {
				m.step()
			}
			m.dropAll()
		})
	}
	wg.Wait()
	noPins(t, s)
	suite.ModelRemove.Executed(t, int(done.Load())-workers, "operations on contents that come and go")
}

type modelWorker struct {
	t        *testing.T
	s        *Store
	index    *needs
	rnd      *rand.Rand
	contents int
	held     [][]byte
}

func (m *modelWorker) content() []byte {
	i := m.rnd.IntN(m.contents)
	return bytes.Repeat([]byte{byte(i)}, 1+i*i*40)
}

func (m *modelWorker) step() {
	what := m.rnd.IntN(6)
	if len(m.held) > 6 {
		what = 3
	}
	switch what {
	case 0, 1:
		m.put(m.content(), m.rnd.IntN(2) == 0)
	case 2:
		m.putBatch()
	case 3, 4:
		m.release()
	case 5:
		h := digest.Of(m.content())
		if _, err := m.s.Remove(h, func() (bool, error) { return m.index.needed(h) }); err != nil {
			m.t.Error(err)
		}
	}
	if len(m.held) > 0 {
		m.check(m.held[m.rnd.IntN(len(m.held))])
	}
}

func (m *modelWorker) put(content []byte, known bool) {
	h := digest.Of(content)
	hint := &h
	if !known {
		hint = nil
	}
	o, err := m.s.Stage(ctx, bytes.NewReader(content), hint)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer m.s.Unpin(o.Hash)
	if m.rnd.IntN(4) == 0 {
		return // gave it up
	}
	m.index.add(o.Hash, 1)
	m.held = append(m.held, content)
}

func (m *modelWorker) putBatch() {
	b := m.s.Batch()
	var staged [][]byte
	for range 1 + m.rnd.IntN(3) {
		content := m.content()
		if _, err := b.Stage(ctx, bytes.NewReader(content)); err != nil {
			m.t.Error(err)
		}
		staged = append(staged, content)
	}
	if m.rnd.IntN(4) == 0 {
		if err := b.Discard(m.index.needed); err != nil {
			m.t.Error(err)
		}
		return
	}
	if err := b.Sync(); err != nil {
		m.t.Error(err)
	}
	for _, content := range staged {
		m.index.add(digest.Of(content), 1)
		m.held = append(m.held, content)
	}
	b.Close()
}

// release gives a reference back, and removes the object with the last one.
func (m *modelWorker) release() {
	if len(m.held) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.held))
	h := digest.Of(m.held[i])
	m.held = slices.Delete(m.held, i, i+1)
	if m.index.add(h, -1) > 0 {
		return
	}
	if _, err := m.s.Remove(h, func() (bool, error) { return m.index.needed(h) }); err != nil {
		m.t.Error(err)
	}
}

func (m *modelWorker) dropAll() {
	for _, content := range m.held {
		m.check(content)
	}
	for len(m.held) > 0 {
		m.release()
	}
}

func (m *modelWorker) check(content []byte) {
	r, err := m.s.Open(digest.Of(content), int64(len(content)))
	if err != nil {
		m.t.Errorf("a needed object is lost: %v", err)
		return
	}
	defer r.Close()
	if _, err := drain(r, 0); err != nil {
		m.t.Errorf("a needed object is damaged: %v", err)
	}
}
