package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/policy/wasm"
)

// TestMain lets the test program be the children that the bench starts from it.
func TestMain(m *testing.M) {
	wasm.MaybeCompileChild()
	if isPolicyChild() || len(os.Args) > 1 && (os.Args[1] == nodeCommand || os.Args[1] == peerCommand) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestQuickMeasuresEveryStepAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	figures := filepath.Join(t.TempDir(), "figures.json")
	o, err := parse([]string{"-quick", "-dir", dir, "-json", figures}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	var saved struct{ Rows []row }
	text, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	measured := map[string]row{}
	for _, r := range saved.Rows {
		measured[r.Step] = r
	}
	for _, step := range []string{
		"encode 16+8", "encode 48+24", "decode 48+24 all parity", "rebuild 16+8 one shard", "put 1 MiB", "put 8 MiB", "verified read",
		"create 300 small files", "create one big file", "publish to 8 processes", "fetch from 8 processes", "small request",
		"place 72x200 wasm", "place 24x24 wasm, ready", "place 72x200 process",
	} {
		if r := measured[step]; r.Seconds <= 0 || r.Bound <= 0 || r.Ratio <= 0 {
			t.Errorf("%s: %+v", step, r)
		}
	}
	for _, step := range []string{"load policies, first time", "load policies"} {
		if r := measured[step]; r.Seconds <= 0 {
			t.Errorf("%s: %+v", step, r)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestChildrenEndWithTheBench(t *testing.T) {
	l, err := newLab(options{size: quickSize, quick: true, dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.startNode(t.Context(), "node", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.startRawPeers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	children := l.children
	if err := l.close(); err != nil {
		t.Error(err)
	}
	for _, c := range children {
		select {
		case <-c.exited:
		default:
			t.Errorf("%s still runs", c.name)
		}
		if !c.cmd.ProcessState.Success() {
			t.Errorf("%s ended with %v: %s", c.name, c.cmd.ProcessState, c.lastWords())
		}
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out, false)
	r.add(row{Step: "one", Bytes: 256 * mib, Seconds: 0.5, Bound: 0.41, Ratio: 0.82, Parts: []partTime{{Name: "a part", Form: "as it is"}}}.atLeast(0.8))
	r.add(row{Step: "two", Bytes: mib, Seconds: 2, Bound: 1, Ratio: 0.5}.within(1.15).noted("twice as long"))
	r.add(row{Step: "three", Value: 70, Unit: "MiB"}.noted("hope 64"))
	r.parts()
	for _, want := range []string{
		`one +256 MiB +0.500 s +0.54 +0.410 s +0.65 +0.82 +0.80 +ok`,
		`two .* 0.50 +1.15x +BELOW  twice as long`,
		`three +70 MiB, hope 64`,
		`a part .*as it is`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line %q in\n%s", want, &out)
		}
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"-size 0", "-size 2000", "-run (", "word", "-nonsense"} {
		if _, err := parse(strings.Fields(bad), &bytes.Buffer{}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	o, err := parse([]string{"-quick", "-size", "1024", "-run", "put"}, os.Stderr)
	if err != nil || o.size != quickSize || o.rounds != 1 || !o.match.MatchString("put 1 MiB") {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestRawCodeTakesEveryByte(t *testing.T) {
	l := &lab{random: make([]byte, 3*mib+17)}
	fillRandom(l.random)
	for _, lost := range [][]int{nil, {0}, {0, 1, 2, 3, 4, 5, 6, 7}} {
		for _, f := range l.rawCode(16, 8, lost).forms {
			t.Run(fmt.Sprint(lost, f.name), func(t *testing.T) {
				if err := f.run(t.Context(), l.timer(nil)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
