package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// Create sends a folder to the node, which keeps it. write streams it with tessera.WriteFolder; it is
// called at most once, and has returned when Create returns. Its error ends the stream, and then
// nothing of it is kept.
func (c *Client) Create(ctx context.Context, write func(context.Context, io.Writer) error) (Created, error) {
	up := newUpload(ctx, write)
	created, err := c.post(ctx, up)
	up.cancel() // the node may have refused with most of the folder unsent
	<-up.done
	switch {
	case err == nil:
		return created, nil
	case up.failed != nil && ctx.Err() == nil:
		return Created{}, up.failed
	}
	return Created{}, err
}

func (c *Client) post(ctx context.Context, up *upload) (created Created, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/create", up)
	if err != nil {
		return Created{}, errors.Join(err, up.Close())
	}
	request.Header.Set("Content-Type", "application/x-tar")
	response, err := c.http.Do(request)
	if err != nil {
		return Created{}, broken(ctx, err)
	}
	defer response.Body.Close()
	if err := refusal(response); err != nil {
		return Created{}, err
	}
	if err := json.NewDecoder(response.Body).Decode(&created); err != nil {
		return Created{}, broken(ctx, err)
	}
	return created, nil
}

// broken is what an error of the connection means to the caller.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var noise *url.Error // says method and URL, which mean nothing to a person
	if errors.As(err, &noise) {
		err = noise.Err
	}
	return lost(err)
}

// maxRefusal is the most that is read of an error: it may name every file of a folder.
const maxRefusal = 64 << 20

// refusal reads the error an answer has instead of what was asked for.
func refusal(r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxRefusal))
	if err != nil {
		return lost(err)
	}
	if err, ok := parseErrorJSON(text); ok {
		return err
	}
	return Fail(CodeFailed, hintVersions, errors.New("the node answered "+r.Status))
}

// upload is the body of a request that is written instead of read: io.Copy finds WriteTo, so no pipe
// and no second goroutine stand between the folder and the socket.
type upload struct {
	ctx    context.Context
	cancel context.CancelFunc
	write  func(context.Context, io.Writer) error
	done   chan struct{} // closed when write has returned, or never will be called
	failed error         // of write alone, and not because it was stopped; read it after done

	mu              sync.Mutex // guards below
	started, closed bool
}

var (
	_ io.ReadCloser = (*upload)(nil)
	_ io.WriterTo   = (*upload)(nil)
)

func newUpload(ctx context.Context, write func(context.Context, io.Writer) error) *upload {
	u := &upload{write: write, done: make(chan struct{})}
	u.ctx, u.cancel = context.WithCancel(ctx)
	return u
}

// WriteTo implements io.WriterTo.
func (u *upload) WriteTo(w io.Writer) (int64, error) {
	u.mu.Lock()
	late := u.started || u.closed
	u.started = true
	u.mu.Unlock()
	if late {
		return 0, http.ErrBodyReadAfterClose
	}
	defer close(u.done)
	out := &socketWriter{w: w}
	buffered := bufio.NewWriterSize(out, bodyBuffer)
	err := u.write(u.ctx, buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if out.err == nil && u.ctx.Err() == nil {
		u.failed = err
	}
	return out.n, err
}

// Close implements io.Closer.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cancel()
	if !u.started && !u.closed {
		close(u.done)
	}
	u.closed = true
	return nil
}

// Read implements io.Reader, which the HTTP client asks of a body; it uses WriteTo.
func (u *upload) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// socketWriter remembers whether it was the connection that failed.
type socketWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (s *socketWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	s.err = err
	return n, err
}
