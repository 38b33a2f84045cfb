package wasm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// compiledFile is the one file of compiled code in a cache.
func compiledFile(t *testing.T, dir string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != sealName && !strings.HasSuffix(path, ".lock") {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatal("no compiled file:", err)
	}
	return found
}

// TestEngineVersion: code that another version compiled must not be found.
func TestEngineVersion(t *testing.T) {
	goMod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/tetratelabs/wazero " + engineVersion; !strings.Contains(string(goMod), want) {
		t.Errorf("go.mod does not ask for %s", want)
	}
}

func loadInto(t *testing.T, dir string) error {
	t.Helper()
	p, err := Load(t.Context(), guest{}.module(), Config{Name: "guest", CacheDir: dir})
	if err != nil {
		return err
	}
	return p.Close()
}

func TestCompiledOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	if err := loadInto(t, dir); err != nil {
		t.Fatal(err)
	}
	armed.Store(false) // nothing can be compiled any more
	defer armed.Store(true)
	if err := loadInto(t, dir); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestOneCompilesTheOthersWait: many nodes start at once on an empty cache.
func TestOneCompilesTheOthersWait(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := loadInto(t, dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 { // the module and its lock
		t.Errorf("%v, %v", entries, err)
	}
}

// TestDamagedCache: what does not match its seal is compiled again, and never run.
func TestDamagedCache(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string) error{
		"a flipped bit": func(t *testing.T, dir string) error {
			path := compiledFile(t, dir)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
		"cut short": func(t *testing.T, dir string) error { return os.Truncate(compiledFile(t, dir), 10) },
		"gone":      func(t *testing.T, dir string) error { return os.Remove(compiledFile(t, dir)) },
		"no seal": func(t *testing.T, dir string) error {
			return os.Remove(filepath.Join(filepath.Dir(filepath.Dir(compiledFile(t, dir))), sealName))
		},
		"of another engine": func(t *testing.T, dir string) error {
			of := filepath.Dir(compiledFile(t, dir))
			folder := filepath.Dir(of)
			err := errors.Join(os.Rename(of, of+"-v2"), os.Remove(filepath.Join(folder, sealName)))
			return errors.Join(err, seal(folder))
		},
		"sealed nonsense": func(t *testing.T, dir string) error {
			path := compiledFile(t, dir)
			if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
				return err
			}
			folder := filepath.Dir(filepath.Dir(path))
			if err := os.Remove(filepath.Join(folder, sealName)); err != nil {
				return err
			}
			return seal(folder)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			if err := loadInto(t, dir); err != nil {
				t.Fatal(err)
			}
			if err := damage(t, dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := loadInto(t, dir); err != nil {
					t.Error(err)
				}
			}
			if !intact(filepath.Dir(filepath.Dir(compiledFile(t, dir)))) {
				t.Error("the cache is still damaged")
			}
		})
	}
}

func TestCacheThatOthersCanWriteTo(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if err := loadInto(t, dir); !errors.Is(err, ErrCache) {
		t.Errorf("%v", err)
	}
}

func TestCacheForgetsWhatNobodyUses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ages := map[string]time.Duration{"old": unusedFor + time.Hour, "recent": unusedFor - time.Hour, "compiling-1": brokenFor + time.Minute, "compiling-2": 0}
	for name, age := range ages {
		path, then := filepath.Join(dir, name), time.Now().Add(-age)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	if err := loadInto(t, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"old": false, "recent": true, "compiling-1": false, "compiling-2": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
