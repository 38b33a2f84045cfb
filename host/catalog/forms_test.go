package catalog

import (
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// inEveryForm runs a test over a catalog on disk and over one in memory.
func inEveryForm(t *testing.T, test func(t *testing.T, c *Catalog)) {
	t.Run("disk", func(t *testing.T) { test(t, openTemp(t, t.TempDir(), Options{})) })
	t.Run("memory", func(t *testing.T) { test(t, openMemory(t)) })
}

func openTemp(t testing.TB, dir string, o Options) *Catalog {
	t.Helper()
	if o.Ballast == 0 {
		o.Ballast = -1
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	c, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { closeQuietly(t, c) })
	return c
}

func openMemory(t testing.TB) *Catalog {
	t.Helper()
	c, err := OpenMemory(Options{Now: func() time.Time { return noon }})
	must(t, err)
	t.Cleanup(func() { closeQuietly(t, c) })
	return c
}

func closeQuietly(t testing.TB, c *Catalog) {
	if err := c.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

var noon = time.Date(2031, 5, 6, 12, 0, 0, 7, time.UTC)

func id(n byte) sdk.TesseraID { return sdk.TesseraID{n, 31: n} }

func node(n byte) sdk.NodeKey { return sdk.NodeKey{n, 31: n} }

func owner(n byte) sdk.OwnerKey { return sdk.OwnerKey{n, 31: n} }

func hash(n byte) digest.Hash { return digest.Of([]byte{n}) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func update(t testing.TB, c *Catalog, fn func(*Tx) error) {
	t.Helper()
	must(t, c.Update(fn))
}

func view(t testing.TB, c *Catalog, fn func(*Tx) error) {
	t.Helper()
	must(t, c.View(fn))
}

// all collects an iteration.
func all[T any](seq iter.Seq2[T, error]) (out []T, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
