//go:build !race

package suite

// share is the part of its CI size that a suite runs.
const share = 1
