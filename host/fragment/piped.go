package fragment

import "io"

// Piped gives what write writes as a stream, for Encode to read what is being packed, or another what is being
// computed. A failure of write is the reader's. Close stops write, and returns when it has returned: then
// nothing that it reads is read any more.
func Piped(write func(io.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	p := &piped{PipeReader: r, written: make(chan struct{})}
	go func() {
		defer close(p.written)
		w.CloseWithError(write(w))
	}()
	return p
}

type piped struct {
	*io.PipeReader
	written chan struct{}
}

// Close implements io.Closer.
func (p *piped) Close() error {
	err := p.PipeReader.Close()
	<-p.written
	return err
}
