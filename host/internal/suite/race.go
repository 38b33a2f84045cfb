//go:build race

package suite

// share is the part of its CI size that a suite runs under the race detector, which is there for other
// faults and takes ten times as long.
const share = 10
