package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/host/policy/wasm/meter"
)

// The cache of compiled modules. Each lives in a folder of its own, named by everything it depends
// on, with a seal that lists the compiled file and its hash. It is native code that this process will
// run: the folder belongs to the user alone, and what does not match its seal is compiled again.
const (
	enginePath    = "github.com/tetratelabs/wazero"
	engineVersion = "v1.12.0" // as in go.mod

	sealName  = "seal"
	unusedFor = 30 * 24 * time.Hour // after which a compiled module goes
	brokenFor = time.Hour           // after which the remains of a compilation go
	lockPoll  = 20 * time.Millisecond
)

// DefaultCacheDir is where the nodes of a user share compiled modules.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "tesseras", "wasm"), nil
}

// cache is a folder of compiled modules.
type cache struct{ dir string }

func openCache(dir string) (*cache, error) {
	if err := vet.PrivateDir(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCache, err)
	}
	return &cache{dir}, nil
}

// compiled returns the folder with the compiled form of a module. What is not there yet, or damaged,
// is compiled by one process while the others wait.
func (c *cache) compiled(ctx context.Context, m *meter.Module, limits Limits) (string, error) {
	folder := filepath.Join(c.dir, entryName(m.Bytes))
	if intact(folder) {
		return folder, nil
	}
	unlock, err := c.lock(ctx, folder+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if intact(folder) {
		return folder, nil
	}
	if err := c.fill(ctx, folder, m, limits); err != nil {
		return "", err
	}
	if !intact(folder) { // the engine would compile in this process
		return "", fmt.Errorf("%w: what was compiled cannot be found again", ErrCache)
	}
	return folder, nil
}

// forget removes a compiled module, damaged or not.
func (c *cache) forget(folder string) error { return os.RemoveAll(folder) }

// fill compiles beside the folder and moves the result there.
func (c *cache) fill(ctx context.Context, folder string, m *meter.Module, limits Limits) error {
	c.sweep()
	fresh, err := os.MkdirTemp(c.dir, "compiling-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // nothing is left after the rename; else sweep takes it
	if err := compileInChild(ctx, m, fresh, limits); err != nil {
		return err
	}
	if err := seal(fresh); err != nil {
		return fmt.Errorf("%w: %w", ErrCache, err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return os.Rename(fresh, folder)
}

// lock waits until this process is the only one that compiles the module.
func (c *cache) lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another process that compiles: %w", context.Cause(ctx)), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

// sweep removes what nobody used for long. Errors are left for the next one to meet.
func (c *cache) sweep() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		limit := unusedFor
		if strings.HasPrefix(e.Name(), "compiling-") {
			limit = brokenFor
		}
		if time.Since(info.ModTime()) > limit {
			_ = os.RemoveAll(filepath.Join(c.dir, e.Name()))
		}
	}
}

// engineFolder is where the engine of this program keeps compiled code within the folder it is given:
// it goes by the version that the program was linked with, which tests do not know.
func engineFolder() string {
	version := ""
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, d := range info.Deps {
			if d.Path == enginePath {
				version = d.Version
			}
		}
	}
	if unknown(version) && ok {
		version = info.Main.Version
	}
	if unknown(version) {
		version = "dev"
	}
	return "wazero-" + version + "-" + runtime.GOARCH + "-" + runtime.GOOS
}

func unknown(version string) bool { return version == "" || version == "(devel)" }

// entryName names everything that compiled code depends on: the module, the compiler, and what this
// processor can do.
func entryName(module []byte) string {
	h := sha256.New()
	fmt.Fprintln(h, "tesseras wasm 1", engineVersion, engineFolder(), runtime.Version(), runtime.GOOS, runtime.GOARCH, cpu.X86, cpu.ARM64)
	h.Write(module)
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// seal writes down what a compiler left: one line "<blake3> <bytes> <path>" for each file.
func seal(folder string) error {
	var lines strings.Builder
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s %d %s\n", digest.Of(content), len(content), name)
		return nil
	})
	if err != nil {
		return err
	}
	if lines.Len() == 0 {
		return errors.New("the compiler left nothing")
	}
	return os.WriteFile(filepath.Join(folder, sealName), []byte(lines.String()), 0o600)
}

// intact tells whether a folder holds what its seal lists, where the engine looks for it, and notes
// that it is in use.
func intact(folder string) bool {
	text, err := os.ReadFile(filepath.Join(folder, sealName))
	if err != nil || len(text) == 0 || len(text) > 4096 {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if !matches(folder, strings.TrimSuffix(line, "\n")) {
			return false
		}
	}
	now := time.Now()
	return os.Chtimes(folder, now, now) == nil
}

func matches(folder, line string) bool {
	words := strings.SplitN(line, " ", 3)
	if len(words) != 3 || !filepath.IsLocal(words[2]) || filepath.Dir(words[2]) != engineFolder() {
		return false
	}
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || size > childFile {
		return false
	}
	want, err := digest.Parse(words[0])
	if err != nil {
		return false
	}
	f, err := os.OpenFile(filepath.Join(folder, words[2]), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return false
	}
	_, err = io.CopyBuffer(plainWriter{io.Discard}, digest.NewReader(f, want, size), make([]byte, readAtOnce))
	return err == nil
}

// readAtOnce is how many bytes of a compiled module are in memory while it is checked.
const readAtOnce = 256 << 10

// plainWriter hides what else a writer can do, such as reading with small buffers of its own.
type plainWriter struct{ io.Writer }
