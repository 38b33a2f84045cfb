// Package wire answers: what do two nodes say to each other?
//
// It holds the messages (wire.proto), the frames they travel in, the ceilings that are checked before
// anything is allocated or decoded, the refusals, and the statements nodes sign. WIRE.md beside it
// says the same for people who write another implementation.
package wire

//go:generate go run -C ../internal/tools ./protogen -plugin go -opt paths=source_relative -root ../../wire wire.proto
