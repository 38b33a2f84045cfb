package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

// powBits is the proof of work of the nodes here: little, to start them soon.
const powBits = 4

// runNode is the hidden subcommand: a whole node, as tesd is one, until its input ends.
func runNode(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet(nodeCommand, flag.ContinueOnError)
	dir := f.String("dir", "", "data directory")
	listen := f.String("listen", "", "address")
	bootstrap := f.String("bootstrap", "", "a node to ask first")
	profile := f.String("profile", "", "file for a CPU profile")
	if err := f.Parse(args); err != nil {
		return err
	}
	stop, err := profileTo(*profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	cfg := nodeConfig(*listen, *bootstrap)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx = untilOrphaned(ctx)
	if err := host.Serve(ctx, &config.Loaded{Config: cfg}, *dir, log); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// nodeConfig is the default but for what would stand in the way of many publishes on one computer.
func nodeConfig(listen, bootstrap string) config.Config {
	const plenty = 1 << 40
	cfg := config.Default()
	cfg.Network.Listen, cfg.Network.PowBits = listen, powBits
	if bootstrap != "" {
		cfg.Network.Bootstrap = []string{bootstrap}
	}
	cfg.Storage.MinFree = 0
	cfg.Replication.PeerLimit, cfg.Replication.DeficitAllowance = plenty, plenty
	cfg.Replication.PerSubnet = 0 // not every system has more than one loopback address
	return cfg
}

// profileTo writes a CPU profile until stop; "" does nothing.
func profileTo(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// profileSelf profiles the bench itself, where profiles are wanted.
func (l *lab) profileSelf() (stop func() error, err error) {
	if l.profile == "" {
		return profileTo("")
	}
	return profileTo(filepath.Join(l.profile, "bench.pprof"))
}

// node is a child that is a whole node.
type node struct {
	*child
	dir    string
	addr   string
	client *localapi.Client
}

// startNode starts a node and waits until it serves.
func (l *lab) startNode(ctx context.Context, name, bootstrap string) (*node, error) {
	n := &node{dir: l.path(name)}
	args := []string{nodeCommand, "-dir", n.dir, "-listen", net.JoinHostPort(loopback(len(l.children)+1), "0"), "-bootstrap", bootstrap}
	if l.profile != "" {
		args = append(args, "-profile", filepath.Join(l.profile, name+".pprof"))
	}
	var err error
	if n.child, err = l.spawn(name, args...); err != nil {
		return nil, err
	}
	return n, n.await(ctx, "it to serve", func() (bool, error) {
		client, err := localapi.Dial(ctx, n.dir)
		if err != nil {
			return false, err
		}
		who, err := client.Identity(ctx)
		if err != nil || who.Addr == "" {
			return false, errors.Join(err, client.Close())
		}
		n.client, n.addr = client, who.Addr
		return true, nil
	})
}

// loopback is an address in a subnet of its own, where the system has such.
func loopback(i int) string {
	ip := fmt.Sprintf("127.0.%d.1", i%250+1)
	c, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	_ = c.Close() // it has told what we wanted to know
	return ip
}

// startHolders starts the nodes that keep fragments.
func (l *lab) startHolders(ctx context.Context, n int) (holders []*node, err error) {
	for i := range n {
		bootstrap := ""
		if i > 0 {
			bootstrap = holders[0].addr
		}
		h, err := l.startNode(ctx, fmt.Sprintf("holder-%d", i+1), bootstrap)
		if err != nil {
			return holders, err
		}
		holders = append(holders, h)
	}
	return holders, nil
}

// startMember starts a node beside the holders, and waits until it knows them all.
func (l *lab) startMember(ctx context.Context, name string) (*node, error) {
	holders, err := l.holding(ctx)
	if err != nil {
		return nil, err
	}
	n, err := l.startNode(ctx, name, holders[0].addr)
	if err != nil {
		return nil, err
	}
	err = n.await(ctx, "it to know the holders", func() (bool, error) {
		peers, err := n.client.Peers(ctx)
		return err == nil && len(peers) >= len(holders), err
	})
	if err == nil && !l.quick {
		time.Sleep(2 * time.Second) // its first maintenance round, a second after its start
	}
	return n, err
}

// publisher gives the node that publishes.
func (l *lab) publisher(ctx context.Context) (*node, error) {
	if l.owner != nil {
		return l.owner, nil
	}
	n, err := l.startMember(ctx, "owner")
	l.owner = n
	return n, err
}
