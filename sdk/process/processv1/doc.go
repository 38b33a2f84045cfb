// Package processv1 says how bytes cross to a policy that runs as a program: the generated gRPC service.
package processv1

//go:generate go run -C ../../../host/internal/tools ./protogen -plugin go -opt paths=source_relative -root ../../../sdk/process/processv1 process.proto
//go:generate go run -C ../../../host/internal/tools ./protogen -plugin go-grpc -opt paths=source_relative,require_unimplemented_servers=false -root ../../../sdk/process/processv1 process.proto
