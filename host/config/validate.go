package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// Validate tells whether every value makes sense; what does not comes as an *Error.
func (c *Config) Validate() error {
	l := loader{Loaded: Loaded{Config: *c}}
	l.check()
	if len(l.complaints) > 0 {
		return &Error{l.complaints}
	}
	return nil
}

// check complains about values that are of the right kind but make no sense.
func (l *loader) check() {
	for _, rule := range rules(&l.Config) {
		if rule.err == nil {
			continue
		}
		f, _ := l.find(rule.key)
		l.complaints = append(l.complaints,
			fmt.Sprintf("%s = %s (%s): %v", rule.key, display(f.plain()), l.Origin(rule.key), rule.err))
	}
}

type rule struct {
	key string
	err error
}

func rules(c *Config) []rule {
	n, s, r, p := &c.Network, &c.Storage, &c.Replication, &c.Performance
	return []rule{
		{"network.listen", address(n.Listen)},
		{"network.advertise", optional(n.Advertise, reachable)},
		{"network.bootstrap", bootstraps(n.Bootstrap)},
		{"network.pow_bits", within(n.PowBits, 0, 32)},
		{"storage.sync", oneOf(s.Sync, SyncFull, SyncNormal)},
		{"storage.lock_wait", atLeast(s.LockWait, 0)},
		{"replication.replicas", within(r.Replicas, 1, 255)},
		{"replication.per_subnet", within(r.PerSubnet, 0, 255)},
		{"replication.concurrent_transfers", within(r.ConcurrentTransfers, 1, 64)},
		{"replication.repair_interval", atLeast(r.RepairInterval, 1)},
		{"replication.repair_jitter", jitter(r.RepairJitter, r.RepairInterval)},
		{"replication.proofs_per_holder", within(r.ProofsPerHolder, 0, 1024)},
		{"maintenance.scrub_period", atLeast(c.Maintenance.ScrubPeriod, 1)},
		{"performance.index_cache", atLeast(p.IndexCache, MiB)},
		{"performance.max_connections", within(p.MaxConnections, 1, 65535)},
		{"performance.idle_timeout", atLeast(p.IdleTimeout, 1)},
		{"performance.reaper_interval", atLeast(p.ReaperInterval, 1)},
		{"metrics.listen", optional(c.Metrics.Listen, address)},
		{"institutional.domain", optional(c.Institutional.Domain, domain)},
		{"log.level", oneOf(c.Log.Level, "debug", "info", "warn", "error")},
		{"log.format", oneOf(c.Log.Format, "text", "json")},
	}
}

func within(n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("want %d to %d", least, most)
	}
	return nil
}

func atLeast[T interface {
	~int64
	fmt.Stringer
}](v, least T,
) error {
	if v >= least {
		return nil
	}
	if least == 1 {
		return errors.New("want more than nothing")
	}
	return fmt.Errorf("want at least %s", least)
}

func oneOf(s string, choices ...string) error {
	if slices.Contains(choices, s) {
		return nil
	}
	return fmt.Errorf("want one of %s", strings.Join(choices, ", "))
}

func jitter(j, interval Duration) error {
	if j < 0 || j > interval {
		return fmt.Errorf("want at most replication.repair_interval, which is %s", interval)
	}
	return nil
}

func optional(s string, check func(string) error) error {
	if s == "" {
		return nil
	}
	return check(s)
}

var errAddress = errors.New(`want host:port, such as ":4433", "192.0.2.7:4433" or "[2001:db8::7]:4433"`)

// address is one to listen on: the host may be missing, the port may be 0.
func address(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errAddress
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errAddress
	}
	return nil
}

// reachable is an address that others can send to.
func reachable(s string) error {
	if err := address(s); err != nil {
		return err
	}
	if host, port, _ := net.SplitHostPort(s); host == "" || strings.Trim(port, "0") == "" {
		return errors.New("want a host and a port that others can send to")
	}
	return nil
}

func bootstraps(list []string) error {
	for _, b := range list {
		if _, _, err := ParseBootstrap(b); err != nil {
			return err
		}
	}
	return nil
}

// ParseBootstrap reads the address of a node to ask first: host:port, or nodeid@host:port, where the
// node found there has to have that id. The id is zero if none is given.
func ParseBootstrap(s string) (id sdk.NodeID, addr string, err error) {
	addr = s
	if hex, rest, found := strings.Cut(s, "@"); found {
		if id, err = sdk.ParseNodeID(hex); err != nil {
			return sdk.NodeID{}, "", fmt.Errorf("%q: the part before @ is %w", s, err)
		}
		addr = rest
	}
	if err := reachable(addr); err != nil {
		return sdk.NodeID{}, "", fmt.Errorf("%q: want host:port or nodeid@host:port", s)
	}
	return id, addr, nil
}

func domain(s string) error {
	for label := range strings.SplitSeq(s, ".") {
		letters := strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-")
		if label == "" || len(label) > 63 || letters != "" || len(s) > 253 {
			return errors.New(`want a domain name such as "library.example"`)
		}
	}
	return nil
}
