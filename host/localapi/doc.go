// Package localapi answers: how do the command line and scripts see the node on this computer?
//
// Control and progress are the Connect services of localapi.proto and policies.proto, files are plain HTTP bodies beside
// it, both over the Unix socket tesd.sock in the data directory:
//
//	POST /v1/create          a folder as tessera.WriteFolder streams it; answers with Created as JSON
//	GET  /v1/packed/<id>     one of my own tesseras as one packed tar
//	GET  /v1/fetch/<id>      a tessera restored from the network, as one packed tar
//	GET  /v1/decisions       what the policies decided (?about=<id>&since=<unix ms>), as host/policy/decisions exports it
//
// A body is whole only if the trailer Tesseras-Status behind it says "ok"; else that is the error, as
// JSON. Before the body of a fetch, interim responses (102) carry the progress of the search in the
// header Tesseras-Progress. An answer with another status than 200 has the error as JSON:
// {"error","code","hint"}, where code is the exit code of the command line.
//
// Without a daemon the command line opens the data directory itself, and Connect serves the same
// handlers from memory.
//
// It is the one home of Connect.
package localapi

//go:generate go run -C ../internal/tools ./protogen -plugin go -opt paths=source_relative -root ../../localapi localapi.proto policies.proto
//go:generate go run -C ../internal/tools ./protogen -plugin connect-go -opt paths=source_relative,package_suffix,simple -root ../../localapi localapi.proto policies.proto
