package cas

import "github.com/tesseras/tesseras/host/digest"

// maxBehind is how many buffers may wait to be hashed, of all contents that come in at the same time. A file
// is written faster than it is hashed; what is left when it is written is hashed while it is synced.
const maxBehind = 8

// aside is from how many bytes on hashing beside something else pays for the goroutine.
const aside = 64 << 10

// hashing hashes buffers in the order in which they come, beside whoever fills them. It is for use by one
// goroutine.
type hashing struct {
	s    *Store
	hash *digest.Hasher
	last chan struct{} // closed when the last buffer is hashed; nil where none is under way
}

func (s *Store) hashing(h *digest.Hasher) *hashing { return &hashing{s: s, hash: h} }

// add hashes the first n bytes of room, which it hands back to the store. It waits while too many are
// behind.
func (a *hashing) add(room []byte, n int) {
	if n == 0 {
		a.s.leave(room)
		return
	}
	if a.last == nil && n < aside {
		a.hash.Write(room[:n])
		a.s.leave(room)
		return
	}
	a.s.behind <- struct{}{}
	before, last := a.last, make(chan struct{})
	a.last = last
	go func() {
		defer close(last)
		if before != nil {
			<-before
		}
		a.hash.Write(room[:n])
		a.s.leave(room)
		<-a.s.behind
	}()
}

// wait returns when all that was added is hashed.
func (a *hashing) wait() {
	if a.last != nil {
		<-a.last
		a.last = nil
	}
}

// sum waits and gives the hash of all that was added.
func (a *hashing) sum() digest.Hash {
	a.wait()
	return a.hash.Sum()
}
