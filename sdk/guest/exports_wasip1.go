package guest

import (
	"unsafe"

	"github.com/tesseras/tesseras/sdk"
)

// input is where the host writes the next request, output what the last call answered. They are kept
// here so that the collector leaves them alone while only the host knows where they are. A module has
// one thread.
var input, output []byte

//go:wasmexport tesseras_abi_v1
func speaksVersion1() {}

//go:wasmexport tesseras_alloc
func alloc(size uint32) uint32 {
	if size > sdk.MaxRequest {
		return 0
	}
	if cap(input) < int(size) || cap(input) == 0 {
		input = make([]byte, max(size, 4096))
	}
	input = input[:size]
	return address(input)
}

//go:wasmexport tesseras_describe
func exportDescribe() uint64 { return give(registered.Describe()) }

//go:wasmexport tesseras_configure
func exportConfigure(ptr, size uint32) uint64 { return give(registered.Configure(taken(ptr, size))) }

//go:wasmexport tesseras_place
func exportPlace(ptr, size uint32) uint64 { return ask(sdk.RolePlacement, ptr, size) }

//go:wasmexport tesseras_admit
func exportAdmit(ptr, size uint32) uint64 { return ask(sdk.RoleReciprocity, ptr, size) }

//go:wasmexport tesseras_repair
func exportRepair(ptr, size uint32) uint64 { return ask(sdk.RoleRepair, ptr, size) }

func ask(role sdk.Role, ptr, size uint32) uint64 {
	output = nil
	return give(registered.Ask(role, taken(ptr, size)))
}

// taken is the request that the host wrote into input. Another place is the host's mistake: it gets
// the answer to an empty request.
func taken(ptr, size uint32) []byte {
	if ptr != address(input) || int(size) > len(input) {
		return nil
	}
	return input[:size]
}

// give keeps an answer and tells where it is. An error has no answer: 0, which is never valid.
func give(answer []byte, err error) uint64 {
	output = answer
	if err != nil || len(answer) == 0 {
		return 0
	}
	return uint64(address(answer))<<32 | uint64(len(answer))
}

func address(b []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
