package archive

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Watch is told what Verify finds. Either may be nil.
type Watch struct {
	Bad  func(e tessera.Entry, err error) // a file that is missing or not what it was; one at a time, in no order
	Read func(bytes int64)                // read so far in all; one at a time, ascending
}

// Verify checks the signature of a tessera and reads every byte of it. The error is ErrDamaged when a
// file was bad, or the manifest itself is.
func (a *Archive) Verify(ctx context.Context, id sdk.TesseraID, watch Watch) error {
	m, err := a.Manifest(id)
	if err != nil {
		return err
	}
	v := verification{a: a, watch: watch}
	if err := v.run(ctx, m.Entries); err != nil {
		return fmt.Errorf("verify %s: %w", id.Short(), err)
	}
	if v.bad > 0 {
		return fmt.Errorf("verify %s: %w: %d of %d files", id.Short(), ErrDamaged, v.bad, m.Head.Files)
	}
	return nil
}

type verification struct {
	a *Archive

	mu    sync.Mutex // guards below, and the calls of watch
	bad   int
	read  int64
	watch Watch
}

func (v *verification) run(ctx context.Context, entries tessera.FileList) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.a.cfg.Readers)
	for _, e := range entries {
		if e.Folder {
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := v.check(ctx, e); err != nil && ctx.Err() == nil {
				v.found(e, err)
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

func (v *verification) found(e tessera.Entry, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad++
	if v.watch.Bad != nil {
		v.watch.Bad(e, err)
	}
}

// check reads a file to its end.
func (v *verification) check(ctx context.Context, e tessera.Entry) error {
	r, err := v.a.cas.Open(e.Hash, e.Size)
	if err != nil {
		return damage(err)
	}
	defer r.Close()
	_, err = r.WriteTo(counter{ctx, v})
	return damage(err)
}

// counter takes what is read, until ctx is done.
type counter struct {
	ctx context.Context
	v   *verification
}

var _ io.Writer = counter{}

func (c counter) Write(p []byte) (int, error) {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	c.v.read += int64(len(p))
	if c.v.watch.Read != nil {
		c.v.watch.Read(c.v.read)
	}
	return len(p), c.ctx.Err()
}
