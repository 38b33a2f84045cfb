// Package daemon answers: what does the process of a node do, from its command line to its exit code?
//
// tesd is nothing else, and `tes node` is the same for those who have only tes at hand.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

// Serve runs a node on a data directory until ctx ends, and logs "ready" when it answers.
type Serve func(ctx context.Context, cfg *config.Loaded, dataDir string, log *slog.Logger) error

// Process is what a program is started with.
type Process struct {
	Args   []string // without the program's name
	Env    []string // as os.Environ gives it
	Stderr io.Writer
}

// Main is all of tesd. It returns the exit code.
func Main(ctx context.Context, p Process, version string, serve Serve) int {
	begun := false
	var o Options
	cmd := &cobra.Command{
		Use:           "tesd",
		Short:         "Keep the owner's tesseras, and fragments of other people's",
		Long:          "tesd is a node: it keeps its owner's tesseras and fragments of other people's.\nIt runs in the foreground and needs no configuration. SIGTERM or Ctrl-C ends it.",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun = true
			return Run(cmd.Context(), p, o, cmd.Flags(), serve)
		},
	}
	cmd.SetArgs(p.Args)
	cmd.SetErr(p.Stderr)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.Flags().StringVar(&o.Config, "config", "", "configuration `FILE`")
	cmd.Flags().StringVar(&o.DataDir, "data-dir", "", "data `DIR` (default $XDG_DATA_HOME/tesseras)")
	AddFlags(cmd.Flags())
	err := cmd.ExecuteContext(ctx)
	if err != nil && !begun {
		err = localapi.Fail(localapi.CodeUsage, "tesd --help", err)
	}
	if err != nil {
		fmt.Fprint(p.Stderr, localapi.ErrorText("tesd", err))
	}
	return int(localapi.CodeOf(err))
}

// Options say where a node lives.
type Options struct {
	Config  string // file; "" searches
	DataDir string // "" is the default
}

// settings are the flags that stand for a key of the configuration.
var settings = []struct{ flag, key, placeholder, usage string }{
	{"listen", "network.listen", "HOST:PORT", "UDP address to listen on; port 0 takes a free one"},
	{"bootstrap", "network.bootstrap", "ADDR,ADDR", "nodes to ask first, host:port or nodeid@host:port"},
	{"metrics", "metrics.listen", "HOST:PORT", "serve Prometheus metrics here"},
}

// AddFlags adds the flags that stand for a key of the configuration.
func AddFlags(fs *pflag.FlagSet) {
	for _, s := range settings {
		fs.String(s.flag, "", "`"+s.placeholder+"`: "+s.usage)
	}
}

// Run runs a node as configured until ctx ends or a signal asks for the end; a second one kills.
func Run(ctx context.Context, p Process, o Options, fs *pflag.FlagSet, serve Serve) error {
	cfg, err := config.Load(config.Sources{File: o.Config, Env: p.Env, Flags: given(fs)})
	if err != nil {
		return misconfigured(err)
	}
	dataDir, err := config.DataDir(o.DataDir, p.Env)
	if err != nil {
		return err
	}
	log := Logger(p.Stderr, cfg.Log)
	// the transport would print what the node says better in its own log
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	told := make(chan struct{})
	ignore := context.AfterFunc(ctx, func() {
		defer close(told)
		stop()
		log.Info("stopping")
	})
	defer func() {
		if !ignore() {
			<-told
		}
	}()
	if err := serve(ctx, cfg, dataDir, log); err != nil && !(ctx.Err() != nil && errors.Is(err, context.Canceled)) {
		return err
	}
	return nil
}

// given are the flags somebody gave, as settings.
func given(fs *pflag.FlagSet) (flags []config.Flag) {
	for _, s := range settings {
		if f := fs.Lookup(s.flag); f != nil && f.Changed {
			flags = append(flags, config.Flag{Name: s.flag, Key: s.key, Value: f.Value.String()})
		}
	}
	return flags
}

// misconfigured tells that nothing was begun, so that a supervisor need not try again.
func misconfigured(err error) error {
	return localapi.Fail(localapi.CodeUsage, "tes config show --origin says what is set where", err)
}

// Logger writes as the configuration says.
func Logger(w io.Writer, c config.Log) *slog.Logger {
	var o slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err == nil { // else info: config has checked it
		o.Level = level
	}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, &o))
	}
	return slog.New(slog.NewTextHandler(w, &o))
}
