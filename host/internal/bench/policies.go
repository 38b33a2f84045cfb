package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/host/policy/process"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	program "github.com/tesseras/tesseras/sdk/process"
)

// What a call to the default policies may take, beside the same call natively, and loading them.
const (
	wasmGoal    = 15 * time.Millisecond
	readyGoal   = 3 * time.Millisecond
	processGoal = 3 * time.Millisecond
	coldGoal    = 2 * time.Second
	warmGoal    = 300 * time.Millisecond
)

// isPolicyChild tells whether a node started this program as a policy.
func isPolicyChild() bool { return os.Getenv(program.Handshake().MagicCookieKey) != "" }

// bePolicies is the default policies as a program.
func bePolicies() {
	set := plugins.Default()
	guest.Register(set.Placement, set.Reciprocity, set.Repair)
	program.Main()
}

// asked is a policy that is measured.
type asked interface {
	Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error)
	Close() error
}

func policySteps(l *lab) []step {
	module := func(ctx context.Context) (asked, error) { return l.module(ctx, "compiled") }
	// a node has time between two questions, in which it makes the next instance
	soon := func() { time.Sleep(30 * time.Millisecond) }
	return []step{
		l.loadStep("load policies, first time", coldGoal, true),
		l.loadStep("load policies", warmGoal, false),
		l.placeStep("place 72x200 wasm", 72, 200, wasmGoal, nil, module),
		l.placeStep("place 24x24 wasm, ready", 24, 24, readyGoal, soon, module),
		l.placeStep("place 72x200 process", 72, 200, processGoal, nil, func(ctx context.Context) (asked, error) {
			self, err := os.Executable()
			if err != nil {
				return nil, err
			}
			return process.Load(ctx, self, process.Config{Name: plugins.DefaultName})
		}),
	}
}

// module loads the module that every node carries. Its compiled form is kept in a folder.
func (l *lab) module(ctx context.Context, cache string) (*wasm.Policy, error) {
	content, err := plugins.DefaultModule()
	if err != nil {
		return nil, err
	}
	return wasm.Load(ctx, content, wasm.Config{Name: plugins.DefaultName, CacheDir: l.path(cache)})
}

// placeStep asks for a placement under a node's deadline, and the same policy linked into this program.
func (l *lab) placeStep(name string, fragments, candidates int, goal time.Duration, pause func(), load func(context.Context) (asked, error)) step {
	return step{name, func(ctx context.Context) (rows []row, err error) {
		p, err := load(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		request, err := placement(fragments, candidates)
		if err != nil {
			return nil, err
		}
		linked := native.New(plugins.DefaultName, plugins.Default())
		times := 40 * l.rounds
		if l.quick {
			times = 3
		}
		l.settle()
		r, err := duel(ctx, name, int64(len(request)), times, pause,
			func(int) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err := p.Ask(ctx, sdk.RolePlacement, request)
				return err
			},
			func(int) error {
				_, err := linked.Ask(ctx, sdk.RolePlacement, request)
				return err
			})
		return []row{r.below(goal)}, err
	}}
}

// loadStep loads the module as a node does at its start, once it or another has compiled it, or before.
func (l *lab) loadStep(name string, goal time.Duration, first bool) step {
	return step{name, func(ctx context.Context) ([]row, error) {
		if _, err := os.Stat(l.path("compiled")); err != nil {
			if err := l.loadOnce(ctx, "compiled"); err != nil {
				return nil, err
			}
		}
		l.settle()
		var fastest time.Duration
		for i := range l.rounds {
			cache := "compiled"
			if first {
				cache = fmt.Sprintf("compiled-%d", i)
			}
			begun := time.Now()
			if err := l.loadOnce(ctx, cache); err != nil {
				return nil, err
			}
			if took := time.Since(begun); i == 0 || took < fastest {
				fastest = took
			}
		}
		return []row{row{Step: name, Seconds: fastest.Seconds()}.below(goal)}, nil
	}}
}

func (l *lab) loadOnce(ctx context.Context, cache string) error {
	p, err := l.module(ctx, cache)
	if err != nil {
		return err
	}
	return p.Close()
}

// placement asks for places for so many fragments on so many peers, described as a node does.
func placement(fragments, candidates int) ([]byte, error) {
	r := &sdk.PlaceRequest{
		Tessera: numbered("tessera", 0), DataShards: uint32(fragments * 2 / 3), ParityShards: uint32(fragments / 3), Intent: sdk.Intent_NEW,
		Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range fragments {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: mib, Copies: 1})
	}
	for i := range candidates {
		r.Candidates = append(r.Candidates, &sdk.Candidate{
			Id: numbered("peer", i), Subnet: []byte{10, byte(i >> 8), byte(i)}, Operator: "operator of this peer", Country: "CH",
			Labels: []*sdk.Label{{Key: "site", Value: "north"}}, Nearness: uint32(i % 9), FreeBytes: 1 << 40, BalanceBytes: int64(i) << 20,
			ProofSuccessPpm: 990_000, ProofsAsked: 40, UptimePpm: 950_000, RoundTripMs: 30, AgeS: 86_400,
		})
	}
	return r.MarshalVT()
}

// numbered is the n-th id of a kind.
func numbered(kind string, n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(kind), uint64(n)))
	return h[:]
}
