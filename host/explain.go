package host

import (
	"errors"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/gather"
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
	case errors.Is(err, archive.ErrDamaged):
		return localapi.Fail(localapi.CodeFailed, "tes verify names the damaged files; tes fetch restores them from peers", err)
	case errors.Is(err, digest.ErrMismatch):
		return localapi.Fail(localapi.CodeFailed, "tes scrub reads everything here again and names what is damaged", err)
	case errors.Is(err, catalog.ErrInUse):
		return localapi.Fail(localapi.CodeInUse, "stop the process that has it, or choose another with --data-dir", err)
	case errors.Is(err, catalog.ErrNewerVersion):
		return localapi.Fail(localapi.CodeFailed, "install the newer version of this software again", err)
	case errors.Is(err, restore.ErrNoPlan):
		return localapi.Fail(localapi.CodeCannotRestore, "check the id, and with tes peers whether this node has found the network", err)
	case errors.As(err, &few):
		return localapi.Fail(localapi.CodeCannotRestore, "some holders are out of reach; what was fetched is kept, so try again later", err)
	case errors.Is(err, errDiskGone):
		return localapi.Fail(localapi.CodeFailed, "mount it again; to go on without what was on it, stop the node and remove its index folder", err)
	case errors.Is(err, cas.ErrNoSpace), errors.Is(err, catalog.ErrDiskFull), errors.Is(err, publish.ErrSpace), errors.Is(err, restore.ErrSpace):
		return localapi.Fail(localapi.CodeFailed, "free some space on this disk, or lower storage.min_free", err)
	}
	return err
}
