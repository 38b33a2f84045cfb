package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// ALPN names the protocol in the TLS handshake.
const ALPN = "tesseras/1"

// Limits of what messages carry. Decoding refuses what exceeds them.
const (
	MaxPlan         = 64 << 10 // bytes of a plan
	MaxTombstone    = 4 << 10  // bytes of a tombstone
	MaxNodes        = 20       // contacts in Nodes, and closer ones in Pointers
	MaxPointers     = 64       // pointers in StorePointers and in Pointers
	MaxAttested     = 1024     // tesseras in AttestRequest
	MaxFragments    = 255      // fragments of one tessera; their indices are 0 to 254
	MaxErrorText    = 512      // bytes
	MaxSoftwareText = 128      // bytes
	MaxDomain       = 253      // bytes
	MaxOperator     = 128      // bytes
	MaxSlices       = 9        // slices in Proof
	maxSlice        = 4 << 10  // bytes; the one of a content of 1 GiB has 2,312
	maxVersions     = 16
	maxHoldings     = 1<<20 - 1<<10
)

// Message is any message of wire.proto.
type Message = proto.Message

// Kind is the first byte of a frame: which message it holds.
type Kind uint8

// The kinds. Append only.
const (
	KindError          Kind = 1
	KindHello          Kind = 2
	KindHelloAck       Kind = 3
	KindPing           Kind = 4
	KindPong           Kind = 5
	KindFindNode       Kind = 6
	KindNodes          Kind = 7
	KindStorePointers  Kind = 8
	KindStoreAck       Kind = 9
	KindFindPointers   Kind = 10
	KindPointers       Kind = 11
	KindReplicate      Kind = 12
	KindReplicateAck   Kind = 13
	KindAttestRequest  Kind = 14
	KindAttestResponse Kind = 15
	KindFetchPlan      Kind = 16
	KindPlanResponse   Kind = 17
	KindFetchFragment  Kind = 18
	KindFragmentHeader Kind = 19
	KindForget         Kind = 20
	KindForgetAck      Kind = 21
	KindAccountRequest Kind = 26
	KindAccount        Kind = 27
	KindDialBack       Kind = 28
	KindDialBackAck    Kind = 29
	KindReleased       Kind = 30
	KindReleasedAck    Kind = 31
	KindChallenge      Kind = 22
	KindProof          Kind = 23
	KindWatch          Kind = 24
	KindChecked        Kind = 25
)

// kind is all that is known about one kind of message.
type kind struct {
	name    string
	ceiling int // bytes of its body
	shape   *shape
	make    func() Message
}

const kib = 1 << 10

// kinds is indexed by Kind and never written to.
var kinds = [...]kind{
	KindError:          {"Error", 1 * kib, &errorShape, func() Message { return new(Error) }},
	KindHello:          {"Hello", 4 * kib, &helloShape, func() Message { return new(Hello) }},
	KindHelloAck:       {"HelloAck", 4 * kib, &helloAckShape, func() Message { return new(HelloAck) }},
	KindPing:           {"Ping", 1 * kib, &emptyShape, func() Message { return new(Ping) }},
	KindPong:           {"Pong", 1 * kib, &pongShape, func() Message { return new(Pong) }},
	KindFindNode:       {"FindNode", 1 * kib, &idShape, func() Message { return new(FindNode) }},
	KindNodes:          {"Nodes", 8 * kib, &nodesShape, func() Message { return new(Nodes) }},
	KindStorePointers:  {"StorePointers", 32 * kib, &storePointersShape, func() Message { return new(StorePointers) }},
	KindStoreAck:       {"StoreAck", 1 * kib, &storeAckShape, func() Message { return new(StoreAck) }},
	KindFindPointers:   {"FindPointers", 1 * kib, &idShape, func() Message { return new(FindPointers) }},
	KindPointers:       {"Pointers", 32 * kib, &pointersShape, func() Message { return new(Pointers) }},
	KindReplicate:      {"Replicate", MaxPlan + 4*kib, &replicateShape, func() Message { return new(Replicate) }},
	KindReplicateAck:   {"ReplicateAck", 1 * kib, &replicateAckShape, func() Message { return new(ReplicateAck) }},
	KindAttestRequest:  {"AttestRequest", 64 * kib, &attestRequestShape, func() Message { return new(AttestRequest) }},
	KindAttestResponse: {"AttestResponse", maxHoldings + 1*kib, &attestResponseShape, func() Message { return new(AttestResponse) }},
	KindFetchPlan:      {"FetchPlan", 1 * kib, &idShape, func() Message { return new(FetchPlan) }},
	KindPlanResponse:   {"PlanResponse", MaxPlan + 8*kib, &planResponseShape, func() Message { return new(PlanResponse) }},
	KindFetchFragment:  {"FetchFragment", 1 * kib, &fetchFragmentShape, func() Message { return new(FetchFragment) }},
	KindFragmentHeader: {"FragmentHeader", 1 * kib, &fragmentHeaderShape, func() Message { return new(FragmentHeader) }},
	KindForget:         {"Forget", MaxTombstone + 1*kib, &forgetShape, func() Message { return new(Forget) }},
	KindForgetAck:      {"ForgetAck", 1 * kib, &forgetAckShape, func() Message { return new(ForgetAck) }},
	KindAccountRequest: {"AccountRequest", 1 * kib, &emptyShape, func() Message { return new(AccountRequest) }},
	KindAccount:        {"Account", 1 * kib, &accountShape, func() Message { return new(Account) }},
	KindDialBack:       {"DialBack", 1 * kib, &emptyShape, func() Message { return new(DialBack) }},
	KindDialBackAck:    {"DialBackAck", 1 * kib, &dialBackAckShape, func() Message { return new(DialBackAck) }},
	KindReleased:       {"Released", 1 * kib, &releasedShape, func() Message { return new(Released) }},
	KindReleasedAck:    {"ReleasedAck", 1 * kib, &releasedAckShape, func() Message { return new(ReleasedAck) }},
	KindChallenge:      {"Challenge", 1 * kib, &challengeShape, func() Message { return new(Challenge) }},
	KindProof:          {"Proof", MaxSlices*maxSlice + 1*kib, &proofShape, func() Message { return new(Proof) }},
	KindWatch:          {"Watch", 64 * kib, &attestRequestShape, func() Message { return new(Watch) }},
	KindChecked:        {"Checked", 16 * kib, &checkedShape, func() Message { return new(Checked) }},
}

// Known tells whether this node has a message for the kind.
func (k Kind) Known() bool { return int(k) < len(kinds) && kinds[k].make != nil }

// Ceiling is the most bytes a message of the kind may have; 0 for an unknown kind.
func (k Kind) Ceiling() int {
	if !k.Known() {
		return 0
	}
	return kinds[k].ceiling
}

func (k Kind) String() string {
	if !k.Known() {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kinds[k].name
}

// KindOf is the kind of a message, 0 for a message that does not travel in frames of its own.
func KindOf(m Message) Kind {
	switch m.(type) {
	case *Error:
		return KindError
	case *Hello:
		return KindHello
	case *HelloAck:
		return KindHelloAck
	case *Ping:
		return KindPing
	case *Pong:
		return KindPong
	case *FindNode:
		return KindFindNode
	case *Nodes:
		return KindNodes
	case *StorePointers:
		return KindStorePointers
	case *StoreAck:
		return KindStoreAck
	case *FindPointers:
		return KindFindPointers
	case *Pointers:
		return KindPointers
	case *Replicate:
		return KindReplicate
	case *ReplicateAck:
		return KindReplicateAck
	case *AttestRequest:
		return KindAttestRequest
	case *AttestResponse:
		return KindAttestResponse
	case *FetchPlan:
		return KindFetchPlan
	case *PlanResponse:
		return KindPlanResponse
	case *FetchFragment:
		return KindFetchFragment
	case *FragmentHeader:
		return KindFragmentHeader
	case *Forget:
		return KindForget
	case *ForgetAck:
		return KindForgetAck
	case *AccountRequest:
		return KindAccountRequest
	case *Account:
		return KindAccount
	case *DialBack:
		return KindDialBack
	case *DialBackAck:
		return KindDialBackAck
	case *Released:
		return KindReleased
	case *ReleasedAck:
		return KindReleasedAck
	case *Challenge:
		return KindChallenge
	case *Proof:
		return KindProof
	case *Watch:
		return KindWatch
	case *Checked:
		return KindChecked
	}
	return 0
}
