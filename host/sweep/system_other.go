//go:build !linux

package sweep

import "time"

// steady has no clock here that outlives the process.
func steady() (boot string, up time.Duration, ok bool) { return "", 0, false }
