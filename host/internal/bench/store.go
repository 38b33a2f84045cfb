package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

func storeSteps(l *lab) []step {
	return []step{
		{"put 1 MiB", func(ctx context.Context) ([]row, error) { return putRow(ctx, l, 1*mib, 200, 0.75) }},
		{"put 8 MiB", func(ctx context.Context) ([]row, error) { return putRow(ctx, l, 8*mib, 60, 0.85) }},
		{"duplicate put", func(ctx context.Context) ([]row, error) { return duplicateRows(ctx, l) }},
		{"verified read", func(ctx context.Context) ([]row, error) { return readRow(ctx, l) }},
	}
}

// inStore gives an object store on a folder that goes away afterwards.
func inStore(l *lab, work func(*cas.Store) error) error {
	path, err := l.folder("store")
	if err != nil {
		return err
	}
	defer os.RemoveAll(path)
	dir, err := vfs.OpenDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	s, err := cas.New(dir, cas.Config{})
	if err != nil {
		return err
	}
	return work(s)
}

// putRow compares one durable put after another with plain ones.
func putRow(ctx context.Context, l *lab, size int64, times int, goal float64) (rows []row, err error) {
	if l.quick {
		times = 5
	}
	plain, err := l.folder("raw-put")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(plain)
	content := make([]byte, size)
	fillRandom(content)
	raw := func(piece int) func(int) error {
		return func(i int) error {
			return writeDurable(plain, fmt.Sprintf("%s-%d", fileName(i), piece), content, size, piece)
		}
	}
	err = inStore(l, func(s *cas.Store) error {
		if err := wear(ctx, s); err != nil {
			return err
		}
		l.settle()
		r, err := duel(ctx, fmt.Sprintf("put %d MiB", size/mib), size, times, nil,
			func(i int) error {
				binary.BigEndian.PutUint64(content, uint64(i)) // another content each time
				o, err := s.Stage(ctx, bytes.NewReader(content), nil)
				if err == nil {
					s.Unpin(o.Hash)
				}
				return err
			},
			raw(128*kib), raw(512*kib), raw(mib))
		rows = []row{r.atLeast(goal)}
		return err
	})
	return rows, err
}

// wear makes a store as one in use is: all its folders are there.
func wear(ctx context.Context, s *cas.Store) error {
	batch := s.Batch()
	defer batch.Close()
	for i := range uint64(2000) { // of 256 folders
		if _, err := batch.Stage(ctx, bytes.NewReader(binary.BigEndian.AppendUint64(nil, i))); err != nil {
			return err
		}
	}
	return batch.Sync()
}

// readRow compares a read that checks what it reads with hashing a file from the page cache.
func readRow(ctx context.Context, l *lab) (rows []row, err error) {
	err = inStore(l, func(s *cas.Store) error {
		o, err := s.Stage(ctx, bytes.NewReader(l.random), nil)
		if err != nil {
			return err
		}
		defer s.Unpin(o.Hash)
		r, err := l.contest(ctx, "verified read", l.size, func(_ context.Context, t *timer) error {
			t.begin()
			defer t.end()
			return readVerified(s, o)
		}, []part{rawReadHash(l.path("store/"+cas.Path(o.Hash)), l.size)})
		rows = []row{r.atLeast(0.7)}
		return err
	})
	return rows, err
}

func readVerified(s *cas.Store, o cas.Object) error {
	r, err := s.Open(o.Hash, o.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// rawReadHash streams a file from the page cache through plain BLAKE3.
func rawReadHash(path string, size int64) part {
	p := part{name: "BLAKE3 from page cache", bytes: size}
	for _, piece := range []int{256 * kib, mib, 4 * mib} {
		p.forms = append(p.forms, form{fmt.Sprintf("reads of %d KiB", piece/kib), func(_ context.Context, t *timer) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			t.begin()
			defer t.end()
			return hashFile(f, piece)
		}})
	}
	return p
}

// duplicateRows compares puts of a content that is here already with plain hashing of it: with the hash
// given, the content is compared and hashed as it comes; without, it is written first.
func duplicateRows(ctx context.Context, l *lab) (rows []row, err error) {
	size, times := int64(8*mib), 40
	if l.quick {
		times = 3
	}
	content := l.random[:min(size, int64(len(l.random)))]
	size = int64(len(content))
	err = inStore(l, func(s *cas.Store) error {
		first, err := s.Stage(ctx, bytes.NewReader(content), nil)
		if err != nil {
			return err
		}
		defer s.Unpin(first.Hash)
		for _, c := range []struct {
			name  string
			known *digest.Hash
			goal  float64
		}{{"duplicate put, hash given", &first.Hash, 0.8}, {"duplicate put, hash unknown", nil, 0.35}} {
			l.settle()
			r, err := duel(ctx, c.name, size, times, nil,
				func(int) error { return putAgain(ctx, s, content, c.known) },
				func(int) error { hashStream(content, size, mib); return nil })
			if err != nil {
				return err
			}
			rows = append(rows, r.atLeast(c.goal))
		}
		return nil
	})
	return rows, err
}

func putAgain(ctx context.Context, s *cas.Store, content []byte, known *digest.Hash) error {
	o, err := s.Stage(ctx, bytes.NewReader(content), known)
	if err != nil {
		return err
	}
	s.Unpin(o.Hash)
	if !o.Duplicate {
		return errors.New("it was not found to be a duplicate")
	}
	return nil
}
