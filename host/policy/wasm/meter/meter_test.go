package meter

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tesseras/tesseras/plugins"
)

// sections is a module by its sections; what is nil is left out.
type sections map[byte][]byte

func (s sections) module() []byte {
	out := []byte(header)
	for _, id := range inOrder {
		if content := s[id]; content != nil {
			out = appendSized(append(out, id), content)
		}
	}
	return out
}

// one is a module of one exported function "f", (i32) -> (), with a memory, a table and a global.
func one(code ...byte) sections {
	body := append(append([]byte{0}, code...), opEnd)
	return sections{
		sectionType:     {1, 0x60, 1, typeI32, 0},
		sectionFunction: {1, 0},
		sectionTable:    {1, 0x70, 0, 2},
		sectionMemory:   {1, 0, 1},
		sectionGlobal:   {1, typeI32, 1, opI32Const, 0, opEnd},
		sectionExport:   {1, 1, 'f', 0, 0},
		sectionCode:     appendSized([]byte{1}, body),
	}
}

// change replaces one section.
func (s sections) change(id byte, content ...byte) sections {
	s[id] = content
	return s
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		s    sections
		text string
	}{
		{"no code", one().change(sectionCode), "no functions"},
		{"imports a memory", one().change(sectionImport, 1, 1, 'm', 1, 'n', 2, 0, 1), "not a function"},
		{"a structure", one().change(sectionType, 1, 0x5f, 0), "no function"},
		{"typed reference as parameter", one().change(sectionType, 1, 0x60, 2, 0x64, 0, 0), "type"},
		{"function without a type", one().change(sectionFunction, 1, 7), "without a type"},
		{"more code than functions", one().change(sectionFunction, 2, 0, 0), "without code"},
		{"table of something", one().change(sectionTable, 1, 0x40, 0, 0x70, 0, 1), "table"},
		{"large table", one().change(sectionTable, 1, 0x70, 0, 0x80, 0x80, 0x80, 0x08), "entries"},
		{"many globals", one().change(sectionGlobal, 0x80, 0x80, 0x80, 0x01), "globals"},
		{"exports the counter", one().change(sectionExport, 1, 1, 'c', 3, 1), "global"},
		{"fills tables for long", one().change(sectionElement, make([]byte, mostElementBytes+1)...), "fills"},
		{"reads the counter", one(opGlobalGet, 1, 0x1a), "global"},
		{"writes the counter", one(opI32Const, 9, opGlobalSet, 1), "global"},
		{"tail call", one(opLocalGet, 0, 0x12, 0), "0x12"},
		{"exceptions", one(0x06, blockEmpty, opEnd), "0x06"},
		{"threads", one(0xfe, 3, 0), "0xfe"},
		{"second memory", one(opMemorySize, 1, 0x1a), "second memory"},
		{"typed reference as block type", one(opBlock, 0x64, 0x41, 3, blockEmpty, opEnd), "type"},
		{"overlong block type", one(opBlock, 0xe4, 0x7f, opEnd), "type"},
		{"null of a typed reference", one(opRefNull, 0x64, 0, 0x1a), "type"},
		{"relaxed vectors", one(opVector, 0x80, 0x02), "0xfd"},
		{"unknown conversion", one(opMore, 18), "0xfc"},
		{"too many variables", one().change(sectionCode, 1, 7, 1, 0x80, 0x80, 0x80, 0x08, typeI32, opEnd), "variables"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Rewrite(tt.s.module()); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %q", err, tt.text)
			}
		})
	}
	for name, module := range map[string][]byte{
		"unknown section": append(one().module(), 13, 0),
		"section twice":   append(one().module(), sectionMemory, 3, 1, 0, 1),
		"not a module":    []byte("\x00asm\x02\x00\x00\x00"),
	} {
		if _, err := Rewrite(module); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestOutline reads imports and exports, and drops custom sections.
func TestOutline(t *testing.T) {
	s := one(opLocalGet, 0, opCall, 0).change(sectionImport, 1, 3, 'e', 'n', 'v', 1, 'g', 0, 0).change(sectionExport, 2, 1, 'f', 0, 1, 3, 'm', 'e', 'm', 2, 0)
	module := append(s.module(), sectionCustom, 6, 4, 'n', 'a', 'm', 'e', 0)
	m, err := Rewrite(module)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Imports, []string{"env.g"}) || !slices.Equal(m.Exports, []string{"f", "mem"}) || m.Yield != 2 {
		t.Errorf("%v, %v, %d", m.Imports, m.Exports, m.Yield)
	}
	if bytes.Contains(m.Bytes, []byte("name")) {
		t.Error("the custom section is still there")
	}
}

// yields runs "f" of a module and counts how often it gives way.
func yields(t *testing.T, module []byte, argument uint64) (n int) {
	t.Helper()
	m, err := Rewrite(module)
	if err != nil {
		t.Fatal(err)
	}
	ctx := experimental.WithFunctionListenerFactory(t.Context(), experimental.FunctionListenerFactoryFunc(
		func(f api.FunctionDefinition) experimental.FunctionListener {
			if f.Index() != m.Yield {
				return nil
			}
			return experimental.FunctionListenerFunc(func(context.Context, api.Module, api.FunctionDefinition, []uint64, experimental.StackIterator) { n++ })
		}))
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	instance, err := r.Instantiate(ctx, m.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.ExportedFunction("f").Call(ctx, argument); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGivesWay counts for everything that can take long. The first call of a module gives way at once.
func TestGivesWay(t *testing.T) {
	tests := []struct {
		name     string
		code     []byte
		argument uint64
		least    int
		most     int
	}{
		{"nothing", nil, 0, 1, 1},
		{"a loop", []byte{
			opLoop, blockEmpty,
			opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0,
			opEnd,
		}, 1_000_000, 60, 62},
		{"a long loop", append(append([]byte{opLoop, blockEmpty}, bytes.Repeat([]byte{opI32Const, 1, 0x1a}, 640)...),
			opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd), 10_000, 18, 21},
		{"recursion", []byte{ // f(n): if n != 0 { f(n-1); f(n-1) }
			opLocalGet, 0, opIf, blockEmpty,
			opLocalGet, 0, opI32Const, 1, opI32Sub, opCall, 0, opLocalGet, 0, opI32Const, 1, opI32Sub, opCall, 0,
			opEnd,
		}, 20, 127, 130},
		{"moving memory", []byte{ // 64 KiB a thousand times
			opLoop, blockEmpty,
			opI32Const, 0, opI32Const, 0, opI32Const, 0x80, 0x80, 4, opMore, 10, 0, 0,
			opI32Const, 0, opI32Const, 0, opI32Const, 0x80, 0x80, 4, opMore, 11, 0,
			opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0,
			opEnd,
		}, 1000, 8, 10},
		{"growing", []byte{
			opLoop, blockEmpty, opI32Const, 0, opMemoryGrow, 0, 0x1a,
			opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd,
		}, 1000, 16, 18},
		{"tables", []byte{
			opLoop, blockEmpty, opI32Const, 0, opRefNull, 0x70, opI32Const, 0, opMore, 17, 0,
			opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd,
		}, 1000, 62, 65},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if n := yields(t, one(tt.code...).module(), tt.argument); n < tt.least || n > tt.most {
				t.Errorf("gave way %d times, want %d to %d", n, tt.least, tt.most)
			}
		})
	}
}

// TestTablesAreBounded: the rewritten table cannot grow beyond its bound.
func TestTablesAreBounded(t *testing.T) {
	code := []byte{opRefNull, 0x70, opI32Const, 0x80, 0x80, 0xc0, 0, opMore, 15, 0, opI32Const, 0x7f, 0x46, 0x04, 0x40, 0x0f, opEnd, 0x00}
	m, err := Rewrite(one(code...).module()) // traps unless growing by a million fails
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(t.Context())
	instance, err := r.Instantiate(t.Context(), m.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.ExportedFunction("f").Call(t.Context(), 0); err != nil {
		t.Error("the table grew:", err)
	}
}

// TestRealModule: what is added to a real module, and that it is taken twice.
func TestRealModule(t *testing.T) {
	module, err := plugins.DefaultModule()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Rewrite(module)
	if err != nil {
		t.Fatal(err)
	}
	if grown := len(m.Bytes) * 100 / len(module); grown > 140 {
		t.Errorf("the module grew to %d %%", grown)
	}
	again, err := Rewrite(m.Bytes)
	if err != nil || again.Yield != m.Yield+1 || !slices.Equal(again.Exports, m.Exports) {
		t.Errorf("%v", err)
	}
}

// FuzzRewrite: nothing makes it panic or write without bound, and what it wrote it takes again.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(one(opLoop, blockEmpty, opEnd).module())
	f.Add(one(opI32Const, 0, opI32Const, 0, opI32Const, 9, opMore, 11, 0, opI32Const, 1, opMemoryGrow, 0, 0x1a).module())
	f.Add(one(opLocalGet, 0, opBrTable, 1, 0, 0, opVector, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x1a).module())
	f.Add(one(opLocalGet, 0, opCall, 0).change(sectionImport, 1, 3, 'e', 'n', 'v', 1, 'g', 0, 0).module())
	f.Fuzz(func(t *testing.T, module []byte) {
		m, err := Rewrite(module)
		if err != nil {
			return
		}
		if len(m.Bytes) > 40*len(module)+1<<10 {
			t.Fatalf("%d bytes became %d", len(module), len(m.Bytes))
		}
		again, err := Rewrite(m.Bytes)
		if err != nil {
			t.Fatalf("its own work is refused: %v", err)
		}
		if !slices.Equal(again.Imports, m.Imports) || !slices.Equal(again.Exports, m.Exports) {
			t.Fatalf("imports or exports changed")
		}
	})
}
