package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "tesd.sock"

// maxSocketPath is the longest path that every system takes for a socket, in bytes.
const maxSocketPath = 103

// Listen makes the socket of a data directory, which the caller has locked. It is for the node's own
// user, or for the members of group too: these may then also pass through the data directory to it,
// though not list it. A socket left behind by a node that was killed is replaced.
//
// Closing the listener removes the socket.
func Listen(dataDir, group string) (net.Listener, error) {
	l, err := listen(dataDir, group)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", filepath.Join(dataDir, SocketName), err)
	}
	return l, nil
}

func listen(dataDir, group string) (net.Listener, error) {
	if c, err := dialSocket(context.Background(), dataDir); err == nil {
		_ = c.Close() // it has told what we wanted to know
		return nil, Fail(CodeInUse, "stop the other tesd, or choose another --data-dir", errors.New("another node answers there"))
	}
	// Made under another name and renamed when its mode is right, so that nobody comes in before.
	const fresh = SocketName + ".new"
	path := filepath.Join(dataDir, fresh)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, done, err := shortPath(dataDir, fresh)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: filepath.Join(dataDir, SocketName)}
	if err := s.open(dataDir, path, group); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	return s, nil
}

// socket is the listener of a data directory.
type socket struct {
	*net.UnixListener
	path  string
	allow *circle // who may come in; nil leaves that to the mode of the socket
}

// open sets who may come in, and moves the socket to its place.
func (s *socket) open(dataDir, path, group string) error {
	mode := fs.FileMode(0o600)
	if group != "" {
		circle, err := circleOf(group)
		if err != nil {
			return err
		}
		s.allow, mode = circle, 0o660
		if err := errors.Join(letThrough(dataDir, circle.group), os.Chown(path, -1, circle.group)); err != nil {
			return fmt.Errorf("give to the group %s: %w", group, err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return os.Rename(path, s.path)
}

// letThrough lets a group's members reach what they know by name in a folder.
func letThrough(dir string, group int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := os.Chown(dir, -1, group); err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()|0o010)
}

// Accept implements net.Listener. Who may not come in is turned away without a word.
func (s *socket) Accept() (net.Conn, error) {
	for {
		c, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if s.allow == nil || s.allow.admits(c) {
			return c, nil
		}
		_ = c.Close() // there is nothing to say to a stranger
	}
}

// Close implements net.Listener.
func (s *socket) Close() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.UnixListener.Close())
}

// circle is the node's own user, root, and a group.
type circle struct{ group int }

func circleOf(group string) (*circle, error) {
	g, err := user.LookupGroup(group)
	if err != nil {
		return nil, Fail(CodeUsage, "correct [api] group in the configuration", err)
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	return &circle{id}, nil
}

// admits asks the system who is at the other end.
func (a *circle) admits(c *net.UnixConn) bool {
	uid, gid, err := peerOf(c)
	if err != nil {
		return errors.Is(err, errors.ErrUnsupported) // then the socket's mode has to do
	}
	if uid == 0 || uid == os.Geteuid() || gid == a.group {
		return true
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	if err != nil {
		return false
	}
	for _, g := range groups {
		if g == strconv.Itoa(a.group) {
			return true
		}
	}
	return false
}

// dialSocket connects to the node of a data directory; ErrNoDaemon tells that none runs, also where
// one that was killed left its socket behind.
func dialSocket(ctx context.Context, dataDir string) (net.Conn, error) {
	short, done, err := shortPath(dataDir, SocketName)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", short)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%w on %s", ErrNoDaemon, dataDir)
	case errors.Is(err, fs.ErrPermission):
		_, seen := os.Lstat(short)
		return nil, notLetIn(dataDir, seen == nil)
	}
	return nil, fmt.Errorf("connect to the node on %s: %w", dataDir, err)
}

// notLetIn says what this user may not enter: a data directory, or only the node on it, where its socket was
// seen.
func notLetIn(dataDir string, seen bool) error {
	if seen {
		return Fail(CodeFailed, "run tes as the node's user, or as a member of its [api] group",
			fmt.Errorf("the node on %s is another user's: %w", dataDir, syscall.EACCES))
	}
	return Fail(CodeFailed, "run tes as its owner, or choose another with --data-dir",
		fmt.Errorf("the data directory %s is another user's: %w", dataDir, syscall.EACCES))
}

// shortPath gives a path of a socket that is short enough for the system: where the real one is too
// long, it leads through a link, which done removes.
func shortPath(dataDir, name string) (path string, done func(), err error) {
	path = filepath.Join(dataDir, name)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return "", nil, err
	}
	for _, temp := range []string{os.TempDir(), "/tmp"} {
		dir, mkErr := os.MkdirTemp(temp, "tes")
		if mkErr != nil {
			err = mkErr
			continue
		}
		done = func() { _ = os.RemoveAll(dir) } // a link and its folder, left to the system's cleaner at worst
		link := filepath.Join(dir, "d")
		path = filepath.Join(link, name)
		if err = os.Symlink(abs, link); err == nil && len(path) <= maxSocketPath {
			return path, done, nil
		}
		done()
	}
	return "", nil, fmt.Errorf("%s is too long for a socket, and no short link to it can be made: %w", filepath.Join(dataDir, name), err)
}
