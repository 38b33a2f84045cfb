package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASuiteIsRunAgain(t *testing.T) {
	t.Run("a case", func(t *testing.T) {
		t.Setenv(EnvSizes, "nightly")
		want := "TESSERAS_SIZES=nightly TESSERAS_TEST_SEED=7 go test ./host/internal/suite -run '^TestASuiteIsRunAgain$/^a_case$'"
		if got := again(t, 7); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
	t.Setenv(EnvSeed, "18446744073709551615")
	if got := Seed(t); got != 1<<64-1 {
		t.Errorf("seed %d", got)
	}
}

func TestWhatWasExecutedIsWrittenDown(t *testing.T) {
	name := filepath.Join(t.TempDir(), "suites")
	t.Setenv(EnvSuites, name)
	Size{CI: 2, Nightly: 2}.Executed(t, 3, "cases")
	Size{CI: 1, Nightly: 1}.Executed(t, 1, "others")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || strings.TrimSpace(lines[0]) != "3 cases (./host/internal/suite TestWhatWasExecutedIsWrittenDown)" {
		t.Errorf("%q", lines)
	}
}
