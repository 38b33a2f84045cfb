//go:build race

package host_test

// underRace tells that the race detector is on, which takes memory of its own.
const underRace = true
