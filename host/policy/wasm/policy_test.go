package wasm

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// TestDefaultsAreTheirSource asks the embedded module what the same source says natively.
func TestDefaultsAreTheirSource(t *testing.T) {
	p, oracle := loadDefault(t), native.New("native", plugins.Default())
	for role, request := range map[sdk.Role][]byte{
		sdk.RolePlacement: placeRequest(t, 72, 200), sdk.RoleReciprocity: {0xff}, sdk.RoleRepair: nil,
	} {
		want, err := oracle.Ask(t.Context(), role, request)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got, err := p.Ask(t.Context(), role, request); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: another answer than natively: %v", role, err)
			}
		}
	}
	if d := p.Description(); !d.Places || !d.Admits || !d.Repairs || !d.Decider || d.Guard || d.Name != "spread+fair-share+thinnest-first" {
		t.Errorf("describes itself as %v", d)
	}
}

// TestMemoryOfAnInstance: the usual question takes a quarter of what an instance may have.
func TestMemoryOfAnInstance(t *testing.T) {
	i, err := loadDefault(t).newInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if _, err := i.ask(t.Context(), exportPlace, placeRequest(t, 72, 200)); err != nil {
		t.Fatal(err)
	}
	if i.memory() > 16<<20 {
		t.Errorf("%d MiB", i.memory()>>20)
	}
}

// TestLargestRequest: what the schema allows fits into an instance's memory.
func TestLargestRequest(t *testing.T) {
	p := loadDefault(t)
	r := &sdk.RepairRequest{Weather: &sdk.Weather{PeersAsked: 9}}
	for i := range sdk.MaxTesseras {
		r.Tesseras = append(r.Tesseras, &sdk.TesseraHealth{Tessera: id("tessera", i), Missing: 3, SurvivesPeers: uint32(i % 9), Recoverable: true, CostBytes: 1 << 30})
	}
	request, err := r.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	want, err := native.New("native", plugins.Default()).Ask(t.Context(), sdk.RoleRepair, request)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Ask(t.Context(), sdk.RoleRepair, request); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d tesseras: %v", sdk.MaxTesseras, err)
	}
}

// counting counts its questions in memory and tells the number in every answer.
func counting() guest {
	count := code(i32(100), i32(100), 0x28, 2, 0, i32(1), wAdd, 0x36, 2, 0) // [100]++
	says := code(i32(passAt), i32(100), 0x28, 2, 0, 0x3a, 0, 1, 0x0b)       // status byte at passAt+1
	says = says[:len(says)-1]
	body := code(count, says, answers(passAt, 2))
	return guest{code: map[string][]byte{exportPlace: body, exportAdmit: body, exportRepair: body}}
}

// TestLeases: a placement and a repair never meet what an earlier question left; admissions share.
func TestLeases(t *testing.T) {
	p, err := load(t, counting().module(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(role sdk.Role) byte {
		b, err := p.Ask(t.Context(), role, []byte{1})
		if err != nil || len(b) != 2 {
			t.Fatal(b, err)
		}
		return b[1]
	}
	for range 3 {
		if n := ask(sdk.RolePlacement); n != 1 {
			t.Errorf("a placement met %d questions before it", n-1)
		}
		if n := ask(sdk.RoleRepair); n != 1 {
			t.Errorf("a repair met %d questions before it", n-1)
		}
	}
	for want := byte(1); want <= 3; want++ {
		if n := ask(sdk.RoleReciprocity); n != want {
			t.Errorf("admission %d was number %d of its instance", want, n)
		}
	}
}

// TestPoisonedInstancesAreClosed: an instance that failed once is never asked again.
func TestPoisonedInstancesAreClosed(t *testing.T) {
	g := counting()
	g.code[exportAdmit] = code(
		i32(100), 0x28, 2, 0, wIf, wVoid, wUnreachable, wEnd, // the second question traps
		g.code[exportAdmit],
	)
	p, err := load(t, g.module(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		b, err := p.Ask(t.Context(), sdk.RoleReciprocity, []byte{1})
		if failed := err != nil; failed != (i%2 == 1) {
			t.Errorf("question %d: %x, %v", i+1, b, err)
		}
	}
}

func TestQuestionsAtOnce(t *testing.T) {
	p := loadDefault(t)
	request := placeRequest(t, 24, 24)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, role := range []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity} {
				if b, err := p.Ask(t.Context(), role, request); err != nil || len(b) < 2 {
					t.Errorf("%s: %x, %v", role, b, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestClose ends questions under way, and leaves nothing.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p, err := Load(t.Context(), guest{code: map[string][]byte{exportPlace: forever()}}.module(), Config{Name: "guest", CacheDir: handCache})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error)
	go func() {
		_, err := p.Ask(context.Background(), sdk.RolePlacement, []byte{1})
		asked <- err
	}()
	for len(p.stock.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-asked; err == nil {
		t.Error("it answered")
	}
	for range 2 {
		if _, err := p.Ask(t.Context(), sdk.RoleRepair, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// echo keeps its settings and answers every question with them.
func echo(keys ...*sdk.ConfigKey) guest {
	const kept, length = 8192, 100
	return guest{
		description: &sdk.Description{Name: "echo", Version: "1", Places: true, Guard: true, Config: keys},
		code: map[string][]byte{
			exportConfigure: code(
				i32(kept), wGet, 0, wGet, 1, 0xfc, 10, 0, 0, // memory.copy
				i32(length), wGet, 1, 0x36, 2, 0,
				i32(200), i32(0x0108), 0x36, 2, 0, answers(200, 2), // status OK
			),
			exportPlace: code(i64(kept<<32), i32(length), 0x28, 2, 0, 0xad, 0x84), // i64.or of the length
			exportAdmit: nil, exportRepair: nil,
		},
	}
}

func TestSettingsReachEveryInstance(t *testing.T) {
	p, err := load(t, echo(
		&sdk.ConfigKey{Key: "limit", Kind: "size"}, &sdk.ConfigKey{Key: "night.from", Kind: "int", DefaultValue: "22"},
	).module(), func(c *Config) { c.Settings = map[string]any{"limit": "3KiB"} })
	if err != nil {
		t.Fatal(err)
	}
	want, err := (&sdk.ConfigureRequest{Settings: []*sdk.Setting{{Key: "limit", Values: []string{"3072"}}, {Key: "night.from", Values: []string{"22"}}}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if b, err := p.Ask(t.Context(), sdk.RolePlacement, []byte{1}); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%q, %v", b, err)
		}
	}
	if _, err := p.Ask(t.Context(), sdk.RoleRepair, nil); !errors.Is(err, sdk.ErrRole) {
		t.Errorf("a role it does not play: %v", err)
	}
}

func TestRefusedSettings(t *testing.T) {
	says, err := (&sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "limit", Reason: "at least 1 GiB"}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	g := echo(&sdk.ConfigKey{Key: "limit", Kind: "size"})
	var body []byte
	for i, b := range says {
		body = append(body, code(i32(int64(300+i)), i32(int64(b)), 0x3a, 0, 0)...)
	}
	g.code[exportConfigure] = code(body, answers(300, uint32(len(says))))
	_, err = load(t, g.module(), nil)
	var refused *vet.SettingError
	if !errors.As(err, &refused) || refused.Key != "limit" || refused.Detail != "at least 1 GiB" {
		t.Errorf("%v", err)
	}
}

// TestSurroundings: clock and randomness are the same for every instance and every machine.
func TestSurroundings(t *testing.T) {
	const at = 1000
	p, err := load(t, guest{imports: []string{randomImport, clockImport}, code: map[string][]byte{
		exportPlace: code(
			i32(at), i32(16), wCall, 0, wDrop,
			i32(0), i64(0), i32(at+16), wCall, 1, wDrop, // the time of day
			i32(1), i64(0), i32(at+24), wCall, 1, wDrop, // the time since something
			answers(at, 32),
		),
	}}.module(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString("d9877ece6d368aac1a6f419ec627c76b" + "0000000000000000" + "0100000000000000")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if b, err := p.Ask(t.Context(), sdk.RolePlacement, nil); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%x, %v", b, err)
		}
	}
}

func TestLogOfAGuest(t *testing.T) {
	var log bytes.Buffer
	g := guest{imports: []string{logImport}, code: map[string][]byte{
		exportPlace: code(
			i32(2), i32(describeAt+2), i32(7), wCall, 0, // the name in its description, "by hand"
			i32(0), i32(describeAt+2), i32(7), wCall, 0, // debug: not kept
			i32(3), i32(wasmPage-1), i32(7), wCall, 0, // outside its memory
			answers(passAt, 2),
		),
	}}
	p, err := load(t, g.module(), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(t.Context(), sdk.RolePlacement, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `level=WARN msg="by hand" policy=guest runtime=wasm`) {
		t.Errorf("the log has\n%s", text)
	}
}

func TestLoadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(path, guest{}.module(), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadFile(t.Context(), path, Config{Name: "file"}) // no cache
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.cacheDir); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.cacheDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its own cache is still there: %v", err)
	}
	if _, err := LoadFile(t.Context(), path, Config{Name: "file", Limits: Limits{Module: 10}}); !errors.Is(err, ErrModule) {
		t.Errorf("too large: %v", err)
	}
	if _, err := LoadFile(t.Context(), path+"x", Config{Name: "file"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestTheHookIsWanted(t *testing.T) {
	armed.Store(false)
	defer armed.Store(true)
	if _, err := Load(t.Context(), guest{}.module(), Config{Name: "guest"}); err == nil || !strings.Contains(err.Error(), "MaybeCompileChild") {
		t.Errorf("%v", err)
	}
}
