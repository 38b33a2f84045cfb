package catalog

import (
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
)

// committed is a small file beside the index that says how many transactions were acknowledged. Badger
// takes the first bad byte of its log for the end of it and goes on as if what follows had never been,
// so a damaged or shortened log would silently lose what was acknowledged. With this number it shows.
//
// The file is written after each transaction and not synced: after a loss of power it may be behind
// the index, never before it, because what it counts was synced first. All methods work on nil, which
// is that of an index in memory.
type committed struct {
	f   *os.File
	log *slog.Logger
}

const committedName = "committed"

// committedSize is that of the number, big-endian, and of its CRC-32C.
const committedSize = 12

func openCommitted(dir string, log *slog.Logger) (*committed, error) {
	f, err := os.OpenFile(filepath.Join(dir, committedName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &committed{f, log}, nil
}

// read gives the number; ok is false when there is none that can be trusted.
func (c *committed) read() (sequence uint64, ok bool) {
	if c == nil {
		return 0, false
	}
	var b [committedSize]byte
	if n, _ := c.f.ReadAt(b[:], 0); n < committedSize {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint32(b[8:]) == committedSum(b[:8])
}

// write notes the number. A failure costs the next start a check, and nothing else.
func (c *committed) write(sequence uint64) {
	if c == nil {
		return
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, committedSize), sequence)
	b = binary.BigEndian.AppendUint32(b, committedSum(b))
	if _, err := c.f.WriteAt(b, 0); err != nil {
		c.log.Warn("cannot note the last transaction of the index", "err", err)
	}
}

func (c *committed) close() error {
	if c == nil {
		return nil
	}
	return c.f.Close()
}

func committedSum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
