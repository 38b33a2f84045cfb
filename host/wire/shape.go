package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tesseras/tesseras/sdk"
)

// shape says what a message may look like on the wire. It is checked before decoding, on the encoded
// bytes and without allocating, so that the decoder never makes more than a small multiple of what
// arrived: a repeated field costs the decoder far more than the two bytes a stranger pays for it.
//
// The shape also holds what version 1 demands of every message, so that who reads a decoded message
// finds each id, key and signature it needs present and of the right length.
type shape []field

// field is one known field of a message.
type field struct {
	number protowire.Number
	name   string
	wants  wants
	must   bool   // absent is malformed
	most   int    // occurrences (values, when packed); 0 means 1
	least  int    // bytes, of a bytes or text field
	bytes  int    // most bytes, of a bytes or text field
	inner  *shape // of a message field
}

type wants uint8

const (
	wantsVarint  wants = iota
	wantsVarints       // repeated, packed or not
	wantsFixed64
	wantsBytes
	wantsMessage
)

func id(n protowire.Number, name string) field {
	return field{number: n, name: name, wants: wantsBytes, must: true, least: sdk.IDSize, bytes: sdk.IDSize}
}

func signature(n protowire.Number) field {
	return field{number: n, name: "signature", wants: wantsBytes, must: true, least: signatureSize, bytes: signatureSize}
}

func blob(n protowire.Number, name string, most int) field {
	return field{number: n, name: name, wants: wantsBytes, bytes: most}
}

func number(n protowire.Number, name string) field {
	return field{number: n, name: name, wants: wantsVarint}
}

func message(n protowire.Number, name string, inner *shape, most int) field {
	return field{number: n, name: name, wants: wantsMessage, inner: inner, most: most}
}

func (f field) required() field {
	f.must = true
	return f
}

const signatureSize = 64

// The shapes, never written to.
var (
	emptyShape   = shape{}
	errorShape   = shape{number(1, "code").required(), blob(2, "text", MaxErrorText), number(3, "retry after")}
	idShape      = shape{id(1, "id")}
	addressShape = shape{blob(1, "ip", 16), number(2, "port")}
	contactShape = shape{id(1, "key"), number(2, "nonce"), message(3, "address", &addressShape, 1)}
	helloShape   = shape{
		id(1, "owner"),
		{number: 2, name: "delegation", wants: wantsBytes, must: true, least: signatureSize, bytes: signatureSize},
		{number: 3, name: "versions", wants: wantsVarints, must: true, most: maxVersions},
		blob(4, "software", MaxSoftwareText),
		message(5, "listen address", &addressShape, 1),
		message(6, "seen address", &addressShape, 1),
		number(7, "free bytes"),
		number(8, "capabilities"),
		{number: 9, name: "instance", wants: wantsFixed64},
		message(10, "institution", &institutionShape, 1),
	}
	institutionShape = shape{blob(1, "domain", MaxDomain), blob(2, "operator", MaxOperator), number(3, "pledge")}
	helloAckShape    = shape{message(1, "hello", &helloShape, 1).required(), number(2, "version").required()}
	pongShape        = shape{number(1, "free bytes"), number(2, "capabilities")}
	nodesShape       = shape{message(1, "nodes", &contactShape, MaxNodes)}
	pointerShape     = shape{
		id(1, "tessera"),
		message(2, "holder", &contactShape, 1).required(),
		number(3, "time").required(),
		number(4, "expiry").required(),
		signature(5),
	}
	storePointersShape = shape{message(1, "pointers", &pointerShape, MaxPointers)}
	storeAckShape      = shape{number(1, "stored"), number(2, "refused")}
	pointersShape      = shape{message(1, "pointers", &pointerShape, MaxPointers), message(2, "closer", &contactShape, MaxNodes)}
	replicateShape     = shape{blob(1, "plan", MaxPlan).required(), number(2, "index"), number(3, "size"), number(4, "purpose"), number(5, "holds")}
	replicateAckShape  = shape{
		id(1, "tessera"), id(2, "owner"), number(3, "index"), id(4, "checksum"), number(5, "size"),
		id(6, "holder"), id(7, "holder's owner"), id(8, "sender"), number(9, "time").required(), signature(10),
	}
	attestRequestShape = shape{
		id(1, "nonce"),
		{number: 2, name: "tesseras", wants: wantsBytes, most: MaxAttested, least: sdk.IDSize, bytes: sdk.IDSize},
	}
	attestResponseShape = shape{
		id(1, "holder"), id(2, "verifier"), id(3, "nonce"), number(4, "time").required(), number(5, "covered"),
		blob(6, "holdings", maxHoldings), signature(7),
	}
	planResponseShape   = shape{blob(1, "plan", MaxPlan), blob(2, "tombstone", MaxTombstone)}
	fetchFragmentShape  = shape{id(1, "tessera"), number(2, "index"), id(3, "checksum")}
	fragmentHeaderShape = shape{number(1, "size")}
	forgetShape         = shape{blob(1, "tombstone", MaxTombstone).required()}
	dialBackAckShape    = shape{number(1, "reached"), message(2, "tried address", &addressShape, 1)}
	forgetAckShape      = shape{number(1, "removed")}
	accountShape        = shape{number(1, "kept"), number(2, "given")}
	releasedShape       = shape{id(1, "tessera"), number(2, "index")}
	releasedAckShape    = shape{number(1, "noted")}
	challengeShape      = shape{id(1, "nonce"), id(2, "tessera"), number(3, "index"), id(4, "checksum"), number(5, "whole")}
	proofShape          = shape{
		id(1, "holder"), id(2, "verifier"), id(3, "nonce"), number(4, "time").required(),
		{number: 5, name: "slices", wants: wantsBytes, most: MaxSlices, bytes: maxSlice},
		blob(6, "whole", sdk.IDSize), signature(7),
	}
	checkedShape = shape{
		id(1, "holder"), id(2, "verifier"), id(3, "nonce"), number(4, "time").required(),
		blob(5, "times", 8*MaxAttested), signature(6), blob(7, "moving", MaxAttested),
	}
)

var errTruncated = errors.New("truncated")

// check walks an encoded message. Fields it does not know are skipped.
func (s *shape) check(b []byte) error {
	var seen [maxFields]int
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return errTruncated
		}
		value := b[:n]
		b = b[n:]
		i := s.find(num)
		if i < 0 {
			continue
		}
		f := &(*s)[i]
		count, err := f.check(typ, value)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if seen[i] += count; seen[i] > max(f.most, 1) {
			return fmt.Errorf("%s: more than %d", f.name, max(f.most, 1))
		}
	}
	return s.complete(seen)
}

// maxFields is how many fields the largest message has.
const maxFields = 10

func (s *shape) find(n protowire.Number) int {
	for i := range *s {
		if (*s)[i].number == n {
			return i
		}
	}
	return -1
}

func (s *shape) complete(seen [maxFields]int) error {
	for i := range *s {
		if f := &(*s)[i]; f.must && seen[i] == 0 {
			return fmt.Errorf("%s: missing", f.name)
		}
	}
	return nil
}

var errWireType = errors.New("wrong wire type")

// check looks at one occurrence of the field and tells how many values it holds.
func (f *field) check(typ protowire.Type, value []byte) (int, error) {
	switch f.wants {
	case wantsVarint:
		return 1, expect(typ, protowire.VarintType)
	case wantsFixed64:
		return 1, expect(typ, protowire.Fixed64Type)
	case wantsVarints:
		if typ == protowire.VarintType {
			return 1, nil
		}
	}
	if err := expect(typ, protowire.BytesType); err != nil {
		return 0, err
	}
	content, _ := protowire.ConsumeBytes(value)
	switch {
	case f.wants == wantsVarints:
		return countVarints(content)
	case f.wants == wantsMessage:
		return 1, f.inner.check(content)
	case len(content) < f.least || len(content) > f.bytes:
		return 0, fmt.Errorf("%d bytes: want %d to %d", len(content), f.least, f.bytes)
	}
	return 1, nil
}

func expect(typ, want protowire.Type) error {
	if typ != want {
		return errWireType
	}
	return nil
}

func countVarints(b []byte) (count int, err error) {
	for len(b) > 0 {
		_, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return 0, errTruncated
		}
		b = b[n:]
		count++
	}
	return count, nil
}
