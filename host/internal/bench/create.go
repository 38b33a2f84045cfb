package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
)

const (
	smallFiles = 10_000
	smallSize  = 4 * kib
	smallGoal  = 5000 // files a second
)

func createSteps(l *lab) []step {
	return []step{
		{fmt.Sprintf("create %d small files", smallCount(l)), l.createSmallRow(config.SyncFull)},
		{fmt.Sprintf("create %d small files, synced together", smallCount(l)), l.createSmallRow(config.SyncNormal)},
		{"create one big file", l.createBigRow},
	}
}

func smallCount(l *lab) int {
	if l.quick {
		return 300
	}
	return smallFiles
}

// createSmallRow measures scanning, streaming and keeping a folder, each time into an empty data directory,
// with one way to sync objects.
func (l *lab) createSmallRow(sync string) func(context.Context) ([]row, error) {
	return func(ctx context.Context) ([]row, error) { return l.createSmall(ctx, sync) }
}

func (l *lab) createSmall(ctx context.Context, sync string) ([]row, error) {
	files := smallCount(l)
	folder, err := l.fresh(l.unused("small"), files, smallSize)
	if err != nil {
		return nil, err
	}
	bytes := int64(files) * smallSize
	name := fmt.Sprintf("create %d small files", files)
	if sync == config.SyncNormal {
		name += ", synced together"
	}
	r, err := l.contest(ctx, name, bytes, func(ctx context.Context, t *timer) error {
		dir := l.path(l.unused("creator"))
		cfg := nodeConfig("", "")
		cfg.Storage.Sync = sync
		backend, closer, err := host.OpenLocal(ctx, &cfg, dir, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		client := localapi.Local(backend, closer, slog.New(slog.DiscardHandler))
		t.begin()
		_, err = keep(ctx, client, folder)
		t.end()
		return errors.Join(err, client.Close())
	}, []part{l.rawSmallFiles(files, smallSize)})
	if err != nil {
		return nil, err
	}
	r.Value, r.Unit = float64(files)/r.Seconds, "files/s"
	r.Goal = fmt.Sprintf("%d files/s", smallGoal)
	return []row{r.judged(r.Value >= smallGoal)}, nil
}

// createBigRow gives one file to a running node through its socket.
func (l *lab) createBigRow(ctx context.Context) ([]row, error) {
	owner, err := l.publisher(ctx)
	if err != nil {
		return nil, err
	}
	r, err := l.contest(ctx, "create one big file", l.size, func(ctx context.Context, t *timer) error {
		folder, err := l.fresh("big", 1, l.size)
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		t.begin()
		defer t.end()
		_, err = keep(ctx, owner.client, folder)
		return err
	}, []part{l.rawSocket(l.size), l.rawHash("the file", l.size), l.rawDurable(l.size)})
	return []row{r}, err
}

// keep creates a tessera of a folder as the command line does.
func keep(ctx context.Context, client *localapi.Client, folder string) (localapi.Created, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return localapi.Created{}, err
	}
	defer root.Close()
	found, err := tessera.Scan(ctx, root, tessera.ScanOptions{})
	if err != nil {
		return localapi.Created{}, err
	}
	return client.Create(ctx, func(ctx context.Context, w io.Writer) error {
		return tessera.WriteFolder(ctx, w, root, "bench", found.Entries)
	})
}
