package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// OpenThrough is Open for a node whose disk is seen through a seam.
func OpenThrough(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger, through func(vfs.FS) vfs.FS, options ...Option) (*Node, error) {
	return open(ctx, cfg, dataDir, log, []seam{through}, options...)
}

// Round runs a maintenance round now.
func (n *Node) Round(ctx context.Context) error { return n.cycle.Round(ctx) }

// View reads the index of a running node.
func (n *Node) View(f func(*catalog.Tx) error) error { return n.catalog.View(f) }

// Update changes the index of a running node, as only damage would.
func (n *Node) Update(f func(*catalog.Tx) error) error { return n.catalog.Update(f) }

// Yield gives a fragment up, as a round does.
func (n *Node) Yield(ctx context.Context, t sdk.TesseraID, index int) error {
	return n.repairer.Keeper.Yield(ctx, t, index)
}

// Journal gives the receipts of a running node.
func (n *Node) Journal() *journal.Journal { return n.journal }

// Closing ends when Close has begun.
func (n *Node) Closing() <-chan struct{} { return n.background.Done() }

// CheckOwnClaim looks at the node's own record now.
func (n *Node) CheckOwnClaim(ctx context.Context) { n.checkOwnClaim(ctx) }

// Metrics gives each metric of a running node, the labelled ones summed up. Of a summary it gives _sum
// and _count.
func (n *Node) Metrics() (map[string]float64, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{n})
	families, err := registry.Gather()
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if s := m.GetSummary(); s != nil {
				all[f.GetName()+"_sum"] += s.GetSampleSum()
				all[f.GetName()+"_count"] += float64(s.GetSampleCount())
			}
		}
	}
	return all, err
}

// Offline opens a data directory as the command line does while no daemon runs, and lets read its index.
func Offline(ctx context.Context, cfg *config.Config, dir string, log *slog.Logger, read func(*catalog.Tx) error) error {
	s, err := openStore(ctx, cfg, dir, log)
	if err != nil {
		return err
	}
	return errors.Join(s.catalog.View(read), s.close())
}

// HalfRebuilt makes an index look as if its rebuilding had been cut short.
func HalfRebuilt(t *testing.T, dir string) {
	t.Helper()
	c, err := catalog.Open(dir, catalog.Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Update(func(tx *catalog.Tx) error {
		for id, err := range tx.Tesseras() {
			return errors.Join(err, tx.DropTessera(id.ID), tx.PutMeta(catalog.MetaUnfilled, nil))
		}
		return nil
	})
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
}

// Decisions counts what policies were asked.
func (n *Node) Decisions() []policy.Count { return n.decisions.List() }

// BreakDefaults makes the default policies fail whenever they are asked.
func (n *Node) BreakDefaults() error { return n.standard.(io.Closer).Close() }

// Contact is where the node can be dialled.
func (n *Node) Contact() identity.Contact { return n.net.Self() }

// PingPeer asks a peer, wherever it is now, whether it is alive.
func (n *Node) PingPeer(ctx context.Context, to identity.Contact) error {
	return n.network.Ping(ctx, to)
}

// Holders names who may hold fragments of a tessera, this node first.
func (n *Node) Holders(ctx context.Context, t sdk.TesseraID) ([]identity.Contact, error) {
	return n.network.Holders(ctx, t)
}

// NearWait is how long Holders waits once it has been told of one.
const NearWait = nearWait

// Told asks the network who holds a tessera, and nothing else.
func (n *Node) Told(ctx context.Context, t sdk.TesseraID) error {
	pointers, err := n.dht.FindHolders(ctx, t)
	if err == nil && len(pointers) == 0 {
		err = errors.New("nobody tells of a holder")
	}
	return err
}

// Finds tells whether the network leads this node to a tessera's plan, by its id alone.
func (n *Node) Finds(ctx context.Context, t sdk.TesseraID) error {
	holders, err := n.Holders(ctx, t)
	if err != nil {
		return err
	}
	for _, h := range holders[1:] { // the first is this node
		if _, err = n.network.Plan(ctx, h, t); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%d possible holders: %w", len(holders)-1, cmp.Or(err, errors.New("none answered")))
}

// Healed counts what the node made good.
func (n *Node) Healed() int64 { return n.healer.Healed() }

// PoolStats tells what the connection pool did.
func (n *Node) PoolStats() quicnet.Stats { return n.net.Stats() }

// Announce tells the network now that this node holds tesseras.
func (n *Node) Announce(ctx context.Context, tesseras ...sdk.TesseraID) error {
	_, err := n.dht.Announce(ctx, tesseras)
	return err
}

// Refusals counts what the node did not take, by what it was.
func (n *Node) Refusals() map[string]uint64 { return n.refusals.all() }

// OperatorOf is who runs another node, as far as this one has verified it.
func (n *Node) OperatorOf(key sdk.NodeKey, owner sdk.OwnerKey) string { return n.operator(key, owner) }

// Contacts keeps the peers a node knows in its index.
func Contacts(c *catalog.Catalog) dht.Memory { return contacts{c} }
