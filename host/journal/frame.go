package journal

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	header     = "tesseras journal 1\n"
	frameHead  = 9 // length, checksum, kind
	kindMark   = 0
	markLength = 8
	markFrame  = frameHead + markLength
)

func checksum(length []byte, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, table), table, rest)
}

// appendFrame appends the frame of a record to b.
func appendFrame(b []byte, kind byte, payload []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, 0, 0, 0, 0, kind)
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[at+4:], checksum(b[at:at+4], b[at+8:]))
	return b
}

// appendMark appends the mark that stands at an offset.
func appendMark(b []byte, offset int64) []byte {
	return appendFrame(b, kindMark, binary.BigEndian.AppendUint64(nil, uint64(offset)))
}

// parseFrame reads the frame at the start of b. size is 0 when there is no good one; a mark is good
// only at its own offset. payload is part of b.
func parseFrame(b []byte, offset int64) (kind byte, payload []byte, size int) {
	if len(b) < frameHead {
		return 0, nil, 0
	}
	n := binary.BigEndian.Uint32(b)
	if n > MaxPayload || int(n) > len(b)-frameHead {
		return 0, nil, 0
	}
	size = frameHead + int(n)
	if checksum(b[:4], b[8:size]) != binary.BigEndian.Uint32(b[4:]) {
		return 0, nil, 0
	}
	kind, payload = b[8], b[frameHead:size]
	if kind == kindMark && (n != markLength || binary.BigEndian.Uint64(payload) != uint64(offset)) {
		return 0, nil, 0
	}
	return kind, payload, size
}

// findMark looks for a mark at or after an offset of a whole segment.
func findMark(segment []byte, from int64) (at int64, ok bool) {
	for at = from; at+markFrame <= int64(len(segment)); at++ {
		b := segment[at : at+markFrame]
		if b[3] != markLength || b[8] != kindMark {
			continue
		}
		if kind, _, size := parseFrame(b, at); size == markFrame && kind == kindMark {
			return at, true
		}
	}
	return 0, false
}
