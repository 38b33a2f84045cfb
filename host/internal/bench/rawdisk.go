package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// rawSpool writes files without a sync.
func (l *lab) rawSpool(what string, files int, each int64) part {
	write := func(atOnce, piece int) timed {
		return func(_ context.Context, t *timer) error {
			dir := l.path("raw-spool")
			defer os.RemoveAll(dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			t.begin()
			defer t.end()
			return lanes(files, atOnce, func(i int) error {
				return writePlain(filepath.Join(dir, fileName(i)), l.random, each, piece)
			})
		}
	}
	p := part{name: what, bytes: int64(files) * each, forms: []form{{"1 file at a time, writes of 1 MiB", write(1, mib)}}}
	if files > 1 {
		p.forms = append(p.forms,
			form{"2 files at a time, writes of 1 MiB", write(2, mib)},
			form{"4 files at a time, writes of 256 KiB", write(4, 256*kib)})
	}
	return p
}

func writePlain(path string, data []byte, size int64, piece int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = stream(data, size, piece, func(b []byte) error {
		_, err := f.Write(b)
		return err
	})
	return errors.Join(err, f.Close())
}

// rawRead reads files from the page cache.
func rawRead(what string, files []string, each int64) part {
	read := func(atOnce int) timed {
		return func(_ context.Context, t *timer) error {
			t.begin()
			defer t.end()
			return lanes(len(files), atOnce, func(i int) error {
				f, err := os.Open(files[i])
				if err != nil {
					return err
				}
				defer f.Close()
				buf := make([]byte, 256*kib)
				for err == nil {
					_, err = f.Read(buf)
				}
				if err == io.EOF {
					return nil
				}
				return err
			})
		}
	}
	return part{what, int64(len(files)) * each, []form{{"1 at a time", read(1)}, {"2 at a time", read(2)}}}
}

// writeDurable makes one file durable: write, fsync, rename, fsync of the folder.
func writeDurable(dir, name string, data []byte, size int64, piece int) error {
	if err := writeSynced(dir, name, data, size, piece); err != nil {
		return err
	}
	return syncFolder(dir)
}

// writeSynced is writeDurable without the folder.
func writeSynced(dir, name string, data []byte, size int64, piece int) error {
	temp := filepath.Join(dir, name+".tmp")
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	err = stream(data, size, piece, func(b []byte) error {
		_, err := f.Write(b)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, name))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rawSmallFiles makes many small files durable, each synced, their folders synced once.
func (l *lab) rawSmallFiles(files int, each int64) part {
	write := func(atOnce, folders int) timed {
		return func(_ context.Context, t *timer) error {
			dir := l.path(l.unused("raw-small"))
			for i := range folders {
				if err := os.MkdirAll(filepath.Join(dir, fileName(i)), 0o700); err != nil {
					return err
				}
			}
			t.begin()
			defer t.end()
			err := lanes(files, atOnce, func(i int) error {
				return writeSynced(filepath.Join(dir, fileName(i%folders)), fileName(i), l.random, each, mib)
			})
			if err != nil {
				return err
			}
			return lanes(folders, atOnce, func(i int) error { return syncFolder(filepath.Join(dir, fileName(i))) })
		}
	}
	return part{"small files, each fsynced", int64(files) * each, []form{
		{"16 at a time", write(16, 1)},
		{"64 at a time", write(64, 1)},
		{"128 at a time", write(128, 1)},
		{"16 at a time, in 256 folders", write(16, 256)},
		{"64 at a time, in 256 folders", write(64, 256)},
	}}
}

// rawDurable makes one large file durable.
func (l *lab) rawDurable(size int64) part {
	write := func(piece int) timed {
		return func(_ context.Context, t *timer) error {
			dir := l.path("raw-durable")
			defer os.RemoveAll(dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			t.begin()
			defer t.end()
			return writeDurable(dir, "file", l.random, size, piece)
		}
	}
	return part{"durable write", size, []form{
		{"1 file, writes of 256 KiB", write(256 * kib)}, {"1 file, writes of 1 MiB", write(mib)},
	}}
}

func fileName(i int) string { return fmt.Sprintf("%06d", i) }

func subfolder(i int) string { return fmt.Sprintf("%04d", i/100) }
