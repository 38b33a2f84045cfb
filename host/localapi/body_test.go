package localapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestBodyArrivesWhole(t *testing.T) {
	packed, want := body(t, 3<<20, nil)
	backend := &fake{packed: func(_ context.Context, progress ProgressFunc) (Packed, error) {
		if progress != nil {
			progress(Progress{"asking holders", 1, 24, Fragments})
			progress(Progress{"gathering größer", 2, 3, Bytes})
		}
		return packed, nil
	}}
	both(t, backend, func(t *testing.T, c *Client) {
		var told []string
		for name, open := range map[string]func() (*Body, error){
			"packed": func() (*Body, error) { return c.Packed(t.Context(), anID.String()) },
			"fetch": func() (*Body, error) {
				return c.Fetch(t.Context(), anID.String(), func(p Progress) { told = append(told, p.Stage) })
			},
		} {
			b, err := open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
			}
			if b.ID != anID || b.Size != int64(len(want)) || len(b.Sources) != 1 || b.Sources[0].Node != aNodeID {
				t.Errorf("%s: size %d, sources %v", name, b.Size, b.Sources)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(told, []string{"asking holders", "gathering größer"}) {
			t.Errorf("told of %q", told)
		}
	})
}

func TestBrokenBodyIsNeverTakenForWhole(t *testing.T) {
	for name, fail := range map[string]func(w io.Writer) error{
		"error before":  func(io.Writer) error { return boom(CodeCannotRestore) },
		"error between": func(w io.Writer) error { _, _ = w.Write(make([]byte, 1<<20)); return boom(CodeCannotRestore) },
	} {
		t.Run(name, func(t *testing.T) {
			backend := &fake{packed: func(context.Context, ProgressFunc) (Packed, error) {
				return Packed{Size: 2 << 20, Write: fail}, nil
			}}
			both(t, backend, func(t *testing.T, c *Client) {
				b, err := c.Packed(t.Context(), anID.String())
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if _, err := io.Copy(io.Discard, b); CodeOf(err) != CodeCannotRestore || err.Error() != "boom" {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestBodyOfAKilledNode has a node that goes away in the middle, and one that ends well but says nothing.
func TestBodyOfAKilledNode(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(headerID, anID.String())
			_, _ = w.Write(make([]byte, 1<<20))
			panic(http.ErrAbortHandler)
		},
		"silent": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(headerID, anID.String())
			_, _ = w.Write(make([]byte, 1<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := Listen(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			h := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
			go func() { _ = h.Serve(l) }()
			defer h.Close()
			c, err := Dial(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b, err := c.Packed(t.Context(), anID.String())
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if _, err := io.Copy(io.Discard, b); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusedBody(t *testing.T) {
	backend := &fake{packed: func(context.Context, ProgressFunc) (Packed, error) { return Packed{}, boom(CodeNotFound) }}
	both(t, backend, func(t *testing.T, c *Client) {
		if _, err := c.Packed(t.Context(), anID.String()); CodeOf(err) != CodeNotFound || err.Error() != "boom" {
			t.Errorf("packed: %v", err)
		}
		if _, err := c.Fetch(t.Context(), anID.String(), nil); CodeOf(err) != CodeNotFound {
			t.Errorf("fetch: %v", err)
		}
		if _, err := c.Packed(t.Context(), "../../etc"); CodeOf(err) != CodeUsage {
			t.Errorf("not an id: %v", err)
		}
	})
}

func TestCreateSendsAll(t *testing.T) {
	want := bytes.Repeat([]byte("memories"), 1<<18)
	backend := &fake{create: func(_ context.Context, folder io.Reader) (Created, error) {
		got, err := io.ReadAll(folder)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("the node got %d bytes of %d, %v", len(got), len(want), err)
		}
		return Created{anID, "t\xff", 1, int64(len(got)), 2}, err
	}}
	both(t, backend, func(t *testing.T, c *Client) {
		got, err := c.Create(t.Context(), func(_ context.Context, w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(want))
			return err
		})
		if err != nil || got.ID != anID || got.SizeBytes != int64(len(want)) || got.NewBytes != 2 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestFailedCreateLeavesAnIncompleteStream(t *testing.T) {
	seen := make(chan error, 1)
	backend := &fake{create: func(_ context.Context, folder io.Reader) (Created, error) {
		_, err := io.Copy(io.Discard, folder)
		seen <- err
		return Created{}, err
	}}
	both(t, backend, func(t *testing.T, c *Client) {
		_, err := c.Create(t.Context(), func(_ context.Context, w io.Writer) error {
			_, _ = w.Write(make([]byte, 1<<20))
			return boom(CodePartly)
		})
		if CodeOf(err) != CodePartly || err.Error() != "boom" {
			t.Errorf("got %v", err)
		}
		if err := <-seen; err == nil {
			t.Error("the node took the stream for whole")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = c.Create(ctx, func(ctx context.Context, w io.Writer) error {
			_, _ = w.Write(make([]byte, 1<<20))
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
		if err := <-seen; err == nil {
			t.Error("the node took an interrupted stream for whole")
		}
	})
}

func TestCreateRefusedEarlyStopsReadingTheFolder(t *testing.T) {
	backend := &fake{create: func(context.Context, io.Reader) (Created, error) { return Created{}, boom(CodeFailed) }}
	both(t, backend, func(t *testing.T, c *Client) {
		running := true
		_, err := c.Create(t.Context(), func(ctx context.Context, w io.Writer) error {
			defer func() { running = false }()
			for ctx.Err() == nil { // without end, if nobody says so
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
		if err == nil || err.Error() != "boom" || running {
			t.Errorf("got %v, still running: %v", err, running)
		}
	})
}

func TestCreateWithoutANode(t *testing.T) {
	c := newClient(func(context.Context) (net.Conn, error) { return nil, errBoom })
	_, err := c.Create(t.Context(), func(context.Context, io.Writer) error {
		t.Error("the folder was read")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
}
