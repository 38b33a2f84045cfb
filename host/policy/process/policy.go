// Package process answers: what does a policy say that is a program of its own?
//
// The program is run over hashicorp/go-plugin: gRPC through a socket in a private folder, with keys
// made for this one run, from a private copy whose digest is checked at every start. It is killed when
// it does not answer in time, started again when it is gone, each time a little later, and does not
// outlive the host. That is isolation from its crashes, not a sandbox: a program can do what its user
// can.
package process

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/process/processv1"
)

// Runtime is the name of this runtime in logs and metrics.
const Runtime = "process"

var (
	// ErrProgram tells that the program failed: it does not start, is gone, or answers with nothing.
	ErrProgram = errors.New("the program failed")
	// ErrDigest tells that the program is another one than was configured, or than was loaded.
	ErrDigest = errors.New("the program is not the one configured")
	// ErrDown tells that the program is not running just now. It will be started again.
	ErrDown = errors.New("the program is not running")
)

// Policy is a program that is kept running. It is safe for concurrent use; close it.
type Policy struct {
	name        string
	limits      Limits
	log         *slog.Logger
	room        *room
	digest      []byte
	description *sdk.Description
	settings    []byte
	slots       chan struct{} // one for each question at once

	stop   context.CancelFunc
	keeper sync.WaitGroup
	closed sync.Once

	mu       sync.Mutex // guards below
	current  *run       // nil while there is none
	failure  error      // why there is none
	restarts int
}

// Load copies the program in a file, starts it, and hands it its settings. The path is not looked at
// again.
func Load(ctx context.Context, path string, config Config) (*Policy, error) {
	p := &Policy{name: config.Name, limits: config.Limits.withDefaults(), log: config.Log, stop: func() {}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("policy", p.name, "runtime", Runtime)
	p.slots = make(chan struct{}, p.limits.Concurrent)
	if err := p.load(ctx, path, config); err != nil {
		return nil, fmt.Errorf("load policy %s: %w", p.name, errors.Join(err, p.Close()))
	}
	return p, nil
}

func (p *Policy) load(ctx context.Context, path string, config Config) (err error) {
	dir := config.Dir
	if dir == "" {
		dir = DefaultDir()
	}
	if p.room, err = newRoom(dir); err != nil {
		return err
	}
	if p.digest, err = p.room.copyProgram(path, p.limits.Program); err != nil {
		return err
	}
	if err := checkDigest(p.digest, config.SHA256); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	p.stop = stop
	first := make(chan error, 1)
	p.keeper.Go(func() { p.keep(background, config.Settings, first) })
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keep has the program running until ctx ends. It tells the outcome of the first start; after a first
// failure it gives up.
//
// A program dies with the thread that started it, where the system offers that, so all are started
// from this one, which lives as long as the policy.
func (p *Policy) keep(ctx context.Context, table map[string]any, first chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	backoff := p.limits.Backoff
	for started := false; ; {
		r, err := p.begin(ctx, table)
		if !started {
			started = true
			first <- err
			if err != nil {
				return
			}
		}
		if err == nil {
			err = p.watch(ctx, r)
			if time.Since(r.since) >= p.limits.Healthy {
				backoff = p.limits.Backoff
			}
		}
		if ctx.Err() != nil {
			return
		}
		p.note(nil, err)
		p.log.Warn("the program is started again", "in", backoff, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, p.limits.MostBackoff)
	}
}

// begin starts the program and makes it ready for questions. Its settings are checked against what it
// says about itself the first time, and are the same from then on.
func (p *Policy) begin(ctx context.Context, table map[string]any) (*run, error) {
	r, err := p.startRun()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.limits.Start)
	defer cancel()
	if err := p.introduce(ctx, r, table); err != nil {
		r.end()
		return nil, err
	}
	p.note(r, nil)
	return r, nil
}

func (p *Policy) introduce(ctx context.Context, r *run, table map[string]any) (err error) {
	if p.description == nil {
		description, err := r.describe(ctx)
		if err != nil {
			return err
		}
		if p.settings, err = vet.Settings(description, table); err != nil {
			return err
		}
		p.description = description
	}
	return r.configure(ctx, p.settings)
}

// watch waits until the program is gone or ctx ends, and ends it.
func (p *Policy) watch(ctx context.Context, r *run) error {
	select {
	case <-r.program.ended:
	case <-ctx.Done():
	}
	p.note(nil, ErrDown)
	r.end()
	if r.program.err != nil {
		return fmt.Errorf("%w: %v", ErrProgram, r.program.err)
	}
	return fmt.Errorf("%w: it ended by itself", ErrProgram)
}

func (p *Policy) note(r *run, failure error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r != nil && p.failure != nil {
		p.restarts++
	}
	p.current, p.failure = r, failure
}

// Name is what the policy is called in configuration, logs and metrics.
func (p *Policy) Name() string { return p.name }

// Runtime is "process".
func (p *Policy) Runtime() string { return Runtime }

// Digest is the SHA-256 of the program, in hexadecimal.
func (p *Policy) Digest() string { return hex.EncodeToString(p.digest) }

// Description is what the program says about itself. It must not be changed.
func (p *Policy) Description() *sdk.Description { return p.description }

// Status is how a program fares.
type Status struct {
	PID      int   // 0 while it is not running
	Restarts int   // since it was loaded
	Failure  error // why it is not running
}

// Status tells how the program fares.
func (p *Policy) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Restarts: p.restarts, Failure: p.failure}
	if p.current != nil {
		s.PID = p.current.program.cmd.Process.Pid
	}
	return s
}

// Ask puts a question to the program. It returns when the program answered, failed, or the context
// ended; a program that misses a deadline is killed. While the program is being started again, the
// error is an ErrDown. The response is the caller's.
func (p *Policy) Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
	if !vet.Plays(p.description, role) {
		return nil, sdk.ErrRole
	}
	ctx, cancel := context.WithTimeout(ctx, p.limits.Call)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := p.running()
	if err != nil {
		return nil, err
	}
	r.log.Next()
	answer, err := r.policy.Ask(ctx, &processv1.AskRequest{Role: string(role), Request: request})
	if err != nil {
		return nil, p.failed(ctx, r, err)
	}
	switch n := len(answer.GetResponse()); {
	case n == 0:
		return nil, fmt.Errorf("%w: an empty answer", ErrProgram)
	case n > sdk.MaxResponse:
		return nil, tooLarge()
	}
	return answer.GetResponse(), nil
}

func tooLarge() error {
	return fmt.Errorf("%w: an answer of more than %d bytes", ErrProgram, sdk.MaxResponse)
}

// failed says in one line how a call went wrong, and kills a program that missed its deadline.
func (p *Policy) failed(ctx context.Context, r *run, err error) error {
	code := status.Code(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, code == codes.DeadlineExceeded: // its own clock may be ahead
		r.kill()
		return context.DeadlineExceeded
	case code == codes.Unavailable, code == codes.Canceled: // the program ended, or its end was seen first
		return fmt.Errorf("%w: it is gone", ErrProgram)
	case code == codes.ResourceExhausted:
		return tooLarge()
	}
	return fmt.Errorf("%w: %s", ErrProgram, vet.Clean(status.Convert(err).Message(), 300))
}

func (p *Policy) running() (*run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.current != nil:
		return p.current, nil
	case p.failure != nil && !errors.Is(p.failure, ErrDown):
		return nil, fmt.Errorf("%w: %w", ErrDown, p.failure)
	}
	return nil, ErrDown
}

// Close ends the program and removes what it left. Questions under way fail.
func (p *Policy) Close() (err error) {
	p.closed.Do(func() {
		p.stop()
		p.keeper.Wait()
		if p.room != nil {
			err = p.room.close()
		}
	})
	return err
}
