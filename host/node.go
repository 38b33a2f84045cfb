package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/attest"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/cycle"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/heal"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/institution"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Version is what a node calls itself.
const Version = "0.1.0"

// drainTime is how long a stopping node lets requests end that it serves.
const drainTime = 5 * time.Second

// wholeEvery is in how many rounds a holder is asked for the keyed hash of a whole fragment.
const wholeEvery = 8

// leftElsewhere is how many intervals a holder leaves a fragment whose file is gone to the others: so long that the
// owner's node, or the first holders where there is none, have looked and rebuilt it.
const leftElsewhere = 3

// Node is a whole node. Open makes one, Run lets it work, Close ends it.
type Node struct {
	local
	policies
	net       *quicnet.Net
	refusals  refusals
	dht       *dht.DHT
	network   *network
	bind      func(listen string) (net.PacketConn, error)
	publisher *publish.Service
	restorer  *restore.Service
	repairer  *repair.Service
	healer    *heal.Service
	cycle     *cycle.Cycle
	doorbell  *cycle.Doorbell // of newcomers
	announcer *announcer
	suspects  *suspects
	opened    time.Time
	again     func() (*config.Loaded, error) // reads the configuration again; nil where it stands nowhere

	resolver     institution.Resolver
	institutions *institution.Register

	background context.Context // of publishes a person asked for; ends with Close
	stop       context.CancelFunc
	tasks      sync.WaitGroup

	waiting atomic.Int32 // who waits for a publish to reach its target

	mu         sync.Mutex // guards publishing
	publishing map[sdk.TesseraID]*publishJob
}

// Open opens the data directory and the socket and joins the rooms. The node answers peers only once
// Run is called.
func Open(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger, options ...Option) (*Node, error) {
	return open(ctx, cfg, dataDir, log, nil, options...)
}

func open(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger, seams []seam, options ...Option) (*Node, error) {
	s, err := openStore(ctx, cfg, dataDir, log, seams...)
	if err != nil {
		return nil, explain(err)
	}
	n := &Node{local: local{store: s, cfg: cfg, log: log}, opened: time.Now(), publishing: map[sdk.TesseraID]*publishJob{}}
	n.resolver = net.DefaultResolver
	n.bind = func(listen string) (net.PacketConn, error) { return quicnet.Bind(listen) }
	for _, o := range options {
		o(n)
	}
	n.institutions = institution.New(institution.Deps{Resolver: n.resolver, Log: log, Now: time.Now}, institution.Config{})
	n.book = n.booksOf(n.operator)
	n.background, n.stop = context.WithCancel(context.Background())
	if err := n.join(ctx); err != nil {
		return nil, explain(errors.Join(err, n.Close()))
	}
	return n, nil
}

func (n *Node) join(ctx context.Context) error {
	if err := n.clearSpool(); err != nil {
		return err
	}
	if err := n.openPolicies(ctx); err != nil {
		return err
	}
	if err := n.openBook(); err != nil {
		return err
	}
	if err := n.openNetwork(); err != nil {
		return err
	}
	n.joinServices()
	return nil
}

// openBook opens the map of holders. The network, which asks it who has proven what, comes after it.
func (n *Node) openBook() error {
	n.book = n.booksOf(n.operator)
	if err := n.book.LoadProofs(); err != nil {
		return fmt.Errorf("read who has proven what: %w", err)
	}
	return nil
}

func (n *Node) openNetwork() error {
	advertise, err := resolve(n.cfg.Network.Advertise)
	if err != nil {
		return fmt.Errorf("network.advertise: %w", err)
	}
	conn, err := n.bind(n.cfg.Network.Listen)
	if err != nil {
		return unbound("--listen", err)
	}
	perf := n.cfg.Performance
	n.net, err = quicnet.Listen(quicnet.Config{
		PowBits:        powBits(n.cfg.Network.PowBits),
		MaxConnections: perf.MaxConnections,
		IdleTimeout:    perf.IdleTimeout.Std(),
		ReaperInterval: perf.ReaperInterval.Std(),
		Advertise:      advertise,
		Software:       "tesseras " + Version,
		FreeBytes:      n.spare,
		Capabilities:   n.capabilities,
		Institution:    n.claim(),
		Refused:        n.refusals.count,
		Log:            n.log,
	}, n.id, conn)
	if err != nil {
		return err
	}
	n.dht = dht.New(n.net, n.id.Node, dht.Config{
		PowBits:  powBits(n.cfg.Network.PowBits),
		Holdings: n.holdings,
		Leads:    n.leads,
		Proven:   n.book.Proven,
		Memory:   contacts{n.catalog},
		Refused:  n.refusals.count,
		Log:      n.log,
	})
	return nil
}

// powBits turns "no work" into what the network calls it.
func powBits(bits int) int {
	if bits == 0 {
		return -1
	}
	return bits
}

// joinServices makes the services and opens the front door to them.
func (n *Node) joinServices() {
	r := n.cfg.Replication
	minFree := uint64(n.cfg.Storage.MinFree)
	n.announcer = newAnnouncer(n.dht, n.log)
	n.suspects = newSuspects(n.lookAt)
	keeper := custody.New(custody.Deps{
		Objects: n.objects, Fragments: reported{n.fragments, n.suspects}, Catalog: n.catalog, Documents: n.documents, Journal: n.journal, Admitter: n.engine,
		Node: n.id.Node, Owner: n.id.Owner.Key(), Peers: n.peersAlive,
		Proves: func(ctx context.Context, holder sdk.NodeKey, c proof.Claim) error {
			return n.network.challenge(ctx, holder, c)
		},
		Stored: n.announcer.add, GivenUp: legacy.NewNotes(n.dir).GiveUp, Log: n.log, Now: time.Now,
	}, custody.Config{
		MinFree: minFree, PeerLimit: uint64(r.PeerLimit), DeficitAllowance: uint64(r.DeficitAllowance),
		Free: n.dir.Free, Institutional: n.institutions.Owner,
	})
	n.network = &network{
		Client: peer.NewClient(newRoaming(n.net, n.dht, time.Now), n.id.Node.Key()), self: identity.Contact{Key: n.id.Node.Key(), Nonce: n.id.Node.Nonce()},
		dht: n.dht, catalog: n.catalog, book: n.book, custody: keeper, institutions: n.institutions, operator: n.operator, now: time.Now,
		here: n.net.Self, spare: n.spare,
	}
	distributor := scatter.NewDistributor(n.network, n.engine, n.book, scatter.Config{
		Concurrent: r.ConcurrentTransfers,
		Caps: &sdk.Caps{
			Replicas: uint32(r.Replicas), PerSubnet: uint32(r.PerSubnet), Strict: r.Strict, InstitutionalPpm: sdk.InstitutionalPPM,
		},
	})
	turns := scatter.NewTurns()
	n.publisher = publish.New(publish.Deps{
		FS: n.dir, Archive: packer{&n.local}, Documents: n.documents, Catalog: n.catalog, Book: n.book,
		Distributor: distributor, Forgetter: n.network, Turns: turns, Owner: n.id.Owner, Log: n.log,
	}, publish.Config{MinFree: minFree})
	n.restorer = restore.New(n.dir, n.network, n.documents, restore.Config{Concurrent: r.ConcurrentTransfers, MinFree: minFree}, n.log)
	bandwidth := newPace(r.RepairBandwidth)
	n.repairer = repair.New(repair.Deps{
		FS: n.dir, Network: n.network, Documents: n.documents, Archive: n.archive,
		Collect: func(ctx context.Context, id sdk.TesseraID) (repair.Collected, error) {
			return n.restorer.Collect(ctx, id, bandwidth.fetching(ctx))
		},
		Catalog: n.catalog, Book: n.book, Policy: n.engine, Distributor: distributor, Turns: turns,
		Keeper: releaser{keeper, n}, Self: n.id.Node.Key(), Owner: n.id.Owner.Key(), Log: n.log, Now: time.Now,
	}, repair.Config{
		Interval: r.RepairInterval.Std(), Replicas: r.Replicas, Proofs: r.ProofsPerHolder, Whole: wholeEvery,
		MinFree: minFree, DeficitAllowance: uint64(r.DeficitAllowance), Institutional: n.institutions.Owner, Pace: bandwidth.wait,
	})
	n.sought = n.repairer.Sought
	n.healer = heal.New(heal.Deps{
		Objects: n.objects, Catalog: n.catalog, Documents: archivist{n}, Log: n.log,
		Patience: r.RepairInterval.Std() / 2, Elsewhere: leftElsewhere * r.RepairInterval.Std(), GiveUp: n.repairer.GiveUpReplaced,
		Collect: func(ctx context.Context, id sdk.TesseraID) (heal.Collected, error) {
			return n.restorer.Collect(ctx, id, bandwidth.fetching(ctx))
		},
	})
	n.cycle = cycle.New(cycle.Config{
		Interval: r.RepairInterval.Std(), Jitter: r.RepairJitter.Std(), First: n.firstRound(),
	}, n.log, n.disk.guard(
		cycle.Step{Name: "publish", Run: n.publisher.Resume},
		cycle.Step{Name: "repair", Run: n.repairer.Step},
		cycle.Step{Name: "custody", Run: n.repairer.Custody},
		cycle.Step{Name: "settle", Run: n.publisher.Settle},
		cycle.Step{Name: "withdraw", Run: n.publisher.Withdraw},
		cycle.Step{Name: "collect", Run: func(ctx context.Context) error { _, err := n.catalog.Collect(ctx, n.objects); return err }},
		cycle.Step{Name: "sweep", Run: n.sweeper.Step},
		cycle.Step{Name: "scrub", Run: n.scrubber.Step},
		cycle.Step{Name: "heal", Run: n.healer.Step},
		cycle.Step{Name: "note", Run: n.noteRound},
	)...)
	n.doorbell = cycle.NewDoorbell()
	n.scrubber.Hurry = n.cycle.Awaited
	door := behindDisk{n.net, n.disk}
	serveCustody(door, keeper)
	serveAttest(door, attest.New(n.catalog, n.id.Node, time.Now))
	serveAccounts(door, n.catalog, n.id.Owner.Key())
	serveReleases(door, n)
	serveWatch(door, n.id.Node, n.repairer.Checked)
	serveProofs(door, attest.NewProver(n.objects, n.catalog, n.id.Node, n.suspects.tell, n.log, time.Now))
	n.dht.Register(n.net)
	n.net.Handle(wire.KindPing, n.pong)
	n.net.OnPeer(n.met)
	n.net.OnLost(n.dht.Missed)
}

// pong tells that the node is alive, and what it would still take.
func (n *Node) pong(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
	if bits := n.capabilities(); bits != 0 {
		return s.Send(&wire.Pong{Capabilities: bits})
	}
	return s.Send(&wire.Pong{FreeBytes: n.spare()})
}

// capabilities are the bits that peers are shown: whether this node can look at its disk.
func (n *Node) capabilities() uint64 {
	if n.disk.here() != nil {
		return quicnet.CapMaintenance
	}
	return 0
}

// met takes a verified peer into the address book. Somebody who was not there before may take what
// had no holder.
func (n *Node) met(p quicnet.Peer) {
	before, known := n.dht.Peer(p.Contact.Key)
	n.dht.Observe(p)
	n.heard(p)
	news := !known || before.Silent > 0 || before.LastSeen.Before(n.opened) || before.Contact.Addr != p.Contact.Addr
	switch {
	case n.publisher.Awaits(p.Contact.Key),
		n.waiting.Load() > 0 && (news || !p.Dialed):
		n.cycle.Wake()
	case news:
		n.doorbell.Ring()
	}
}

// welcome asks for a round where somebody who came may be of use.
func (n *Node) welcome() {
	if n.unfinished() {
		n.cycle.Wake()
	}
}

// unfinished tells whether a tessera that the owner wants published has not been at its target yet.
func (n *Node) unfinished() (found bool) {
	err := n.catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			if t.WantPublished && !t.Published {
				found = true
				return nil
			}
		}
		return nil
	})
	return err == nil && found
}

// lookAt reads an object that somebody found wrong, and writes down what it is.
func (n *Node) lookAt(ctx context.Context, h digest.Hash) {
	if n.disk.here() != nil {
		return
	}
	if _, err := n.scrubber.Check(ctx, h); err != nil && ctx.Err() == nil {
		n.log.Warn("an object that was found wrong could not be looked at", "object", h.Short(), "err", err)
	}
}

// peersAlive counts the peers that are not known to be silent, and this node.
func (n *Node) peersAlive() int {
	alive := 1
	for _, k := range n.dht.Peers() {
		if k.Silent == 0 {
			alive++
		}
	}
	return alive
}

// spare is how many bytes this node would still take.
func (n *Node) spare() uint64 {
	free, err := n.dir.Free()
	if err != nil {
		return 0
	}
	return free - min(free, uint64(n.cfg.Storage.MinFree))
}

// holdings lists the tesseras of which fragments are kept here.
func (n *Node) holdings(context.Context) (held []sdk.TesseraID, err error) {
	err = n.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
			if err != nil {
				return err
			}
			if len(held) == 0 || held[len(held)-1] != f.Tessera {
				held = append(held, f.Tessera)
			}
		}
		return nil
	})
	return held, err
}

// metaRound is the catalog's name for the time of the last maintenance round.
const metaRound = "last_round"

// firstRound is how long until the round that is due, so that a node which is often restarted looks
// after itself as often as one that is not. A publish that was cut short is not put off.
func (n *Node) firstRound() time.Duration {
	const soonest = time.Second
	if n.unfinished() {
		return soonest
	}
	interval := n.cfg.Replication.RepairInterval.Std()
	var last time.Time
	err := n.catalog.View(func(tx *catalog.Tx) error {
		b, err := tx.Meta(metaRound)
		if err == nil && len(b) == 8 {
			last = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
		}
		return err
	})
	if err != nil {
		return max(soonest, min(interval, time.Minute))
	}
	return min(max(soonest, time.Until(last.Add(interval))), max(soonest, interval))
}

// noteRound is the last step of a round.
func (n *Node) noteRound(context.Context) error {
	return n.catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutMeta(metaRound, binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())))
	})
}

// Addr is where the node listens, as others can dial it.
func (n *Node) Addr() netip.AddrPort {
	if self := n.net.Self().Addr; self.IsValid() && self.Port() != 0 {
		return self
	}
	return n.net.Addr()
}

// Run lets the node work until ctx ends: it answers peers, keeps its place in the network and looks
// after its tesseras. ready is called once it serves.
func (n *Node) Run(ctx context.Context, ready func()) error {
	g, gctx := errgroup.WithContext(ctx)
	serving, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	g.Go(func() error { return n.net.Serve(serving) })
	g.Go(func() error { return n.dht.Run(gctx) })
	g.Go(func() error { n.announcer.run(gctx); return nil })
	g.Go(func() error { n.cycle.Run(gctx); return nil })
	g.Go(func() error { n.doorbell.Run(gctx, n.welcome); return nil })
	g.Go(func() error { n.institutions.Run(gctx); return nil })
	g.Go(func() error { n.suspects.run(gctx); return nil })
	g.Go(func() error { n.checkOwnClaim(gctx); return nil })
	g.Go(func() error { n.explained.Run(gctx); return nil })
	g.Go(func() error {
		if err := n.dht.Bootstrap(gctx, n.cfg.Network.Bootstrap); err != nil && gctx.Err() == nil {
			n.log.Warn("nobody could be reached yet", "err", err)
		}
		return nil
	})
	ready()
	<-gctx.Done()
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := n.net.Drain(draining); err != nil {
		n.log.Info("requests were cut short", "err", err)
	}
	stopServing()
	return g.Wait()
}

// Close ends everything and lets go of the data directory. What was acknowledged is durable already.
func (n *Node) Close() error {
	n.stop()
	n.tasks.Wait()
	var errs []error
	if n.net != nil {
		errs = append(errs, n.net.Close())
	}
	if n.dht != nil {
		n.dht.Close()
	}
	return errors.Join(append(errs, n.policies.close(), n.store.close())...)
}

// resolve reads host:port; "" is the zero value.
func resolve(address string) (netip.AddrPort, error) {
	if address == "" {
		return netip.AddrPort{}, nil
	}
	udp, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}
