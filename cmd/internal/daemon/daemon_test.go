package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/signal.loop")) }

// start runs Main and gives its exit code and what it said.
func start(t *testing.T, serve Serve, env []string, args ...string) (code int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	code = Main(t.Context(), Process{Args: args, Env: env, Stderr: &stderr}, "1.2.3", serve)
	return code, stderr.String()
}

func TestFlagsBeforeEnvironmentBeforeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	text := "[network]\nlisten = \":1\"\nadvertise = \"x:1\"\n[metrics]\nlisten = \":1\"\n[log]\nformat = \"json\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(_ context.Context, cfg *config.Loaded, dataDir string, log *slog.Logger) error {
		n := cfg.Network
		if n.Listen != ":3" || cfg.Metrics.Listen != ":2" || n.Advertise != "x:1" || len(n.Bootstrap) != 2 || dataDir != "/data" {
			t.Errorf("got %+v, %+v, %s", n, cfg.Metrics, dataDir)
		}
		log.Info("ready")
		return nil
	}
	code, said := start(t, serve, []string{"TESSERAS_NETWORK__LISTEN=:2", "TESSERAS_METRICS__LISTEN=:2"},
		"--config", file, "--data-dir", "/data", "--listen", ":3", "--bootstrap", "a:1,b:2")
	if code != 0 || !strings.Contains(said, `"msg":"ready"`) {
		t.Errorf("exit %d: %s", code, said)
	}
}

func TestExitCodes(t *testing.T) {
	home := []string{"HOME=" + t.TempDir()}
	for name, c := range map[string]struct {
		args []string
		err  error
		code int
		want string
	}{
		"fine":         {nil, nil, 0, ""},
		"in use":       {nil, localapi.Fail(localapi.CodeInUse, "stop it", errors.New("held")), 11, "tesd: held\nhint: stop it\n"},
		"failed":       {nil, errors.New("boom"), 1, "tesd: boom\n"},
		"unknown flag": {[]string{"--lisen", ":1"}, nil, 2, "tesd: unknown flag: --lisen\nhint: tesd --help\n"},
		"argument":     {[]string{"start"}, nil, 2, "hint: tesd --help\n"},
		"bad value":    {[]string{"--listen", "here"}, nil, 2, `network.listen = "here" (flag --listen)`},
		"no such file": {[]string{"--config", "/nowhere/c.toml"}, nil, 2, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			serve := func(context.Context, *config.Loaded, string, *slog.Logger) error { return c.err }
			code, said := start(t, serve, home, c.args...)
			if code != c.code || !strings.Contains(said, c.want) {
				t.Errorf("exit %d, want %d: %s", code, c.code, said)
			}
		})
	}
}

func TestSignalEndsWell(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		serve := func(ctx context.Context, _ *config.Loaded, _ string, _ *slog.Logger) error {
			if err := syscall.Kill(os.Getpid(), s); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		if code, said := start(t, serve, []string{"HOME=" + t.TempDir()}); code != 0 {
			t.Errorf("%s: exit %d: %s", s, code, said)
		}
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := Logger(&out, config.Log{Level: "warn", Format: "text"})
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud") {
		t.Errorf("logged %q", got)
	}
	out.Reset()
	Logger(&out, config.Log{Level: "info", Format: "json"}).Info("loud")
	if got := out.String(); !strings.Contains(got, `"msg":"loud"`) {
		t.Errorf("logged %q", got)
	}
}
