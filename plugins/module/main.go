// Command module carries the three default policies: as the WASM module that is embedded in every
// node, or as a program that a node runs.
package main

//go:generate go run -C ../../host/internal/tools ./wasmpack -package ../../../plugins/module -out ../../../plugins/module/default.wasm.gz

import (
	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/plugins/reciprocity"
	"github.com/tesseras/tesseras/plugins/repair"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

func init() { guest.Register(placement.Spread{}, reciprocity.FairShare{}, repair.ThinnestFirst{}) }

func main() { process.Main() }
