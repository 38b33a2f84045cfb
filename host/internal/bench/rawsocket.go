package main

import (
	"context"
	"io"
	"net"

	"golang.org/x/sync/errgroup"
)

// rawSocket sends bytes through a Unix socket.
func (l *lab) rawSocket(size int64) part {
	send := func(piece int) timed {
		return func(_ context.Context, t *timer) error {
			path := l.path("raw.sock")
			listener, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			defer listener.Close()
			t.begin()
			defer t.end()
			var g errgroup.Group
			g.Go(func() error {
				c, err := net.Dial("unix", path)
				if err != nil {
					return err
				}
				defer c.Close()
				return stream(l.random, size, piece, func(b []byte) error {
					_, err := c.Write(b)
					return err
				})
			})
			g.Go(func() error { return swallow(listener, piece) })
			return g.Wait()
		}
	}
	return part{"local socket", size, []form{{"writes of 256 KiB", send(256 * kib)}, {"writes of 1 MiB", send(mib)}}}
}

// swallow reads one connection to its end.
func swallow(listener net.Listener, piece int) error {
	c, err := listener.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, piece)
	for err == nil {
		_, err = c.Read(buf)
	}
	if err == io.EOF {
		return nil
	}
	return err
}
