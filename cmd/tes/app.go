package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

// process is what the program is started with, and what the house gives it.
type process struct {
	args           []string // without the program's name
	env            []string // as os.Environ gives it
	stdin          io.Reader
	stdout, stderr io.Writer

	serve daemon.Serve
	open  openFunc
}

// openFunc opens a data directory in this process, making it where it is missing.
type openFunc func(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger) (localapi.Backend, io.Closer, error)

// app is one run of the program.
type app struct {
	process

	// the global flags
	dataDirFlag, configFlag       string
	json, quiet, verbose, yes     bool
	begun                         bool   // the command line was understood
	verb                          string // what is being done, for errors
	stdoutTerminal, stdinTerminal bool
	stderrTerminal                bool
}

// run does what the arguments say and returns the exit code.
func run(p process) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second Ctrl-C ends the program at once
	a := &app{
		process:        p,
		stdinTerminal:  isTerminal(p.stdin),
		stdoutTerminal: isTerminal(p.stdout),
		stderrTerminal: isTerminal(p.stderr),
	}
	root := a.root()
	root.SetArgs(p.args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return int(localapi.CodeOK)
	case ctx.Err() != nil:
		err = localapi.Fail(localapi.CodeInterrupted, "", fmt.Errorf("%s: interrupted", a.verb))
	case !a.begun:
		err = localapi.Fail(localapi.CodeUsage, a.helpFor(root), err)
	case !strings.HasPrefix(err.Error(), a.verb+":") && !strings.HasPrefix(err.Error(), a.verb+" "):
		err = fmt.Errorf("%s: %w", a.verb, err) // unless it says so itself
	}
	a.complain(err)
	return int(localapi.CodeOf(err))
}

// complain says what went wrong.
func (a *app) complain(err error) {
	// flags after a wrong one are not read any more
	if a.json || !a.begun && slices.Contains(a.args, "--json") {
		fmt.Fprintf(a.stderr, "%s\n", localapi.ErrorJSON(err))
		return
	}
	fmt.Fprint(a.stderr, localapi.ErrorText("tes", err))
}

// helpFor names the help of the verb that was meant.
func (a *app) helpFor(root *cobra.Command) string {
	if cmd, _, err := root.Find(a.args); err == nil {
		return cmd.CommandPath() + " --help"
	}
	return "tes --help"
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) dataDir() (string, error) { return config.DataDir(a.dataDirFlag, a.env) }

func (a *app) config() (*config.Loaded, error) {
	cfg, err := config.Load(config.Sources{File: a.configFlag, Env: a.env})
	if err != nil {
		return nil, localapi.Fail(localapi.CodeUsage, "correct the setting, or name another file with --config", err)
	}
	return cfg, nil
}

// log is what this process says of its own work; a running node has its own log.
func (a *app) log() *slog.Logger {
	level := "warn"
	switch {
	case a.quiet:
		level = "error"
	case a.verbose:
		level = "debug"
	}
	return daemon.Logger(a.stderr, config.Log{Level: level, Format: "text"})
}

// running connects to the node, for what needs the network.
func (a *app) running(ctx context.Context) (*localapi.Client, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	c, err := localapi.Dial(ctx, dir)
	if errors.Is(err, localapi.ErrNoDaemon) {
		return nil, localapi.Fail(localapi.CodeNoDaemon, "start one with: "+a.command("tesd"), err)
	}
	return c, err
}

// existing connects to the node, or opens the data directory, which has to be there.
func (a *app) existing(ctx context.Context) (*localapi.Client, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	return localapi.Connect(ctx, dir, func(ctx context.Context, dir string) (localapi.Backend, io.Closer, error) {
		_, err := os.Stat(filepath.Join(dir, "identity"))
		switch {
		case errors.Is(err, syscall.ENOTDIR):
			return nil, nil, localapi.Fail(localapi.CodeNotFound, "name a folder with --data-dir", fmt.Errorf("%s is not a folder", dir))
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, localapi.Fail(localapi.CodeNotFound, a.command("tes init"), fmt.Errorf("there is no data directory at %s", dir))
		case err != nil:
			return nil, nil, err
		}
		return a.openHere(ctx, dir)
	}, a.log())
}

// either connects to the node, or opens the data directory, making it where it is missing.
func (a *app) either(ctx context.Context) (*localapi.Client, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	return localapi.Connect(ctx, dir, a.openHere, a.log())
}

func (a *app) openHere(ctx context.Context, dir string) (localapi.Backend, io.Closer, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	backend, closer, err := a.open(ctx, &cfg.Config, dir, a.log())
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		err = localapi.Fail(localapi.CodeFailed, "make it writable for this user, or choose another with --data-dir",
			fmt.Errorf("data directory %s: %w", dir, err))
	}
	return backend, closer, err
}

// command is a command line for the person to type, on the same data directory.
func (a *app) command(words string) string {
	dir := a.dataDirFlag
	if dir == "" {
		return words // the environment and the default are the same next time
	}
	program, verb, _ := strings.Cut(words, " ")
	return strings.TrimSpace(program + " --data-dir " + shellWord(dir) + " " + verb)
}

func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@~", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
