//go:build !race

package wasm

// slowdown is that of this build.
const slowdown = 1
