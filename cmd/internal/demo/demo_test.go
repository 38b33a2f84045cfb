package demo

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSampleIsMediumAndRepeatable(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, dir := range []string{a, b} {
		if err := writeSample(dir, 7); err != nil {
			t.Fatal(err)
		}
	}
	if difference, err := compare(a, b); err != nil || difference != "" {
		t.Fatalf("two samples of one seed differ: %s %v", difference, err)
	}
	var total int64
	files, err := tree(a)
	if err != nil {
		t.Fatal(err)
	}
	for path := range files {
		info, err := os.Stat(filepath.Join(a, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	if total < 15<<19 || total > 17<<19 {
		t.Errorf("the sample has %d bytes, want about 8 MiB", total)
	}
}

func TestCompareFindsEveryKindOfDifference(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"a byte":           func(d string) error { return os.WriteFile(filepath.Join(d, "sub", "f"), []byte("worlD"), 0o600) },
		"a longer file":    func(d string) error { return os.WriteFile(filepath.Join(d, "sub", "f"), []byte("world!"), 0o600) },
		"a missing file":   func(d string) error { return os.Remove(filepath.Join(d, "sub", "f")) },
		"one file more":    func(d string) error { return os.WriteFile(filepath.Join(d, "g"), nil, 0o600) },
		"a missing folder": func(d string) error { return os.Remove(filepath.Join(d, "empty")) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			for _, d := range []string{a, b} {
				if err := writeFile(d, "sub/f", []byte("world")); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(filepath.Join(d, "empty"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if difference, err := compare(a, b); err != nil || difference != "" {
				t.Fatalf("equal folders differ: %q %v", difference, err)
			}
			if err := change(b); err != nil {
				t.Fatal(err)
			}
			if difference, err := compare(a, b); err != nil || difference == "" {
				t.Errorf("not noticed (%v)", err)
			}
		})
	}
}
