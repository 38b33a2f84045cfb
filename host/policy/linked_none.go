//go:build tesseras_nonative

package policy

// linkedDefaults are none in this build.
func linkedDefaults() Policy { return nil }
