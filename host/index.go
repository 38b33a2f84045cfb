package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/rebuild"
)

// openIndex opens the index. One that is damaged, or whose rebuilding was cut short, is thrown away
// first: it is never trusted. empty tells that it knows nothing, and is to be rebuilt.
func openIndex(dir string, o catalog.Options) (c *catalog.Catalog, empty bool, err error) {
	c, err = catalog.Open(dir, o)
	if errors.Is(err, catalog.ErrDamaged) {
		o.Logger.Error("the index is damaged and will be rebuilt from the files beside it", "err", err)
		return clearIndex(dir, o)
	}
	if errors.Is(err, catalog.ErrOutdated) {
		o.Logger.Info("the index is of an older form and will be rebuilt from the files beside it", "err", err)
		return clearIndex(dir, o)
	}
	if err != nil {
		return nil, false, err
	}
	if c.Fresh() {
		return c, true, nil
	}
	half, err := rebuild.UnderWay(c)
	if err != nil {
		return nil, false, errors.Join(err, c.Close())
	}
	if !half {
		return c, false, nil
	}
	o.Logger.Warn("a rebuild of the index was cut short and begins again")
	if err := c.Close(); err != nil {
		return nil, false, err
	}
	return clearIndex(dir, o)
}

func clearIndex(dir string, o catalog.Options) (*catalog.Catalog, bool, error) {
	if err := catalog.Clear(dir, o); err != nil {
		return nil, false, err
	}
	c, err := catalog.Open(dir, o)
	return c, true, err
}

// rebuild fills an empty index from what lies beside it, if anything does. The collector lets less garbage pile
// up meanwhile: beside a manifest of many files and an index that sorts as fast as it can, that is what would
// take most memory.
func (s *store) rebuild(ctx context.Context, log *slog.Logger) error {
	defer littleGarbage.begin()()
	_, err := rebuild.Run(ctx, rebuild.Deps{
		Catalog: s.catalog, Store: s.objects, Archive: s.archive, Documents: s.documents.shelf, Journal: s.journal,
		Owner: s.id.Owner.Key(), Log: log, Now: time.Now,
	})
	return err
}
