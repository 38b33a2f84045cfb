package host

import (
	"context"
	"errors"
	"io"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/digest"
)

// suspects looks at once at objects that were not what they should be when a peer was to be served or
// shown a proof. In the scrub's order that may be weeks away: until then every proof would fail, and
// nobody would heal the object.
type suspects struct {
	look  func(context.Context, digest.Hash)
	queue chan digest.Hash
}

// maxSuspects is how many wait at most. Those beyond are asked for again, or found by the scrub.
const maxSuspects = 64

// newSuspects returns suspects that are looked at by look, which writes down and logs what it finds.
func newSuspects(look func(context.Context, digest.Hash)) *suspects {
	return &suspects{look: look, queue: make(chan digest.Hash, maxSuspects)}
}

// tell notes an object, when err says that it is not what it should be, and returns at once.
func (s *suspects) tell(h digest.Hash, err error) {
	if !errors.Is(err, cas.ErrMissing) && !errors.Is(err, cas.ErrDamaged) && !errors.Is(err, digest.ErrMismatch) {
		return
	}
	select {
	case s.queue <- h:
	default:
	}
}

// run looks at what was told until ctx ends.
func (s *suspects) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-s.queue:
			s.look(ctx, h)
		}
	}
}

// reported gives fragments whose readers tell suspects of what they find wrong.
type reported struct {
	custody.Fragments
	suspects *suspects
}

// Open implements custody.Fragments.
func (r reported) Open(h digest.Hash, size int64) (io.ReadCloser, error) {
	body, err := r.Fragments.Open(h, size)
	if err != nil {
		r.suspects.tell(h, err)
		return nil, err
	}
	return &reportedBody{body, r.suspects, h}, nil
}

type reportedBody struct {
	io.ReadCloser
	suspects *suspects
	hash     digest.Hash
}

// Read implements io.Reader.
func (b *reportedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.suspects.tell(b.hash, err)
	return n, err
}

// WriteTo implements io.WriterTo, as the readers of objects do.
func (b *reportedBody) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, b.ReadCloser)
	b.suspects.tell(b.hash, err)
	return n, err
}
