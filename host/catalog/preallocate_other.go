//go:build !linux

package catalog

import (
	"errors"
	"os"
)

// preallocate leaves the work to plain writes.
func preallocate(*os.File, int64) error { return errors.ErrUnsupported }
