package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// Badger does not survive a damaged table: depending on the place of a flipped bit it ends the
// process, panics in a goroutine of its own, or goes on as if the table's rows had never been. So
// every table is read and checked here before Badger sees it.
//
// A table is blocks, index, length of the index (u32), checksum of the index, length of that (u32).
// A block is entries, their offsets, their number, checksum of all this, length of that (u32).

var errTable = errors.New("table is damaged")

// verifyTables checks every table that the index consists of. A folder without an index is fine.
func verifyTables(dir string, opt badger.Options) error {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	manifest, err := readManifest(f, opt)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(2)
	for id, t := range manifest.Tables {
		g.Go(func() error {
			if t.Compression != options.None {
				return fmt.Errorf("%w: %d is compressed", errTable, id)
			}
			return verifyTable(table.NewFilename(id, dir))
		})
	}
	return g.Wait()
}

// readManifest reads Badger's list of tables to its very end. Badger would take a damaged length in it
// for a write that was cut short, forget what follows, and remove the tables that are not listed.
func readManifest(f *os.File, opt badger.Options) (badger.Manifest, error) {
	manifest, end, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	if err != nil {
		return manifest, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != end {
		err = fmt.Errorf("%w: the list of tables ends at byte %d of %d", errTable, end, info.Size())
	}
	return manifest, err
}

func verifyTable(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	blocks, index, err := splitTable(content)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	// The index carries a checksum, which was right, so its own offsets can be followed.
	root := fb.GetRootAsTableIndex(index, 0)
	for i := range root.OffsetsLength() {
		var at fb.BlockOffset
		if !root.Offsets(&at, i) {
			return fmt.Errorf("%s: %w: index", filepath.Base(path), errTable)
		}
		if err := verifyBlock(blocks, int64(at.Offset()), int64(at.Len())); err != nil {
			return fmt.Errorf("%s: block %d: %w", filepath.Base(path), i, err)
		}
	}
	return nil
}

// splitTable gives the blocks and the index, which it verifies.
func splitTable(content []byte) (blocks, index []byte, err error) {
	rest, sum, err := cutSum(content)
	if err != nil {
		return nil, nil, err
	}
	rest, size, ok := cutLength(rest)
	if !ok {
		return nil, nil, fmt.Errorf("%w: index", errTable)
	}
	blocks, index = rest[:len(rest)-size], rest[len(rest)-size:]
	return blocks, index, y.VerifyChecksum(index, sum)
}

func verifyBlock(blocks []byte, offset, size int64) error {
	if offset+size > int64(len(blocks)) {
		return fmt.Errorf("%w: block ends behind the blocks", errTable)
	}
	rest, sum, err := cutSum(blocks[offset : offset+size])
	if err != nil {
		return err
	}
	return y.VerifyChecksum(rest, sum)
}

// cutSum takes a checksum and its length from the end of b.
func cutSum(b []byte) (rest []byte, sum *pb.Checksum, err error) {
	rest, size, ok := cutLength(b)
	if !ok {
		return nil, nil, fmt.Errorf("%w: checksum", errTable)
	}
	sum = new(pb.Checksum)
	if err := proto.Unmarshal(rest[len(rest)-size:], sum); err != nil {
		return nil, nil, fmt.Errorf("%w: checksum: %w", errTable, err)
	}
	if sum.Algo != pb.Checksum_CRC32C {
		return nil, nil, fmt.Errorf("%w: checksum of an unknown kind", errTable)
	}
	return rest[:len(rest)-size], sum, nil
}

// cutLength takes a length from the end of b; it is not larger than the rest.
func cutLength(b []byte) (rest []byte, length int, ok bool) {
	if len(b) < 4 {
		return nil, 0, false
	}
	rest = b[:len(b)-4]
	n := binary.BigEndian.Uint32(b[len(b)-4:])
	return rest, int(n), int64(n) <= int64(len(rest))
}
