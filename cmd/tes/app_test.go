package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// fake is a backend of which a test uses only what it sets.
type fake struct {
	localapi.Backend
	create  func(ctx context.Context, folder io.Reader) (localapi.Created, error)
	packed  localapi.Packed
	damage  []localapi.Damage
	deleted bool
}

func (f *fake) Create(ctx context.Context, folder io.Reader) (localapi.Created, error) {
	return f.create(ctx, folder)
}

func (f *fake) Pack(context.Context, sdk.TesseraID) (localapi.Packed, error) { return f.packed, nil }

func (f *fake) Verify(_ context.Context, id sdk.TesseraID, _ localapi.ProgressFunc) (localapi.Verified, error) {
	return localapi.Verified{ID: id, Files: 2, Damage: f.damage}, nil
}

func (f *fake) Status(_ context.Context, id sdk.TesseraID) (localapi.Status, error) {
	return localapi.Status{ID: id, Title: "ours"}, nil
}

func (f *fake) Delete(_ context.Context, id sdk.TesseraID) (localapi.Deleted, error) {
	f.deleted = true
	return localapi.Deleted{ID: id}, nil
}

const anID = "abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd"

// try runs tes on a backend of the test's.
func try(t *testing.T, backend localapi.Backend, openErr error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = run(process{
		args: append([]string{"--data-dir", dir}, args...), env: []string{"HOME=" + dir},
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		open: func(context.Context, *config.Config, string, *slog.Logger) (localapi.Backend, io.Closer, error) {
			return backend, closer{}, openErr
		},
	})
	return code, out.String(), errs.String()
}

type closer struct{}

func (closer) Close() error { return nil }

func TestCtrlCLeavesNothingHalfDone(t *testing.T) {
	photos := t.TempDir()
	if err := os.WriteFile(filepath.Join(photos, "a"), make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := make(chan bool, 1)
	backend := &fake{create: func(_ context.Context, folder io.Reader) (localapi.Created, error) {
		_, _ = io.CopyN(io.Discard, folder, 1<<20)
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
		_, err := io.Copy(io.Discard, &slow{folder})
		whole <- err == nil
		return localapi.Created{}, err
	}}
	code, stdout, stderr := try(t, backend, nil, "create", photos)
	if code != 130 || stdout != "" || stderr != "tes: create: interrupted\n" {
		t.Errorf("exit %d, said %q and %q", code, stdout, stderr)
	}
	if <-whole {
		t.Error("the stream went on to its end")
	}
}

// slow takes seconds for what is read through it, which is long for a signal to arrive.
type slow struct{ io.Reader }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 4096)])
}

func TestDamageIsNamedAndExits1(t *testing.T) {
	index := 3
	backend := &fake{damage: []localapi.Damage{{Path: "a\x1bb", Problem: "gone"}, {Fragment: &index, Problem: "rotten"}}}
	code, stdout, stderr := try(t, backend, nil, "verify", anID)
	if code != 1 || !strings.Contains(stdout, "a%1Bb: gone") || !strings.Contains(stdout, "fragment 3: rotten") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if !strings.Contains(stderr, "tes: verify: abcdabcdabcd: 2 damaged parts\nhint: ") {
		t.Errorf("said %q", stderr)
	}
}

func TestBrokenStreamLeavesNoFolder(t *testing.T) {
	cause := localapi.Fail(localapi.CodeCannotRestore, "later", errors.New("too few"))
	backend := &fake{packed: localapi.Packed{Size: 1, Write: func(io.Writer) error { return cause }}}
	dest := filepath.Join(t.TempDir(), "out")
	code, _, stderr := try(t, backend, nil, "export", anID, dest)
	if code != 14 || !strings.Contains(stderr, "too few") || !strings.Contains(stderr, "hint: later") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if left, err := os.ReadDir(filepath.Dir(dest)); err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}

func TestDataDirWithoutPermission(t *testing.T) {
	for _, cause := range []error{syscall.EACCES, syscall.EROFS} {
		code, _, stderr := try(t, nil, &os.PathError{Op: "open", Path: "x", Err: cause}, "list")
		if code != 1 || !strings.Contains(stderr, "tes: list: data directory /") || !strings.Contains(stderr, "hint: make it writable") {
			t.Errorf("%v: exit %d: %s", cause, code, stderr)
		}
	}
}

func TestAFolderThatCannotBeWrittenIsNamedAsItWasTyped(t *testing.T) {
	for cause, want := range map[error]string{
		syscall.EACCES:  "a place where this user may write",
		syscall.EROFS:   "a place where this user may write",
		syscall.ENOTDIR: "a part of that path is a file",
	} {
		err := unwritten("out", fmt.Errorf("unpack: %w", &os.PathError{Op: "mkdirat", Path: ".out.partial-x", Err: cause}))
		if err.Error() != "write out: "+cause.Error() || !strings.Contains(localapi.HintOf(err), want) {
			t.Errorf("%v, hint %q", err, localapi.HintOf(err))
		}
	}
}

func TestConfirm(t *testing.T) {
	for reply, want := range map[string]error{"y\n": nil, "YES\n": nil, "n\n": errDeclined, "\n": errDeclined, "": errDeclined} {
		var asked bytes.Buffer
		a := &app{stdinTerminal: true, stderrTerminal: true}
		a.stdin, a.stderr = strings.NewReader(reply), &asked
		if err := a.confirm(t.Context(), "Sure?"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", reply, err, want)
		}
		if asked.String() != "Sure? [y/N] " {
			t.Errorf("asked %q", asked.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, end := io.Pipe()
	defer end.Close()
	a := &app{stdinTerminal: true, stderrTerminal: true}
	a.stdin, a.stderr = silent, io.Discard
	if err := a.confirm(ctx, "Sure?"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	backend := &fake{}
	if code, _, _ := try(t, backend, nil, "delete", anID); code != 2 || backend.deleted {
		t.Errorf("with nobody there: exit %d, deleted %v", code, backend.deleted)
	}
	if code, _, _ := try(t, backend, nil, "delete", anID, "--yes"); code != 0 || !backend.deleted {
		t.Errorf("with --yes: exit %d, deleted %v", code, backend.deleted)
	}
}

func TestMeterOnATerminal(t *testing.T) {
	a := &app{stderrTerminal: true}
	a.stderr = io.Discard
	m := a.meter()
	for _, p := range []localapi.Progress{
		{Stage: "looking"},
		{Stage: "pushing", Done: 1, Total: 2, Unit: localapi.Bytes},
		{Stage: "pushing", Done: 2, Total: 3, Unit: localapi.Bytes},
		{Stage: "waiting", Done: 1, Total: 24, Unit: localapi.Fragments},
	} {
		m.report(p)
	}
	n, err := io.Copy(io.Discard, m.counter("reading", 10).reader(strings.NewReader("0123456789")))
	if n != 10 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	m.close()
	m.close() // once by hand, once deferred
	quiet := &app{stderrTerminal: true, quiet: true}
	quiet.meter().close()
}

func TestSentences(t *testing.T) {
	now := localapi.Moment{Time: time.Now().Add(-3 * time.Hour)}
	s := localapi.Status{
		Health: "healthy", Survives: health.Survives{Peers: 4, Subnets: 1}, Fragments: localapi.FragmentCount{Total: 24},
		Holders: []localapi.Holder{{}, {LastProven: now}},
	}
	if got := sentence(s); got != "healthy; survives any 4 peers or any 1 network; last proven 3 hours ago" {
		t.Errorf("got %q", got)
	}
	s.Holders = []localapi.Holder{{Self: true, Fragments: []int{1, 2}}, {Addr: "192.0.2.1:1", Fragments: []int{3}, Note: "silent: does not count"}}
	if got := sentence(s); got != "healthy; survives any 4 peers or any 1 network; not proven yet" {
		t.Errorf("got %q", got)
	}
	var out strings.Builder
	humanStatus(&out, s)
	for _, want := range []string{"\tthis node\t-\t1-2\n", "\t192.0.2.1:1\tnever\t3\tsilent: does not count\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if got := sentence(localapi.Status{Health: "local"}); got != "local" {
		t.Errorf("got %q", got)
	}
	for want, numbers := range map[string][]int{"-": nil, "7": {7}, "1-3, 7": {7, 1, 3, 2}, "0-1, 3": {0, 1, 3}} {
		if got := ranges(numbers); got != want {
			t.Errorf("%v is written %q, want %q", numbers, got, want)
		}
	}
}

func TestShellWords(t *testing.T) {
	for word, want := range map[string]string{"/a/b-1": "/a/b-1", "": "''", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := shellWord(word); got != want {
			t.Errorf("%q is written %s, want %s", word, got, want)
		}
	}
	a := &app{dataDirFlag: "my data"}
	if got := a.command("tes init"); got != "tes --data-dir 'my data' init" {
		t.Errorf("got %s", got)
	}
	if got := a.command("tesd"); got != "tesd --data-dir 'my data'" {
		t.Errorf("got %s", got)
	}
}

func TestFolderThatHoldsTheDataDirectory(t *testing.T) {
	home := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	a := &app{dataDirFlag: filepath.Join(link, "not", "yet", "there")}
	for dir, refused := range map[string]bool{
		home: true, filepath.Join(home, "not"): true, "/": true, link: true,
		filepath.Join(home, "no"): false, filepath.Join(home, "photos"): false, t.TempDir(): false,
	} {
		if err := a.keepApart(dir); (err != nil) != refused {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestLongErrorsOfScansAreWhole(t *testing.T) {
	photos := t.TempDir()
	for i := range 500 {
		if err := os.Symlink("nowhere", filepath.Join(photos, fmt.Sprintf("a-link-with-a-rather-long-name-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := try(t, &fake{}, nil, "create", photos, "--json")
	if code != 1 || !strings.Contains(stderr, "name-000") || !strings.Contains(stderr, "name-499") {
		t.Errorf("exit %d, %d bytes", code, len(stderr))
	}
}

func TestAnAuditSaysWhoWasAsked(t *testing.T) {
	for asked, want := range map[bool]string{false: "the node is not running", true: "No peer that is there has an account with this node"} {
		var out strings.Builder
		printAudit(&out, localapi.Audit{Agree: true}, asked)
		if !strings.Contains(out.String(), want) {
			t.Errorf("asked %v: %s", asked, out.String())
		}
	}
}
