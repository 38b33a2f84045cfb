package wasm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
)

// TestGoGuest builds a policy with the SDK for authors and has it do everything that a guest in Go can
// do wrong.
func TestGoGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mean.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, "./testdata/mean")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	as := func(how string) (*Policy, error) {
		return load(t, module, func(c *Config) {
			c.CacheDir = realCache
			c.Settings, c.Limits.Start = map[string]any{"how": how}, ample
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
	}
	for how, want := range map[string]error{
		"talk": nil, "read": nil, "panic": ErrGuest, "exit": ErrGuest, "grow": ErrGuest, "wait": ErrGuest,
		"loop": context.DeadlineExceeded, "recurse": context.DeadlineExceeded, "sleep": context.DeadlineExceeded, "goroutines": context.DeadlineExceeded,
	} {
		t.Run(how, func(t *testing.T) {
			p, err := as(how)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time in another instance
				admit(t, p, want)
			}
		})
	}
	for _, line := range []string{"level=WARN msg=careful", "panic: a bug"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	if strings.Contains(log.String(), "not kept") {
		t.Error("the log has what is not enabled")
	}
	var refused *vet.SettingError
	if _, err := as("nothing"); !errors.As(err, &refused) || refused.Key != "how" {
		t.Errorf("%v", err)
	}
}

// admit asks once, with time enough for what ends by itself.
func admit(t *testing.T, p *Policy, want error) {
	t.Helper()
	limit := ample
	if errors.Is(want, context.DeadlineExceeded) {
		limit = 100 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	b, err := p.Ask(ctx, sdk.RoleReciprocity, nil)
	if !errors.Is(err, want) {
		t.Fatalf("%x, %v, want %v", b, err, want)
	}
	if err != nil {
		return
	}
	var r sdk.AdmitResponse
	if err := r.UnmarshalVT(b); err != nil || r.Status != sdk.Status_PASS || r.Reason == "" {
		t.Errorf("%v, %v", &r, err)
	}
	if strings.Contains(r.Reason, "root:") {
		t.Error("it read a file of the host")
	}
}
