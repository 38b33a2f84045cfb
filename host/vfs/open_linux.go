package vfs

import (
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// beneath keeps the kernel from leaving the folder while it follows a name, whatever links it meets.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS

// openBeneath opens a name below a folder in one system call, where os.Root takes two for each element
// of the name. ok is false where the kernel cannot do that, or would rather be asked again.
func openBeneath(root *os.File, name string, flag int, perm uint32) (f *os.File, ok bool, err error) {
	fd, ok, err := descriptor(root, name, flag, perm)
	if !ok || err != nil {
		return nil, ok, err
	}
	return os.NewFile(uintptr(fd), path.Join(root.Name(), name)), true, nil
}

// descriptor is openBeneath without an os.File around it, which costs more than the system call.
func descriptor(root *os.File, name string, flag int, perm uint32) (fd int, ok bool, err error) {
	if flag&unix.O_CREAT == 0 {
		perm = 0 // anything else is an error
	}
	err = with(root, func(dir int) (err error) {
		fd, err = unix.Openat2(dir, name, &unix.OpenHow{
			Flags: uint64(flag) | unix.O_CLOEXEC, Mode: uint64(perm), Resolve: beneath,
		})
		return err
	})
	switch err {
	case nil:
		return fd, true, nil
	case unix.ENOENT, unix.EEXIST, unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO:
		return -1, true, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return -1, false, nil
}

// with lends a folder's descriptor to do, which it outlives even if somebody closes the folder meanwhile.
func with(folder *os.File, do func(fd int) error) error {
	raw, err := folder.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}

// renameBeneath renames within a folder. ok is as for openBeneath.
func renameBeneath(root *os.File, from, to string) (ok bool, err error) {
	source, ok, err := descriptor(root, path.Dir(from), unix.O_PATH|unix.O_DIRECTORY, 0)
	if !ok || err != nil {
		return ok, err
	}
	defer unix.Close(source)
	target, ok, err := descriptor(root, path.Dir(to), unix.O_PATH|unix.O_DIRECTORY, 0)
	if !ok || err != nil {
		return ok, err
	}
	defer unix.Close(target)
	if err := unix.Renameat(source, path.Base(from), target, path.Base(to)); err != nil {
		return true, &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return true, nil
}
