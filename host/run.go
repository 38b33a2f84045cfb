package host

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

// Serve runs a node on a data directory until ctx ends: the network, the maintenance, the local API
// and, where configured, the metrics. It logs one line "ready" once all of them answer. A data
// directory that another process has is an error with localapi.CodeInUse.
func Serve(ctx context.Context, cfg *config.Loaded, dataDir string, log *slog.Logger) (err error) {
	n, err := Open(ctx, &cfg.Config, dataDir, log)
	if err != nil {
		return err
	}
	n.again = cfg.Again
	defer func() { err = errors.Join(err, n.Close()) }()
	api, err := localapi.Listen(dataDir, cfg.API.Group)
	if err != nil {
		return err
	}
	metrics, err := listenMetrics(cfg.Metrics.Listen)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return localapi.NewServer(n, log).Serve(gctx, api) })
	g.Go(func() error { return new(spareMemory).run(gctx) }) // first of all what opening took
	if metrics != nil {
		log.Info("metrics", "addr", metrics.Addr().String())
		g.Go(func() error { return serveMetrics(gctx, n, metrics) })
	}
	g.Go(func() error {
		return n.Run(gctx, func() {
			log.Info("ready", "node", n.id.Node.ID().String(), "addr", n.Addr().String())
		})
	})
	return g.Wait()
}
