// Package sdk says what the nouns and the three policy contracts of Tesseras are.
//
// The nouns are ids: values, comparable, each its own type. The contracts are Placement,
// Reciprocity and Repair: pure questions about views of the network. A policy sees no bytes of
// anyone's memories, holds no handle, reads no clock; time and a seed come in the request, so every
// decision can be asked again later and gives the same bytes. The messages are the protobuf schema
// of policy.proto, which is the same for a policy linked natively, run as WASM or run as a process.
package sdk

//go:generate go run -C ../host/internal/tools ./protogen -plugin go-lite -opt features=marshal+unmarshal+size,paths=source_relative -root ../../../sdk policy.proto
