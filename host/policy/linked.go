//go:build !tesseras_nonative

package policy

import (
	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/plugins"
)

// linkedDefaults are the default policies as part of this program. The build tag tesseras_nonative
// leaves them out, which proves that a node lives by its plugins alone.
func linkedDefaults() Policy { return native.New(plugins.DefaultName, plugins.Default()) }
