package dht

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/sdk"
)

// Bootstrap finds a way into the network: through the addresses, each "host:port" or
// "nodeid@host:port", and through peers remembered from before. Then it looks around, so that nodes
// and this one learn of each other. With nowhere to go it does nothing; if nobody answers it is
// ErrNoBootstrap with every reason, and Step tries again.
func (d *DHT) Bootstrap(ctx context.Context, addresses []string) error {
	d.mu.Lock()
	d.bootstrap = slices.Clone(addresses)
	d.mu.Unlock()
	remembered, err := d.recall(ctx)
	if err != nil {
		d.config.Log.Warn("remembered peers cannot be read", "err", err)
	}
	if len(addresses)+len(remembered) == 0 {
		d.join()
		return nil
	}
	var answered int
	var errs []error
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		answered, errs = d.dialAll(ctx, addresses, remembered)
	}()
	d.exploreEarly(ctx, dialled)
	<-dialled
	d.lookSoon() // also when nobody answered: others may be starting as well
	if answered == 0 {
		return fmt.Errorf("%w: %w", ErrNoBootstrap, errors.Join(errs...))
	}
	d.explore(ctx)
	return nil
}

// earlyAfter is how long those that are dialled may take until those that have answered are asked for others.
const earlyAfter = 500 * time.Millisecond

// exploreEarly looks around as soon as somebody has answered where others let us wait: one that is gone takes
// seconds.
func (d *DHT) exploreEarly(ctx context.Context, dialled <-chan struct{}) {
	for {
		select {
		case <-dialled:
			return
		case <-time.After(earlyAfter):
		}
		if !d.alone() {
			d.explore(ctx)
			return
		}
	}
}

// joinTime is how long after New nobody waits for this node to join any longer. Whoever was not reached is tried
// again before.
const joinTime = 10 * time.Second

// Joined waits until it is of use to ask the network: until this node has looked around among peers that answer, or
// has met as many as a lookup looks for, or Bootstrap had nowhere to go. Where nobody can be reached it waits for
// some seconds from the start, and never longer than ctx.
func (d *DHT) Joined(ctx context.Context) {
	select {
	case <-d.joined:
	case <-ctx.Done():
	case <-time.After(time.Until(d.joinBy)):
	}
}

// lookSoon has Run look around again after a first while, also when it has begun to wait already.
func (d *DHT) lookSoon() {
	d.mu.Lock()
	d.nextLook = d.config.Now().Add(d.lookAfter)
	d.mu.Unlock()
	select {
	case d.begun <- struct{}{}:
	default:
	}
}

// recall takes the remembered peers into the book, and lists whom to dial of them.
func (d *DHT) recall(ctx context.Context) ([]identity.Contact, error) {
	if d.config.Memory == nil {
		return nil, nil
	}
	peers, err := d.config.Memory.Load(ctx)
	if err != nil {
		return nil, err
	}
	peers = slices.DeleteFunc(peers, func(k Known) bool { return !identity.CheckWork(k.ID(), d.config.PowBits) })
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Recall(peers, redials), nil
}

// redials bounds how many remembered peers are dialled at a start. They know the others.
const redials = 64

// dialAll dials everyone, a few at a time, and counts who answered.
func (d *DHT) dialAll(ctx context.Context, addresses []string, remembered []identity.Contact) (answered int, errs []error) {
	var mu sync.Mutex // guards the results
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			answered++
		} else {
			errs = append(errs, err)
		}
	}
	var group sync.WaitGroup
	for _, a := range addresses {
		group.Go(func() { note(d.dialAddress(ctx, a)) })
	}
	group.Go(func() {
		d.each(remembered, func(c identity.Contact) {
			_, err := d.net.Dial(ctx, c)
			note(err)
		})
	})
	group.Wait()
	return answered, errs
}

// dialsAtOnce bounds how many remembered peers are dialled at a time.
const dialsAtOnce = 8

// each runs f for every contact, a few at a time.
func (d *DHT) each(contacts []identity.Contact, f func(identity.Contact)) {
	var group errgroup.Group
	group.SetLimit(dialsAtOnce)
	for _, c := range contacts {
		group.Go(func() error {
			f(c)
			return nil
		})
	}
	group.Wait()
}

// dialAddress dials one bootstrap address. This node's own is no failure: others list it too.
func (d *DHT) dialAddress(ctx context.Context, address string) error {
	id, host, port, err := parseAddress(address)
	if err != nil {
		return err
	}
	ips, err := d.resolve(ctx, host)
	if err != nil {
		return fmt.Errorf("bootstrap %s: %w", address, err)
	}
	var errs []error
	for _, ip := range ips {
		peer, err := d.net.Dial(ctx, identity.Contact{Addr: netip.AddrPortFrom(ip.Unmap(), port)})
		switch {
		case err != nil:
			errs = append(errs, err)
		case !id.IsZero() && peer.ID() != id:
			errs = append(errs, fmt.Errorf("%w: %s", quicnet.ErrWrongPeer, peer.ID()))
		default:
			return nil
		}
	}
	return fmt.Errorf("bootstrap %s: %w", address, errors.Join(errs...))
}

func (d *DHT) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ips, err := d.config.Resolve(ctx, host)
	if err == nil && len(ips) == 0 {
		err = errors.New("no address")
	}
	return ips, err
}

// ErrAddress tells that a bootstrap address is malformed.
var ErrAddress = errors.New(`not an address: want "host:port" or "nodeid@host:port"`)

// CheckAddress tells whether a bootstrap address can be understood.
func CheckAddress(address string) error {
	_, _, _, err := parseAddress(address)
	return err
}

func parseAddress(address string) (id sdk.NodeID, host string, port uint16, err error) {
	rest := address
	if name, after, found := strings.Cut(address, "@"); found {
		if id, err = sdk.ParseNodeID(name); err != nil {
			return id, "", 0, fmt.Errorf("%q: %w", address, ErrAddress)
		}
		rest = after
	}
	host, text, err := net.SplitHostPort(rest)
	n, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || host == "" || n == 0 {
		return id, "", 0, fmt.Errorf("%q: %w", address, ErrAddress)
	}
	return id, host, uint16(n), nil
}
