package host

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/restore"
)

// explain gives an error the exit code and the hint a person gets to see.
func explain(err error) error {
	var few *gather.InsufficientError
	var known *localapi.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, archive.ErrNotFound):
		return localapi.Fail(localapi.CodeNotFound, "tes list shows the tesseras kept here", err)
	case errors.Is(err, archive.ErrAmbiguous), errors.Is(err, archive.ErrShortPrefix):
		return localapi.Fail(localapi.CodeUsage, "give more digits of the id", err)
	case errors.Is(err, archive.ErrDeleted), errors.Is(err, restore.ErrDeleted):
		return localapi.Fail(localapi.CodeNotFound, "a deletion signed by its owner is final", err)
	case errors.Is(err, restore.ErrNoPlan):
		return localapi.Fail(localapi.CodeCannotRestore, "check the id, and with tes peers whether this node has found the network", err)
	case errors.As(err, &few):
		return localapi.Fail(localapi.CodeCannotRestore, "some holders are out of reach; what was fetched is kept, so try again later", err)
	case errors.Is(err, archive.ErrDamaged):
		return localapi.Fail(localapi.CodeFailed, "tes verify names the damaged files; tes fetch restores them from peers", err)
	case errors.Is(err, digest.ErrMismatch):
		return localapi.Fail(localapi.CodeFailed, "tes scrub reads everything here again and names what is damaged", err)
	case errors.Is(err, catalog.ErrInUse):
		return localapi.Fail(localapi.CodeInUse, "stop the process that has it, or choose another with --data-dir", err)
	case errors.Is(err, catalog.ErrNewerVersion):
		return localapi.Fail(localapi.CodeFailed, "install the newer version of this software again", err)
	case errors.Is(err, errDiskGone):
		return localapi.Fail(localapi.CodeFailed, "mount it again; to go on without what was on it, stop the node and remove its index folder", err)
	case errors.Is(err, identity.ErrOwnerMissing), errors.Is(err, identity.ErrKeyFile):
		return localapi.Fail(localapi.CodeFailed,
			"put the copy you keep of the key back; to begin as somebody new, move the folder identity away", err)
	case errors.Is(err, identity.ErrKeyExposed):
		return localapi.Fail(localapi.CodeFailed, "chmod 600 the file, and think of who may have read it", err)
	case errors.Is(err, syscall.ENOTDIR):
		return localapi.Fail(localapi.CodeFailed, "a part of that path is a file: choose another data directory with --data-dir", err)
	case errors.Is(err, fs.ErrPermission):
		return localapi.Fail(localapi.CodeFailed, "check who owns the data directory, or choose another with --data-dir", err)
	case errors.Is(err, syscall.EROFS):
		return localapi.Fail(localapi.CodeFailed, "this disk can only be read: choose another data directory with --data-dir", err)
	case errors.Is(err, cas.ErrNoSpace), errors.Is(err, catalog.ErrDiskFull), errors.Is(err, publish.ErrSpace), errors.Is(err, restore.ErrSpace):
		return localapi.Fail(localapi.CodeFailed, "free some space on this disk, or lower storage.min_free", err)
	}
	return err
}

// unbound says what helps where an address could not be taken that a flag, or its key, names.
func unbound(flag string, err error) error {
	hint := "give " + flag + " an address of this computer and a port that is free"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program has this port: choose another with " + flag + ", or port 0 for any that is free"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "no such address is on this computer: give " + flag + " one that is, or a port alone, such as :4433"
	case errors.Is(err, fs.ErrPermission):
		hint = "ports below 1024 are for privileged users: choose a higher one with " + flag
	}
	return localapi.Fail(localapi.CodeFailed, hint, err)
}
