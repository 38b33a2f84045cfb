//go:build race

package wasm

// slowdown is what the race detector costs: it watches the compiler in the child as well.
const slowdown = 10
