package salvage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// rescue saves one tessera in the best way there is, and reports it. An error ends the run.
func (s *salvager) rescue(ctx context.Context, id sdk.TesseraID) error {
	t := s.heap.known[id]
	head, documented := t.head()
	if documented && t.deletedBy(id, head.Owner) {
		s.report.Deleted = append(s.report.Deleted, Lost{id, head.Title, "its owner deleted it"})
		return nil
	}
	if !documented && len(t.old) == 0 {
		s.loseUndocumented(id, t)
		return nil
	}
	if done, err := s.there(id, head); err != nil || done {
		return err
	}
	var reasons []error
	for _, way := range t.ways() {
		saved, err := way(ctx, s, id, t)
		if err == nil {
			s.keep(saved)
			return nil
		}
		if ctx.Err() != nil || fatal(err) {
			return err
		}
		s.Logger.Info("one way to save a tessera failed", "tessera", id.Short(), "err", err)
		reasons = append(reasons, err)
	}
	s.report.Lost = append(s.report.Lost, Lost{id, head.Title, oneLine(errors.Join(reasons...))})
	return nil
}

// loseUndocumented reports a tessera of which there are fragments of the old layout at most.
func (s *salvager) loseUndocumented(id sdk.TesseraID, t *traces) {
	if len(t.tombs) > 0 {
		return // nothing of it is here any more
	}
	s.report.Lost = append(s.report.Lost, Lost{ID: id, Why: "there are fragments of it, but neither its plan nor its manifest"})
}

func (s *salvager) keep(saved Saved) {
	if len(saved.Missing) > 0 {
		s.report.Partly = append(s.report.Partly, saved)
		return
	}
	s.report.Saved = append(s.report.Saved, saved)
}

// fatal tells that no other way would help: the destination is at fault.
func fatal(err error) bool {
	return errors.Is(err, errDestination) || errors.Is(err, tessera.ErrDestination) || errors.Is(err, tessera.ErrCollision)
}

// head is what the documents say of a tessera, if there are any.
func (t *traces) head() (tessera.Head, bool) {
	if t.manifest != nil {
		return t.manifest.Head, true
	}
	for _, p := range t.plans {
		if h, err := p.Head(); err == nil {
			return h, true
		}
	}
	return tessera.Head{}, false
}

func (t *traces) deletedBy(id sdk.TesseraID, owner sdk.OwnerKey) bool {
	return slices.ContainsFunc(t.tombs, func(tomb *tessera.Tombstone) bool {
		return tomb.Tessera == id && tomb.Verify(owner) == nil
	})
}

// way saves a tessera, or says why it cannot.
type way func(ctx context.Context, s *salvager, id sdk.TesseraID, t *traces) (Saved, error)

// ways lists the ways to save a tessera, the best first.
func (t *traces) ways() (ways []way) {
	if t.manifest != nil {
		ways = append(ways, fromObjects)
	}
	for _, plan := range t.plans {
		ways = append(ways, func(ctx context.Context, s *salvager, id sdk.TesseraID, _ *traces) (Saved, error) {
			return s.fromFragments(ctx, id, plan)
		})
	}
	switch {
	case t.manifest != nil:
		ways = append(ways, inPart)
	case len(t.old) > 0:
		ways = append(ways, fromOldLayout)
	}
	return ways
}

// there tells whether an earlier run has written a tessera: its folder appears in one step, whole.
func (s *salvager) there(id sdk.TesseraID, head tessera.Head) (bool, error) {
	if s.To == "" {
		return false, nil
	}
	entries, err := os.ReadDir(s.dir(id))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.keep(Saved{ID: id, Title: head.Title, Dir: s.dir(id), Files: head.Files, Bytes: head.Bytes, Already: true})
	return true, nil
}

func (s *salvager) dir(id sdk.TesseraID) string { return filepath.Join(s.To, id.String()) }

// fromObjects packs the tessera of its files.
func fromObjects(ctx context.Context, s *salvager, id sdk.TesseraID, t *traces) (Saved, error) {
	if gone := s.missing(t.manifest); len(gone) > 0 {
		return Saved{}, fmt.Errorf("%d of %d files are missing or damaged", len(gone), t.manifest.Head.Files)
	}
	return s.write(ctx, id, FromObjects, func(w io.Writer) error {
		return tessera.Pack(ctx, w, t.manifest, func(e tessera.Entry) (io.ReadCloser, error) {
			return os.Open(s.heap.pieces[e.Hash].path)
		})
	})
}

// missing lists the files of a manifest that were not found.
func (s *salvager) missing(m *tessera.Manifest) (gone []Missing) {
	for _, e := range m.Entries {
		if e.Folder {
			continue
		}
		if p, ok := s.heap.pieces[e.Hash]; !ok || p.size != e.Size {
			gone = append(gone, Missing{e.Path, "no intact copy of it was found"})
		}
	}
	return gone
}

// fromFragments decodes the tessera. A shard that has become unreadable since it was hashed gives way
// to another.
func (s *salvager) fromFragments(ctx context.Context, id sdk.TesseraID, plan *fragment.FragmentPlan) (Saved, error) {
	bad := map[int]bool{}
	for {
		paths := s.shards(plan, bad)
		if len(paths) < plan.Data {
			return Saved{}, fmt.Errorf("%d intact fragments, %d are needed", len(paths), plan.Data)
		}
		saved, err := s.write(ctx, id, FromFragments, func(w io.Writer) error { return decode(ctx, plan, paths, w) })
		if err == nil || ctx.Err() != nil || fatal(err) || !recheck(ctx, plan, paths, bad) {
			return saved, err
		}
	}
}

// shards finds fragments of a plan: distinct indices, intact when they were hashed.
func (s *salvager) shards(plan *fragment.FragmentPlan, bad map[int]bool) map[int]string {
	paths := map[int]string{}
	for i, hash := range plan.Fragments {
		if p, ok := s.heap.pieces[hash]; ok && !bad[i] && p.size == plan.ShardSize() {
			paths[i] = p.path
		}
	}
	return paths
}

// recheck looks at the shards again and tells whether it found a bad one.
func recheck(ctx context.Context, plan *fragment.FragmentPlan, paths map[int]string, bad map[int]bool) (found bool) {
	for i, path := range paths {
		f, err := os.Open(path)
		if err == nil {
			err = errors.Join(fragment.VerifyShard(ctx, plan, i, f), f.Close())
		}
		if err != nil {
			bad[i], found = true, true
		}
	}
	return found
}

func decode(ctx context.Context, plan *fragment.FragmentPlan, paths map[int]string, w io.Writer) error {
	shards := map[int]io.Reader{}
	for i, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		shards[i] = f
	}
	return fragment.Decode(ctx, plan, shards, w)
}

// write turns a packed stream into the tessera's folder, or only checks every byte of it.
func (s *salvager) write(ctx context.Context, id sdk.TesseraID, from string, pack func(io.Writer) error) (Saved, error) {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(w)
		w.CloseWithError(err)
		packed <- err
	}()
	m, err := s.unpack(ctx, id, r)
	r.CloseWithError(err)
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) {
		err = packErr // the cause of what unpacking says
	}
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{ID: id, Title: m.Head.Title, From: from, Files: m.Head.Files, Bytes: m.Head.Bytes}
	if s.To != "" {
		saved.Dir = s.dir(id)
	}
	return saved, nil
}

func (s *salvager) unpack(ctx context.Context, id sdk.TesseraID, r io.Reader) (*tessera.Manifest, error) {
	if s.To != "" {
		return tessera.UnpackTo(ctx, r, s.dir(id), tessera.UnpackOptions{ID: id})
	}
	var c checker
	if err := tessera.Unpack(ctx, r, &c); err != nil {
		return nil, err
	}
	if c.manifest.ID() != id {
		return nil, tessera.ErrOtherTessera
	}
	return c.manifest, nil
}

// checker is a tessera.Sink that keeps nothing.
type checker struct{ manifest *tessera.Manifest }

var _ tessera.Sink = (*checker)(nil)

// Manifest implements tessera.Sink.
func (c *checker) Manifest(m *tessera.Manifest) error {
	c.manifest = m
	return nil
}

// Folder implements tessera.Sink.
func (c *checker) Folder(tessera.Entry) error { return nil }

// File implements tessera.Sink.
func (c *checker) File(_ tessera.Entry, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	return err
}

// verified reads a piece and checks it on the way.
func (s *salvager) verified(hash digest.Hash) (io.ReadCloser, error) {
	p, ok := s.heap.pieces[hash]
	if !ok {
		return nil, errors.New("no intact copy of it was found")
	}
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.NewReader(f, hash, p.size), f}, nil
}
