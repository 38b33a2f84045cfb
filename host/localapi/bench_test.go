package localapi

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
)

const benchBody = 256 << 20

// BenchmarkBody measures bodies beside the plain socket they go through.
func BenchmarkBody(b *testing.B) {
	piece := make([]byte, bodyBuffer)
	write := func(w io.Writer) error {
		for range benchBody / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	}
	backend := &fake{
		packed: func(context.Context, ProgressFunc) (Packed, error) { return Packed{Size: benchBody, Write: write}, nil },
		create: func(_ context.Context, folder io.Reader) (Created, error) {
			return Created{ID: anID}, drain(folder)
		},
	}
	dir := b.TempDir()
	serve(b, dir, "", backend)
	daemon, err := Dial(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer daemon.Close()
	local := Local(backend, closerFunc(func() error { return nil }), slog.New(slog.DiscardHandler))
	defer local.Close()
	b.Run("plain socket", func(b *testing.B) { benchmark(b, func() error { return plain(b.TempDir(), write) }) })
	for name, c := range map[string]*Client{"socket": daemon, "memory": local} {
		b.Run("packed over "+name, func(b *testing.B) {
			benchmark(b, func() error {
				body, err := c.Packed(b.Context(), anID.String())
				if err != nil {
					return err
				}
				defer body.Close()
				return drain(body)
			})
		})
		b.Run("create over "+name, func(b *testing.B) {
			benchmark(b, func() error {
				_, err := c.Create(b.Context(), func(_ context.Context, w io.Writer) error { return write(w) })
				return err
			})
		})
	}
}

func benchmark(b *testing.B, once func() error) {
	b.SetBytes(benchBody)
	for b.Loop() {
		if err := once(); err != nil {
			b.Fatal(err)
		}
	}
}

// drain reads as those do who hash: in large pieces, without a way around.
func drain(r io.Reader) error {
	_, err := io.CopyBuffer(onlyWriter{io.Discard}, struct{ io.Reader }{r}, make([]byte, bodyBuffer))
	return err
}

func plain(dir string, write func(io.Writer) error) error {
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := net.Dial("unix", l.Addr().String())
		if err == nil {
			err = write(c)
			c.Close()
		}
		sent <- err
	}()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := drain(c); err != nil {
		return err
	}
	return <-sent
}
