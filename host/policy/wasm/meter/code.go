package meter

import (
	"errors"
	"fmt"
)

// The instructions that are written, or that mean something here.
const (
	opBlock       = 0x02
	opLoop        = 0x03
	opIf          = 0x04
	opEnd         = 0x0b
	opBr          = 0x0c
	opBrIf        = 0x0d
	opBrTable     = 0x0e
	opCall        = 0x10
	opCallInd     = 0x11
	opSelectTyped = 0x1c
	opLocalGet    = 0x20
	opLocalSet    = 0x21
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opTableGet    = 0x25
	opTableSet    = 0x26
	opLoadFirst   = 0x28
	opStoreLast   = 0x3e
	opMemorySize  = 0x3f
	opMemoryGrow  = 0x40
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opPlainFirst  = 0x45 // comparing, computing and converting: no operands in the code
	opI32LtS      = 0x48
	opI32Add      = 0x6a
	opI32Sub      = 0x6b
	opI32ShrU     = 0x76
	opPlainLast   = 0xc4
	opRefNull     = 0xd0
	opRefIsNull   = 0xd1
	opRefFunc     = 0xd2
	opMore        = 0xfc
	opVector      = 0xfd

	typeI32    = 0x7f
	blockEmpty = 0x40
)

// What instructions cost. A unit is what 64 bytes of code, or moving 1 KiB, takes at most: well under
// a microsecond. The counter holds so many that giving way costs nothing to speak of, and few enough
// that 20 ms never pass in between.
const (
	full       = 1 << 14
	codeUnit   = 64 // bytes of code
	frameUnit  = 8  // parameters and local variables
	moveUnit   = 10 // bits of a number of bytes
	growCost   = 256
	tablesCost = 1024 // of an instruction that goes through a table, which has at most a million entries
)

// function rewrites the code of one function while it reads it.
type function struct {
	reader
	params         uint32
	counter, yield uint32 // indices

	out     []byte
	copied  []byte // rest as it was when the last instruction was copied
	scratch uint32 // index of a local variable of our own
	scarred bool   // it is in use
	cost    uint32 // of running through one turn of a loop
	frame   uint32 // of running through the function; see Frames
}

// rewrite leaves the function's code in out, paying, and returns its locals.
func (f *function) rewrite() (head []byte, err error) {
	f.cost = 1 + uint32(len(f.rest))/codeUnit
	groups, declared, locals := f.locals()
	f.frame = f.cost + (f.params+locals)/frameUnit
	f.scratch = f.params + locals
	f.payExtra(f.frame) // by which the counter also bounds how fast a stack grows
	for f.more() {
		f.instruction()
	}
	if f.err != nil {
		return nil, f.err
	}
	if f.scarred {
		groups++
	}
	head = append(appendNumber(nil, groups), declared...)
	if f.scarred {
		head = append(head, 1, typeI32)
	}
	return head, nil
}

// locals reads the groups of local variables, as they are written, and counts the variables.
func (f *function) locals() (groups uint32, declared []byte, locals uint32) {
	groups = f.number()
	start := f.rest
	for i := uint32(0); i < groups && f.err == nil; i++ {
		n := f.number()
		f.valueType()
		if n > mostLocals-locals {
			f.fail(errors.New("too many local variables"))
			break
		}
		locals += n
	}
	return groups, start[:len(start)-len(f.rest)], locals
}

// global passes over the type of a global and the code of its first value.
func (f *function) global() {
	f.valueType()
	f.byte() // whether it changes
	for op := byte(0); op != opEnd && f.err == nil; {
		op = f.byte()
		f.operands(op)
	}
}

// instruction copies one instruction, with what has to stand before or behind it.
func (f *function) instruction() {
	f.copied = f.rest
	switch op := f.byte(); {
	case op == opLoop:
		f.blockType()
		f.copy()
		f.pay()
	case op == opMemoryGrow:
		f.zero()
		f.payExtra(growCost)
		f.copy()
	case op == opMore:
		f.more0xfc()
	default:
		f.operands(op)
		f.copy()
	}
}

// copy writes what was read since the instruction began.
func (f *function) copy() {
	if f.err == nil {
		f.out = append(f.out, f.copied[:len(f.copied)-len(f.rest)]...)
	}
}

// operands passes over what stands in the code behind an instruction.
func (f *function) operands(op byte) {
	switch {
	case op == opBlock || op == opIf:
		f.blockType()
	case op == opI32Const || op == opI64Const:
		f.skipNumber()
	case op == opRefNull:
		f.valueType()
	case op == opBr || op == opBrIf || op == opCall || op == opLocalGet || op == opLocalSet || op == opLocalTee,
		op == opTableGet || op == opTableSet || op == opRefFunc:
		f.number()
	case op == opCallInd:
		f.number()
		f.number()
	case op == opGlobalGet || op == opGlobalSet:
		if f.number() >= f.counter && f.err == nil {
			f.fail(errors.New("it uses a global that the module does not have"))
		}
	case op == opBrTable:
		for n := f.number(); n > 0 && f.err == nil; n-- {
			f.number()
		}
		f.number()
	case op == opSelectTyped:
		for n := f.number(); n > 0 && f.err == nil; n-- {
			f.valueType()
		}
	case op >= opLoadFirst && op <= opStoreLast:
		f.memoryOperand()
	case op == opMemorySize:
		f.zero()
	case op == opF32Const:
		f.bytes(4)
	case op == opF64Const:
		f.bytes(8)
	case op == opVector:
		f.vector()
	case plain(op):
	default:
		f.fail(fmt.Errorf("instruction 0x%02x is not known here", op))
	}
}

// plain tells whether an instruction stands alone.
func plain(op byte) bool {
	switch op {
	case 0x00, 0x01, 0x05, opEnd, 0x0f, 0x1a, 0x1b, opRefIsNull: // unreachable, nop, else, end, return, drop, select
		return true
	}
	return op >= opPlainFirst && op <= opPlainLast
}

// blockType passes over what a block takes and gives: nothing, a value, or the index of a type.
func (f *function) blockType() {
	first := f.rest
	f.skipNumber()
	used := first[:len(first)-len(f.rest)]
	if f.err != nil || len(used) == 1 && (used[0] == blockEmpty || isValueType(used[0])) {
		return
	}
	if negative := used[len(used)-1]&0x40 != 0; negative {
		f.fail(errValueType)
	}
}

// memoryOperand passes over alignment and offset. There is one memory.
func (f *function) memoryOperand() {
	if align := f.number(); align > 16 && f.err == nil {
		f.fail(errors.New("an alignment that is not known here"))
	}
	f.number()
}

func (f *function) zero() {
	if f.byte() != 0 && f.err == nil {
		f.fail(errors.New("a second memory"))
	}
}

// more0xfc copies an instruction of two numbers: conversions, and what moves much at once.
func (f *function) more0xfc() {
	switch op := f.number(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7: // conversions
		f.copy()
	case 8: // memory.init
		f.number()
		f.zero()
		f.payForLength()
		f.copy()
	case 9, 13, 16: // data.drop, elem.drop, table.size
		f.number()
		f.copy()
	case 10: // memory.copy
		f.zero()
		f.zero()
		f.payForLength()
		f.copy()
	case 11: // memory.fill
		f.zero()
		f.payForLength()
		f.copy()
	case 12, 14: // table.init, table.copy
		f.number()
		f.number()
		f.payExtra(tablesCost)
		f.copy()
	case 15, 17: // table.grow, table.fill
		f.number()
		f.payExtra(tablesCost)
		f.copy()
	default:
		f.fail(fmt.Errorf("instruction 0xfc %d is not known here", op))
	}
}

// vector passes over the operands of an instruction on vectors.
func (f *function) vector() {
	switch op := f.number(); {
	case op <= 11 || op == 92 || op == 93: // load, store
		f.memoryOperand()
	case op == 12 || op == 13: // const, shuffle
		f.bytes(16)
	case op >= 21 && op <= 34: // lanes
		f.byte()
	case op >= 84 && op <= 91: // load and store of a lane
		f.memoryOperand()
		f.byte()
	case op > 255:
		f.fail(fmt.Errorf("instruction 0xfd %d is not known here", op))
	}
}

// pay takes the function's cost from the counter, and gives way when it is used up. It leaves the
// operand stack as it is.
func (f *function) pay() { f.payExtra(f.cost) }

func (f *function) payExtra(cost uint32) {
	f.write(opGlobalGet, f.counter)
	f.out = appendSigned(append(f.out, opI32Const), int32(min(cost, full)))
	f.out = append(f.out, opI32Sub)
	f.settle()
}

// payForLength takes the cost of moving as many bytes as the number on top of the operand stack says,
// and leaves that there.
func (f *function) payForLength() {
	f.scarred = true
	f.write(opLocalTee, f.scratch)
	f.write(opGlobalGet, f.counter)
	f.write(opLocalGet, f.scratch)
	f.out = append(f.out, opI32Const, moveUnit, opI32ShrU, opI32Sub)
	f.out = append(f.out, opI32Const, 1, opI32Sub)
	f.settle()
}

// settle stores what is left of the counter, and starts it anew where nothing is.
func (f *function) settle() {
	f.write(opGlobalSet, f.counter)
	f.write(opGlobalGet, f.counter)
	f.out = append(f.out, opI32Const, 0, opI32LtS, opIf, blockEmpty)
	f.write(opCall, f.yield)
	f.out = appendSigned(append(f.out, opI32Const), full)
	f.write(opGlobalSet, f.counter)
	f.out = append(f.out, opEnd)
}

func (f *function) write(op byte, index uint32) {
	if f.err == nil {
		f.out = appendNumber(append(f.out, op), index)
	}
}
