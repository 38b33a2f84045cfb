package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
)

const (
	// grace is what a call may take beyond its deadline.
	grace = 100 * time.Millisecond * slowdown * slowdown // the second is for memory that grows while the detector watches it
	// ample is the deadline of what ends by itself, on however busy a machine.
	ample = time.Minute
)

func load(t testing.TB, module []byte, change func(*Config)) (*Policy, error) {
	t.Helper()
	config := Config{Name: "guest", CacheDir: handCache, Limits: Limits{Start: ample}}
	if change != nil {
		change(&config)
	}
	p, err := Load(t.Context(), module, config)
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func TestSmallestGuest(t *testing.T) {
	module := guest{}.module()
	p, err := load(t, module, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair} {
		for range 3 {
			if b, err := p.Ask(t.Context(), role, []byte("anything")); err != nil || !bytes.Equal(b, []byte{8, byte(sdk.Status_PASS)}) {
				t.Errorf("%s: %x, %v", role, b, err)
			}
		}
	}
	if _, err := p.Ask(t.Context(), "cooking", nil); !errors.Is(err, sdk.ErrRole) {
		t.Errorf("another role: %v", err)
	}
	sum := sha256.Sum256(module)
	if p.Name() != "guest" || p.Runtime() != "wasm" || p.Digest() != hex.EncodeToString(sum[:]) || p.Description().Name != "by hand" {
		t.Errorf("%s, %s, %s, %v", p.Name(), p.Runtime(), p.Digest(), p.Description())
	}
}

// bomb is 300 KB of nested blocks in a function: what compilers need far more than linear time for.
func bomb() []byte {
	const depth = 100_000 // half a minute of computing
	return code(bytes.Repeat([]byte{0x02, wVoid}, depth), bytes.Repeat([]byte{wEnd}, depth))
}

// TestGuestsThatAreNotLoaded is the first half of the museum: what is wrong with each of them shows
// before it is asked anything.
func TestGuestsThatAreNotLoaded(t *testing.T) {
	good := guest{}.module()
	soon := func(c *Config) { c.Limits.Start = 500 * time.Millisecond * slowdown }
	says := func(change func(*sdk.Description)) []byte {
		d := &sdk.Description{Name: "x", Version: "1", Places: true, Decider: true}
		change(d)
		return guest{description: d}.module()
	}
	body := func(export string, parts ...any) []byte {
		return guest{code: map[string][]byte{export: code(parts...)}}.module()
	}
	tests := []struct {
		name   string
		module []byte
		change func(*Config)
		want   error
		text   string
	}{
		{"nothing", nil, nil, ErrModule, "no WebAssembly module"},
		{"text", []byte("(module)"), nil, ErrModule, "no WebAssembly module"},
		{"half", good[:len(good)/2], nil, ErrModule, "ends in the middle"},
		{"too large", append(good, make([]byte, 100)...), func(c *Config) { c.Limits.Module = len(good) }, ErrModule, "more than"},
		{"wrong digest", good, func(c *Config) { c.SHA256 = strings.Repeat("0", 64) }, ErrDigest, "its sha256 is"},
		{"no marker", guest{code: map[string][]byte{exportMarker: nil}}.module(), nil, ErrABI, exportMarker},
		{"ABI version 2", guest{marker: "tesseras_abi_v2", code: map[string][]byte{}}.module(), nil, ErrABI, "tesseras_abi_v1"},
		{"no alloc", guest{code: map[string][]byte{exportAlloc: nil}}.module(), nil, ErrABI, exportAlloc},
		{"alloc of another type", guest{types: map[string]byte{exportAlloc: typeTell}, code: map[string][]byte{exportAlloc: i64(0)}}.module(), nil, ErrABI, "another type"},
		{"no memory", guest{noMemory: true}.module(), nil, ErrABI, "no memory"},
		{"foreign import", guest{imports: []string{"env.system"}}.module(), nil, ErrImports, "env.system"},
		{"unknown WASI", guest{imports: []string{"wasi_snapshot_preview1.fork"}}.module(), nil, ErrImports, "fork"},
		{"import of another type", guest{imports: []string{"tesseras.log_enabled"}}.module(), nil, ErrGuest, "log_enabled"},
		{"not valid code", body(exportPlace, wAdd), nil, ErrCompile, ""},
		{"compile bomb", guest{extra: bomb()}.module(), func(c *Config) { c.Limits.Compile = time.Second }, ErrCompile, ""},
		{"memory beyond the limit", guest{pages: 2000}.module(), nil, ErrCompile, "pages"},
		{"table beyond the limit", guest{table: 1 << 27}.module(), nil, ErrModule, "entries"},
		{"trap at start", body("_initialize", wUnreachable), nil, ErrGuest, "unreachable"},
		{"trap in the start section", guest{start: "go", code: map[string][]byte{"go": code(wUnreachable)}}.module(), nil, ErrGuest, "unreachable"},
		{"loop at start", body("_initialize", forever()), soon, context.DeadlineExceeded, "start"},
		{"loop in the start section", guest{start: "go", code: map[string][]byte{"go": forever()}}.module(), soon, context.DeadlineExceeded, "start"},
		{"loop in describe", body(exportDescribe, forever()), soon, context.DeadlineExceeded, exportDescribe},
		{"describes nothing", body(exportDescribe, answers(0, 0)), nil, ErrGuest, "empty answer"},
		{"describes garbage", body(exportDescribe, answers(passAt, 1)), nil, vet.ErrDescription, ""},
		{"no name", says(func(d *sdk.Description) { d.Name = "" }), nil, vet.ErrDescription, "name"},
		{"plays no role", says(func(d *sdk.Description) { d.Places = false }), nil, vet.ErrDescription, "none of the three"},
		{"neither guard nor decider", says(func(d *sdk.Description) { d.Decider = false }), nil, vet.ErrDescription, "neither"},
		{"says what it does not export", guest{code: map[string][]byte{exportRepair: nil}}.module(), nil, ErrABI, exportRepair},
		{"settings without configure", says(func(d *sdk.Description) { d.Config = []*sdk.ConfigKey{{Key: "a", Kind: "int"}} }), nil, ErrABI, exportConfigure},
		{"unknown setting", good, func(c *Config) { c.Settings = map[string]any{"speed": "high"} }, vet.ErrSettings, "speed"},
		{"no such cache", good, func(c *Config) { c.CacheDir = "/dev/null/cache" }, nil, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.module, tt.change)
			if err == nil {
				t.Fatal("it was loaded")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

// fibonacci calls itself twice, without a loop and never deep: it would run for years.
func fibonacci(index uint32) []byte {
	return code(
		wGet, 0, i32(2), 0x49, wIf, wI64Type, i64(1), wElse, // less than 2
		wGet, 0, i32(1), wSub, wGet, 1, wCall, unsigned(index),
		wGet, 0, i32(2), wSub, wGet, 1, wCall, unsigned(index),
		0x7c, wEnd,
	)
}

// TestGuestsThatFail is the second half: they load, and then do harm when they are asked. In each
// case the call ends in time with an error, the memory comes back, and the same policy goes on.
func TestGuestsThatFail(t *testing.T) {
	loops := func(parts ...any) map[string][]byte { return map[string][]byte{exportPlace: forever(parts...)} }
	place := func(parts ...any) map[string][]byte { return map[string][]byte{exportPlace: code(parts...)} }
	const fill = 0xfc
	tests := []struct {
		name  string
		guest guest
		want  error
		text  string
	}{
		{"infinite loop", guest{code: loops()}, context.DeadlineExceeded, ""},
		{"loop in alloc", guest{code: map[string][]byte{exportAlloc: forever()}}, context.DeadlineExceeded, exportAlloc},
		{"deep recursion", guest{code: place(wGet, 0, wGet, 1, wCall, unsigned(placeIndex))}, ErrGuest, "stack overflow"},
		{"wide recursion", guest{code: place(i32(90), i32(0), wCall, unsigned(extraIndex)), extra: fibonacci(extraIndex), extraType: typeAnswer}, context.DeadlineExceeded, ""},
		{"memory growth", guest{code: loops(i32(1), wGrow, 0, wDrop)}, context.DeadlineExceeded, ""},
		{"memory growth at once", guest{code: loops(i32(1023), wGrow, 0, wDrop)}, context.DeadlineExceeded, ""},
		{"moves memory", guest{pages: 1000, code: loops(bytes.Repeat(code(i32(0), i32(1), i32(1000*wasmPage), fill, 11, 0), 200))}, context.DeadlineExceeded, ""},
		{"table growth", guest{table: 1, code: loops(0xd0, 0x70, i32(1<<20), fill, 15, 0, wDrop)}, context.DeadlineExceeded, ""},
		{"fills its table", guest{table: 1 << 18, code: loops(bytes.Repeat(code(i32(0), 0xd0, 0x70, i32(1<<18), fill, 17, 0), 200))}, context.DeadlineExceeded, ""},
		{"trap", guest{code: place(wUnreachable)}, ErrGuest, "unreachable"},
		{"exit", guest{imports: []string{exitImport}, code: place(i32(3), wCall, 0, wUnreachable)}, ErrGuest, "code 3"},
		{"division by zero", guest{code: place(i64(1), i64(0), 0x7f)}, ErrGuest, "divide by zero"},
		{"no place for the request", guest{code: map[string][]byte{exportAlloc: i32(0)}}, ErrGuest, exportAlloc},
		{"a place outside its memory", guest{code: map[string][]byte{exportAlloc: i32(wasmPage - 1)}}, ErrGuest, exportAlloc},
		{"empty answer", guest{code: place(answers(passAt, 0))}, ErrGuest, "empty"},
		{"answer outside its memory", guest{code: place(answers(wasmPage-1, 2))}, ErrGuest, "outside"},
		{"answer far outside", guest{code: place(answers(0xffffffff, 0xffff))}, ErrGuest, "outside"},
		{"oversized answer", guest{pages: 100, code: place(answers(0, sdk.MaxResponse+1))}, ErrGuest, "at most"},
		{"answer of 4 GiB", guest{code: place(answers(0, 0xffffffff))}, ErrGuest, "at most"},
		{"floods the log", guest{imports: []string{logImport}, code: loops(i32(2), i32(0), i32(wasmPage), wCall, 0)}, context.DeadlineExceeded, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { failAndRecover(t, tt.guest, tt.want, tt.text) })
	}
}

func failAndRecover(t *testing.T, g guest, want error, text string) {
	p, err := load(t, g.module(), nil)
	if err != nil {
		t.Fatal(err)
	}
	deadline := 50 * time.Millisecond
	if errors.Is(want, ErrGuest) {
		deadline = ample // it ends by itself
	}
	before, fastest := heap(), time.Hour
	for try := 0; try < 3 || try < 20 && fastest > grace; try++ {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		start := time.Now()
		b, err := p.Ask(ctx, sdk.RolePlacement, []byte{1, 2, 3})
		took := time.Since(start)
		cancel()
		if err == nil {
			t.Fatalf("it answered %x", b)
		}
		if want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %v with %q", err, want, text)
		}
		fastest = min(fastest, took-deadline)
	}
	if fastest > grace { // in no try, though the machine may have other things to do
		t.Errorf("the calls ended %v after their deadline", fastest)
	}
	if _, alloc := g.code[exportAlloc]; !alloc {
		if b, err := p.Ask(t.Context(), sdk.RoleRepair, []byte{1}); err != nil || len(b) != 2 {
			t.Errorf("it does not go on: %x, %v", b, err)
		}
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("%d MiB of memory did not come back", (after-before)>>20)
	}
}

// heap is how many bytes are in use once everything unused is collected.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
