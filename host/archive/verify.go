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

// Verify checks the signature of a tessera and reads every byte of it. Each file that is missing or
// not what it was is told to report, one at a time, in no order; report may be nil. The error is
// ErrDamaged when there was one, or when the manifest itself is.
func (a *Archive) Verify(ctx context.Context, id sdk.TesseraID, report func(path string, err error)) error {
	m, err := a.Manifest(id)
	if err != nil {
		return err
	}
	if report == nil {
		report = func(string, error) {}
	}
	v := verification{a: a, report: report}
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

	mu     sync.Mutex // guards bad and the calls of report
	bad    int
	report func(string, error)
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
			if err := v.a.check(ctx, e); err != nil && ctx.Err() == nil {
				v.found(e.Path, err)
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

func (v *verification) found(path string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad++
	v.report(path, err)
}

// check reads a file to its end.
func (a *Archive) check(ctx context.Context, e tessera.Entry) error {
	r, err := a.cas.Open(e.Hash, e.Size)
	if err != nil {
		return damage(err)
	}
	defer r.Close()
	_, err = r.WriteTo(watch{ctx})
	return damage(err)
}

// watch is io.Discard until ctx is done.
type watch struct{ ctx context.Context }

var _ io.Writer = watch{}

func (w watch) Write(p []byte) (int, error) { return len(p), w.ctx.Err() }
