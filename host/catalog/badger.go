package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// The sizes of an index, not of a store of bytes: no row comes near the value threshold, so the
// value log stays empty, and one transaction holds some four thousand rows. The log has the least size
// there is, because Badger maps twice that much, and the system may prepare all of it.
const (
	memTableSize     = 4 << 20 // what an open index takes of memory, and a third more
	memTables        = 2
	levelZeroTables  = 6 // at most, then writes wait: what a compaction of them writes fits the ballast
	valueLogFileSize = 1 << 20
	valueThreshold   = 512 << 10 // above every row, below what Badger takes in one transaction with these tables
)

// disk is the kv in a Badger database.
type disk struct{ db *badger.DB }

var _ kv = (*disk)(nil)

// openDisk is the only place that opens Badger. Conflict detection is off because the catalog has one
// writer at a time. Tables are not compressed: keys and values are hashes for the most part. What
// Badger calls its index cache does nothing without encryption; its block cache is what is bounded. The lock is
// ours (dirLock): Badger's own would outlive a close where a process is started at that moment.
func openDisk(dir string, cache int64, log *slog.Logger) (*disk, error) {
	opt := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTableSize).
		WithNumMemtables(memTables).
		WithNumLevelZeroTablesStall(levelZeroTables).
		WithValueLogFileSize(valueLogFileSize).
		WithValueThreshold(valueThreshold).
		WithBlockCacheSize(cache).
		WithNumCompactors(2).
		WithCompression(options.None).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true).
		WithLogger(badgerLog{log})
	if err := clearUnborn(dir); err != nil {
		return nil, err
	}
	if err := verifyTables(dir, opt); err != nil {
		return nil, orDamaged(err)
	}
	db, err := openBadger(opt)
	if err != nil {
		return nil, orDamaged(err)
	}
	return &disk{db}, nil
}

// openBadger makes an error of a panic: that is how Badger takes some kinds of damage.
func openBadger(opt badger.Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("badger panicked: %v", p)
		}
	}()
	return badger.Open(opt)
}

// clearUnborn removes logs that a process was killed over just after it had made the file and before it
// gave it a size. There is nothing in them, but Badger refuses to open beside one.
func clearUnborn(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Size() == 0 {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// orDamaged calls everything damage but what the operating system refused us. A file that is missing is
// damage.
func orDamaged(err error) error {
	refused := errors.As(err, new(*fs.PathError)) || errors.As(err, new(syscall.Errno))
	if refused && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (d *disk) snapshot() snapshot { return diskSnapshot{d.db.NewTransaction(false)} }

func (d *disk) apply(changes []change) error {
	txn := d.db.NewTransaction(true)
	defer txn.Discard()
	for _, c := range changes {
		if err := stageChange(txn, c); err != nil {
			return err
		}
	}
	return txn.Commit()
}

func stageChange(txn *badger.Txn, c change) error {
	var err error
	if c.del {
		err = txn.Delete(c.key)
	} else {
		err = txn.Set(c.key, c.value)
	}
	if errors.Is(err, badger.ErrTxnTooBig) {
		return ErrTooBig
	}
	return err
}

// rewrites is how many bytes a compaction of level 0 would write now: all its tables, and those of the
// level they go to. Badger deletes what it has read after that.
func (d *disk) rewrites() (bytes int64) {
	for _, l := range d.db.Levels() {
		if l.Level == 0 || l.IsBaseLevel {
			bytes += l.Size
		}
	}
	return bytes
}

func (d *disk) close() error { return d.db.Close() }

type diskSnapshot struct{ txn *badger.Txn }

func (s diskSnapshot) get(key []byte) ([]byte, error) {
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

func (s diskSnapshot) page(prefix, from []byte, limit int) ([]row, error) {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	var out []row
	for it.Seek(start(prefix, from)); it.Valid() && len(out) < limit; it.Next() {
		item := it.Item()
		value, err := item.ValueCopy(nil)
		if err != nil {
			return nil, err
		}
		out = append(out, row{item.KeyCopy(nil), value})
	}
	return out, nil
}

func (s diskSnapshot) release() { s.txn.Discard() }

// badgerLog hands Badger's lines on; what it calls information is debugging to us.
type badgerLog struct{ log *slog.Logger }

var _ badger.Logger = badgerLog{}

func (l badgerLog) Errorf(f string, a ...any) { l.log.Error(line(f, a), "part", "badger") }

// Warningf hands warnings on, but for those about the block cache: Badger counts a block of a mapped table
// as if it were the whole table, and so warns every minute that the cache is too small.
func (l badgerLog) Warningf(f string, a ...any) {
	text := line(f, a)
	if strings.HasPrefix(text, "Block cache might be too small") || strings.HasPrefix(text, "Cache life expectancy") {
		l.log.Debug(text, "part", "badger")
		return
	}
	l.log.Warn(text, "part", "badger")
}

func (l badgerLog) Infof(f string, a ...any)  { l.log.Debug(line(f, a), "part", "badger") }
func (l badgerLog) Debugf(f string, a ...any) { l.log.Debug(line(f, a), "part", "badger") }

func line(format string, args []any) string { return strings.TrimSpace(fmt.Sprintf(format, args...)) }

// CacheLimit is how many bytes of the index may be kept in memory; 0 for one that is nowhere else.
func (c *Catalog) CacheLimit() int64 {
	d, onDisk := c.kv.(*disk)
	if !onDisk {
		return 0
	}
	return d.db.Opts().BlockCacheSize
}
