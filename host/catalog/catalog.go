package catalog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// StorageVersion is the version of the layout of the data directory, kept in the meta row
// "storage_version", and beside the index by whoever opens the directory.
const StorageVersion = 2

// Defaults of Options.
const (
	DefaultIndexCache = 32 << 20
	DefaultLockWait   = 5 * time.Second
	DefaultBallast    = 64 << 20
)

// Options say how to open a catalog. The zero value is good.
type Options struct {
	// IndexCache bounds, in bytes, what is kept in memory of the parts of the index read last.
	IndexCache int64
	// LockWait is how long to wait for another process to let go. Negative is not at all.
	LockWait time.Duration
	// Ballast is the size in bytes of the file that is given up when the disk is full. Negative is none.
	Ballast int64
	Logger  *slog.Logger
	// Now dates the object rows.
	Now func() time.Time
	// Free tells the bytes free on the disk under a folder; nil asks the file system. It is for tests.
	Free func(dir string) (bytes int64, err error)
}

func (o Options) withDefaults() Options {
	if o.IndexCache <= 0 {
		o.IndexCache = DefaultIndexCache
	}
	if o.LockWait == 0 {
		o.LockWait = DefaultLockWait
	}
	if o.Ballast == 0 {
		o.Ballast = DefaultBallast
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Free == nil {
		o.Free = statfs
	}
	return o
}

// Catalog is an open index. All its methods may be called at the same time.
type Catalog struct {
	kv    kv
	space *space // nil in memory
	lock  *dirLock
	now   func() time.Time
	log   *slog.Logger

	committed *committed // nil in memory
	fresh     bool
	collected atomic.Int64

	writer sync.Mutex // held by the one Update under way; guards failed and space
	failed error      // the write error after which nothing is written any more

	mu     sync.Mutex // guards closed, and users against starting to grow once it is set
	closed bool
	users  sync.WaitGroup
}

// Open opens the index in a folder, creating both where they are missing. It is the only way to open
// Badger. The errors to decide on are ErrInUse, ErrNewerVersion, ErrOutdated,
// ErrDamaged and ErrDiskFull.
func Open(dir string, o Options) (*Catalog, error) {
	o = o.withDefaults()
	c, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	return c, nil
}

func open(dir string, o Options) (c *Catalog, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir, o.LockWait)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.release()
		}
	}()
	space := &space{dir: dir, ballast: o.Ballast, statfs: o.Free, log: o.Logger}
	if err := space.beforeOpen(); err != nil {
		return nil, err
	}
	db, err := openDisk(dir, o.IndexCache, o.Logger)
	if err != nil {
		return nil, err
	}
	space.rewrites = db.rewrites
	c = &Catalog{kv: db, space: space, lock: lock, now: o.Now, log: o.Logger}
	c.committed, err = openCommitted(dir, o.Logger)
	for _, check := range []func() error{c.checkCommitted, c.checkVersion, c.checkBooks} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.committed.close(), db.close())
	}
	return c, nil
}

// OpenMemory gives an empty catalog that lives in memory until it is closed.
func OpenMemory(o Options) (*Catalog, error) {
	o = o.withDefaults()
	c := &Catalog{kv: newMemory(), now: o.Now, log: o.Logger}
	if err := errors.Join(c.checkVersion(), c.checkBooks()); err != nil {
		return nil, fmt.Errorf("open index in memory: %w", err)
	}
	return c, nil
}

// Fresh tells that Open found nothing and began an empty index, to be filled: see MetaUnfilled.
func (c *Catalog) Fresh() bool { return c.fresh }

// Close waits for the transactions under way and closes the index. Later calls give ErrClosed.
func (c *Catalog) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.closed = true
	c.mu.Unlock()
	c.users.Wait()
	c.space.beforeClose()
	err := errors.Join(c.kv.close(), c.committed.close())
	if c.lock != nil {
		c.lock.release()
	}
	if err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// View reads. What fn sees does not change while it runs.
func (c *Catalog) View(fn func(*Tx) error) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.users.Done()
	tx := &Tx{base: c.kv.snapshot(), now: c.now}
	defer tx.base.release()
	return fn(tx)
}

// Update reads and writes. When fn returns nil its writes become visible all at once and are on
// stable storage when Update returns; otherwise nothing happens. There is one Update at a time: fn
// must not call Update, nor wait for somebody who does. fn may see ErrTooBig and should pass it on.
func (c *Catalog) Update(fn func(*Tx) error) error { return c.update(fn, (*space).guard) }

// Reclaim is Update for writes that free space: it goes on when the disk is too full for others,
// giving up the ballast first.
func (c *Catalog) Reclaim(fn func(*Tx) error) error { return c.update(fn, (*space).guardReclaim) }

func (c *Catalog) update(fn func(*Tx) error, guard func(*space) error) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.users.Done()
	c.writer.Lock()
	defer c.writer.Unlock()
	if c.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, c.failed)
	}
	if err := guard(c.space); err != nil {
		return err
	}
	tx := &Tx{base: c.kv.snapshot(), pending: newPending(), ahead: map[string][]byte{}, now: c.now}
	defer tx.base.release()
	if err := fn(tx); err != nil {
		return err
	}
	return c.commit(tx)
}

// commit makes the transaction durable. The log of the index is a sequence: after a failed write
// there may be a hole in it, and what follows a hole is lost at the next start, so nothing may follow.
func (c *Catalog) commit(tx *Tx) error {
	if tx.pending.Len() == 0 {
		return nil
	}
	sequence, err := tx.enterBooks()
	if err != nil {
		return err
	}
	err = c.kv.apply(tx.changes())
	if errors.Is(err, ErrTooBig) {
		return err
	}
	if err != nil {
		c.failed = err
		c.log.Error("index write failed, index is read-only until it is opened again", "err", err)
		return fmt.Errorf("write index: %w", err)
	}
	c.committed.write(sequence)
	return nil
}

func (c *Catalog) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.users.Add(1)
	return nil
}
