package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/plugins/reciprocity"
	"github.com/tesseras/tesseras/plugins/repair"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

// The test binary is also the program that is loaded, and the host that is killed.
const (
	guestVariable = "TESSERAS_TEST_GUEST"
	hostVariable  = "TESSERAS_TEST_HOST"
)

func TestMain(m *testing.M) {
	wasm.MaybeCompileChild()
	if kind := os.Getenv(guestVariable); kind != "" {
		beGuest(kind)
		return
	}
	if path := os.Getenv(hostVariable); path != "" {
		beHost(path)
		return
	}
	os.Exit(m.Run())
}

// programOf writes a program that is the test binary in the form of a guest.
func programOf(t testing.TB, kind string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), kind)
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s'\n", guestVariable, kind, self)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// defaults are the policies of the museum's only honest guest.
func defaults() []any {
	return []any{placement.Spread{}, reciprocity.FairShare{}, repair.ThinnestFirst{}}
}

// beGuest is the life of a guest: it keeps to the protocol up to the point it is named for.
func beGuest(kind string) {
	switch kind {
	case "honest":
		guest.Register(defaults()...)
	case "exits at start":
		os.Exit(7)
	case "says nothing":
		time.Sleep(time.Hour)
	case "says garbage":
		fmt.Println("hello | world")
		time.Sleep(time.Hour)
	case "listens elsewhere":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc|")
		time.Sleep(time.Hour)
	case "no handshake beyond the line":
		fmt.Printf("1|1|unix|%s/none|grpc|%s\n", os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), strings.Repeat("A", 100))
		time.Sleep(time.Hour)
	case "hangs in describe":
		guest.Register(describer{func() *sdk.Description { time.Sleep(time.Hour); return nil }})
	case "describes nothing":
		guest.Register(describer{func() *sdk.Description { return &sdk.Description{} }})
	case "refuses its settings":
		guest.Register(refuser{})
	default:
		guest.Register(mean{kind})
	}
	process.Main()
}

type describer struct{ describe func() *sdk.Description }

func (d describer) Describe() *sdk.Description { return d.describe() }

func (describer) Place(*sdk.PlaceRequest) *sdk.PlaceResponse { return nil }

type refuser struct{ mean }

func (refuser) Configure(*sdk.ConfigureRequest) *sdk.ConfigureResponse {
	return &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "speed", Reason: "not today"}
}

// busy is what a guest computes that never gives way.
var busy int

// mean misbehaves when it is asked for a placement, and answers other questions.
type mean struct{ kind string }

func (m mean) Describe() *sdk.Description {
	return &sdk.Description{Name: "mean", Version: "1", Decider: true, Config: []*sdk.ConfigKey{{Key: "speed", Kind: "int"}}}
}

func (m mean) Repair(*sdk.RepairRequest) *sdk.RepairResponse {
	return &sdk.RepairResponse{Status: sdk.Status_PASS}
}

func (m mean) Place(*sdk.PlaceRequest) *sdk.PlaceResponse {
	pass := &sdk.PlaceResponse{Status: sdk.Status_PASS}
	switch m.kind {
	case "hangs":
		select {}
	case "hangs and ignores signals":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		for n := 0; ; n++ {
			busy = n
		}
	case "stops itself":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "replies late":
		time.Sleep(300 * time.Millisecond)
	case "exits":
		os.Exit(3)
	case "panics":
		panic("a bug")
	case "floods its log":
		for {
			guest.Log(guest.Warn, strings.Repeat("x", 4000))
		}
	case "floods without a line":
		for {
			_, _ = os.Stderr.WriteString(strings.Repeat("x", 64<<10))
		}
	case "answers too much":
		pass.Reason = strings.Repeat("x", sdk.MaxResponse+1)
	case "answers nothing":
		return &sdk.PlaceResponse{}
	case "leaves a child":
		cmd := exec.Command("sleep", "1000")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		pass.Reason = fmt.Sprint(cmd.Process.Pid)
	case "talks":
		guest.Log(guest.Info, "placing")
		guest.Log(guest.Error, "something \x1b[31m red")
	}
	return pass
}

// beHost loads a program, tells its number, and waits to be killed.
func beHost(path string) {
	p, err := Load(context.Background(), path, Config{Name: "orphan", Dir: os.Getenv("TESSERAS_TEST_DIR")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Status().PID)
	time.Sleep(time.Hour)
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
