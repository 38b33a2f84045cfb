package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/tesseras/tesseras/host/legacy"
)

// bringOver turns what lies here in the layout before this one into objects, before anybody is served.
func (s *store) bringOver(ctx context.Context, log *slog.Logger) error {
	_, err := legacy.Open(ctx, legacy.Deps{
		FS: s.dir, Store: s.objects, Catalog: s.catalog, Documents: s.documents.shelf, Owner: s.id.Owner.Key(), Log: log, Now: time.Now,
	}, legacy.Config{})
	return err
}
