package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/process"
	"github.com/tesseras/tesseras/sdk/process/processv1"
)

// overhead is what an encoded message has beside its bytes.
const overhead = 1 << 10

// run is a program that runs and can be asked.
type run struct {
	program *program
	client  *plugin.Client
	policy  processv1.PolicyClient
	log     *vet.Log
	since   time.Time
}

// startRun starts the program and connects to it. It must be called from the thread that keeps it alive.
func (p *Policy) startRun() (*run, error) {
	p.room.tidy()
	r := &run{log: vet.NewLog(p.log, p.limits.Log), since: time.Now()}
	r.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  process.Handshake(),
		Plugins:          plugin.PluginSet{process.PluginName: &process.Plugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     p.limits.Start,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.room.dir},
		Logger:           hclog.NewNullLogger(), // the program's own words come through Stderr
		Stderr:           r.output(p.limits.Flood, slog.LevelWarn),
		SyncStdout:       r.output(p.limits.Flood, slog.LevelInfo),
		SyncStderr:       r.output(p.limits.Flood, slog.LevelWarn),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(sdk.MaxResponse+overhead), grpc.MaxCallSendMsgSize(sdk.MaxRequest+overhead),
		)},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			r.program = newProgram(p.room, p.digest, cmd.Env)
			return r.program, nil
		},
	})
	if err := r.connect(p.limits.Start); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// connect shakes hands. Whatever the program does, it is over when the time is.
func (r *run) connect(limit time.Duration) error {
	if _, err := r.client.Start(); err != nil {
		return r.notStarted(err)
	}
	late := time.AfterFunc(limit, r.kill)
	defer late.Stop()
	connection, err := r.client.Client()
	if err != nil {
		return fmt.Errorf("%w: connect: %s", ErrProgram, oneLine(err))
	}
	service, err := connection.Dispense(process.PluginName)
	if err != nil {
		return fmt.Errorf("%w: connect: %s", ErrProgram, oneLine(err))
	}
	r.policy = service.(processv1.PolicyClient)
	return nil
}

// notStarted says why there was no handshake. A program that ended by itself tells more by how it did
// than by what it did not say.
func (r *run) notStarted(err error) error {
	if errors.Is(err, ErrDigest) {
		return err
	}
	if r.program != nil && r.program.cmd.Process != nil {
		select {
		case <-r.program.ended:
			if state := r.program.cmd.ProcessState; state != nil && state.Exited() {
				return fmt.Errorf("%w: start: it ended by itself, %v", ErrProgram, state)
			}
		case <-time.After(linger):
		}
	}
	return fmt.Errorf("%w: start: %s", ErrProgram, oneLine(err))
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return vet.Clean(line, 300)
}

// describe asks the program what it is.
func (r *run) describe(ctx context.Context) (*sdk.Description, error) {
	answer, err := r.policy.Describe(ctx, &processv1.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("%w: describe: %s", ErrProgram, oneLine(err))
	}
	return vet.Description(answer.GetDescription())
}

// configure hands the program its settings.
func (r *run) configure(ctx context.Context, settings []byte) error {
	answer, err := r.policy.Configure(ctx, &processv1.ConfigureRequest{Settings: settings})
	if err != nil {
		return fmt.Errorf("%w: configure: %s", ErrProgram, oneLine(err))
	}
	return vet.Configured(answer.GetResponse())
}

// kill ends the program at once.
func (r *run) kill() {
	if r.program != nil && r.program.cmd.Process != nil {
		_ = r.program.Kill(context.Background())
	}
}

// end kills the program and lets go of all that belonged to it.
func (r *run) end() {
	if r.program == nil || r.program.cmd.Process == nil {
		return
	}
	r.kill()
	<-r.program.ended
	r.client.Kill()
}

// output logs what the program writes, and kills one that writes without end.
func (r *run) output(flood int, level slog.Level) *output {
	return &output{lines: r.log.Writer(level), run: r, flood: flood}
}

type output struct {
	lines *vet.LineWriter
	run   *run
	flood int
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.lines.Write(p)
	if o.run.log.Cut() > o.flood {
		o.run.kill()
	}
	return n, err
}
