package rebuild

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
)

// TestOnAFullDiskTheIndexStaysUnfilled has no room for the rows: an index that knows half of what is
// needed is not to be used, so whoever opens it is told, and begins again.
func TestOnAFullDiskTheIndexStaysUnfilled(t *testing.T) {
	r := newRoom(t)
	p := r.publish(stranger(t), "theirs")
	r.put(p.shards[0])
	free := int64(1 << 30)
	o := catalog.Options{Ballast: -1, Free: func(string) (int64, error) { return free, nil }}
	dir := filepath.Join(t.TempDir(), "index")
	rebuild := func() (unfilled bool, err error) {
		c, err := catalog.Open(dir, o)
		must(t, err)
		defer func() { must(t, c.Close()) }()
		_, err = Run(t.Context(), Deps{
			Catalog: c, Store: r.store, Archive: r, Documents: r.shelf, Journal: r, Owner: r.who.Owner.Key(),
			Log: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		unfilled, looking := UnderWay(c)
		must(t, looking)
		return unfilled, err
	}
	free = 30 << 20
	if unfilled, err := rebuild(); !unfilled || !errors.Is(err, catalog.ErrDiskFull) {
		t.Errorf("on a full disk: unfilled %t, %v", unfilled, err)
	}
	free = 1 << 30
	must(t, catalog.Clear(dir, o))
	if unfilled, err := rebuild(); unfilled || err != nil {
		t.Errorf("once there is room: unfilled %t, %v", unfilled, err)
	}
}
