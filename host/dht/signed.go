package dht

import (
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/wire"
)

// signedKept is how many pointers of which the signature was verified are remembered at least, and half
// of how many at most; each is some 250 bytes.
const signedKept = 1024

// signedPointers remembers pointers of which the signature was verified. In a lookup everybody who is asked
// answers with nearly the same ones, and so does the next lookup; a signature takes longer to verify than
// all else that is done with an answer. The zero value is ready for use.
type signedPointers struct {
	mu         sync.Mutex // guards below
	young, old map[wire.Pointer]struct{}
}

// verify reads a pointer and checks it and its signature. It does not hold the lock while it verifies a signature.
func (s *signedPointers) verify(m *wire.SignedPointer, powBits int, now time.Time) (wire.Pointer, error) {
	p, err := wire.ReadPointer(m, powBits, now)
	if err != nil || s.has(p) {
		return p, err
	}
	if err := p.VerifySignature(); err != nil {
		return wire.Pointer{}, err
	}
	s.add(p)
	return p, nil
}

func (s *signedPointers) has(p wire.Pointer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[p]; ok {
		return true
	}
	_, ok := s.old[p]
	if ok {
		s.addLocked(p) // it is of use still
	}
	return ok
}

func (s *signedPointers) add(p wire.Pointer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(p)
}

func (s *signedPointers) addLocked(p wire.Pointer) {
	if s.young == nil || len(s.young) >= signedKept {
		s.young, s.old = make(map[wire.Pointer]struct{}), s.young
	}
	s.young[p] = struct{}{}
}
