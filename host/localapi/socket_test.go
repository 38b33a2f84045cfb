package localapi

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"testing"
)

func TestSocketIsTheUsersAlone(t *testing.T) {
	dir := t.TempDir()
	stop := serve(t, dir, "", &fake{})
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	stop()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSocketOfAGroup(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, group.Name, &fake{})
	for path, want := range map[string]fs.FileMode{filepath.Join(dir, SocketName): 0o660, dir: 0o710} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Listen(t.TempDir(), "no such group"); CodeOf(err) != CodeUsage {
		t.Errorf("an unknown group: %v", err)
	}
}

func TestStaleSocketIsNoDaemon(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SocketName)
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("there is no stale socket to test with")
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoDaemon) || CodeOf(err) != CodeNoDaemon || HintOf(err) == "" {
		t.Errorf("dial: %v", err)
	}
	serve(t, dir, "", &fake{})
	if c, err := Dial(t.Context(), dir); err != nil {
		t.Errorf("after a new start: %v", err)
	} else {
		c.Close()
	}
	if _, err := Listen(dir, ""); CodeOf(err) != CodeInUse {
		t.Errorf("a second node: %v", err)
	}
}

func TestSocketWithALongPath(t *testing.T) {
	dir := longDir(t)
	serve(t, dir, "", &fake{})
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, SocketName)); err != nil {
		t.Errorf("the socket is not in its place: %v", err)
	}
	if _, err := Dial(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("a missing data directory: %v", err)
	}
}

func TestConnectOpensLocallyWhereNoNodeRuns(t *testing.T) {
	dir, opened := t.TempDir(), 0
	open := func(_ context.Context, dataDir string) (Backend, io.Closer, error) {
		if dataDir != dir {
			t.Errorf("asked to open %s", dataDir)
		}
		opened++
		return &fake{}, closerFunc(func() error { return nil }), nil
	}
	for _, daemon := range []bool{false, true} {
		if daemon {
			serve(t, dir, "", &fake{})
		}
		c, err := Connect(t.Context(), dir, open, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.List(t.Context()); err != nil || c.Daemon != daemon {
			t.Errorf("daemon %v, %v", c.Daemon, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	refuse := func(context.Context, string) (Backend, io.Closer, error) { return nil, nil, boom(CodeInUse) }
	if _, err := Connect(t.Context(), t.TempDir(), refuse, nil); CodeOf(err) != CodeInUse {
		t.Errorf("got %v", err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	for seen, want := range map[bool]string{
		true:  "tes: the node on /d is another user's: permission denied\nhint: run tes as the node's user, or as a member of its [api] group\n",
		false: "tes: the data directory /d is another user's: permission denied\nhint: run tes as its owner, or choose another with --data-dir\n",
	} {
		if got := ErrorText("tes", notLetIn("/d", seen)); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}
