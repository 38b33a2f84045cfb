package catalog

import "errors"

// What a caller may decide on when opening.
var (
	// ErrInUse tells that another process, or another part of this one, has the catalog open.
	ErrInUse = errors.New("index is in use")
	// ErrNewerVersion tells that a newer version of the software wrote the index, one of its rows, or the
	// directory it belongs to.
	ErrNewerVersion = errors.New("it was written by a newer version of this software")
	// ErrDamaged tells that the index cannot be trusted. It can be thrown away and rebuilt.
	ErrDamaged = errors.New("index is damaged")
	// ErrOutdated tells that an older version of the software wrote the index, in another form. It can be
	// thrown away and rebuilt.
	ErrOutdated = errors.New("index is of an older form")
)

// What a caller may decide on while working.
var (
	// ErrNotFound tells that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous tells that a shortened id fits more than one tessera.
	ErrAmbiguous = errors.New("more than one id starts with this")
	// ErrTooBig tells that a transaction holds more rows than one transaction may. See UpdateEach.
	ErrTooBig = errors.New("transaction is too big")
	// ErrCrowded tells that a tessera has so many holders already that no further one is kept.
	ErrCrowded = errors.New("it has too many holders")
	// ErrDiskFull tells that writing was refused because the disk under the index is nearly full.
	// Reading goes on, and so does Reclaim while it can.
	ErrDiskFull = errors.New("disk under the index is full")
	// ErrFailed tells that an earlier write of the index failed, so that what is on disk is uncertain
	// until the catalog is opened again. Reading goes on.
	ErrFailed = errors.New("an earlier index write failed")
	// ErrClosed tells that the catalog was closed.
	ErrClosed = errors.New("index is closed")
	// ErrReadOnly tells that a View tried to write.
	ErrReadOnly = errors.New("transaction is read-only")
	// ErrConflict tells that a row is there already and says something else.
	ErrConflict = errors.New("a different row is there already")
)
