package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/sdk"
)

// old is a file of the old layout.
type old struct {
	path   string
	memory digest.Hash // of a file of a memory
	name   string      // of a file of a memory
	index  int         // of a fragment; -1 for a file of a memory
}

// eachTessera gives the old files of every tessera in some folders of the old layout.
func (m *migration) eachTessera(ctx context.Context, folders []string, use func(context.Context, sdk.TesseraID, []old) error) error {
	for _, folder := range folders {
		entries, err := m.FS.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			path := folder + "/" + e.Name()
			id, err := sdk.ParseTesseraID(e.Name())
			if err != nil || !e.IsDir() {
				m.leave(path, errors.New("it is not the folder of a tessera"))
				continue
			}
			files, err := m.list(folder, path)
			if err != nil {
				m.leave(path, err)
				continue
			}
			if err := use(ctx, id, files); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

// leave tells of something that stays in the old layout, once.
func (m *migration) leave(path string, why error) {
	if m.left[path] {
		return
	}
	m.left[path] = true
	m.report.Left = len(m.left)
	m.Log.Warn("this stays in the old layout", "file", path, "why", why)
}

// list lists the files of a tessera that belong into the old layout.
func (m *migration) list(folder, path string) ([]old, error) {
	if folder == FragmentsFolder {
		return m.listFragments(path)
	}
	memories, err := m.FS.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []old
	for _, e := range memories {
		memory, err := digest.Parse(e.Name())
		if err != nil || !e.IsDir() {
			m.leave(path+"/"+e.Name(), errors.New("it is not the folder of a memory"))
			continue
		}
		entries, err := m.FS.ReadDir(path + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		for _, f := range entries {
			files = m.add(files, f, old{path: path + "/" + e.Name() + "/" + f.Name(), memory: memory, name: f.Name(), index: -1})
		}
	}
	return files, nil
}

func (m *migration) listFragments(path string) ([]old, error) {
	entries, err := m.FS.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []old
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ShardExtension)
		index, err := strconv.ParseUint(digits, 10, 16)
		if !ok || err != nil {
			m.leave(path+"/"+e.Name(), errors.New("it is not called like a fragment"))
			continue
		}
		files = m.add(files, e, old{path: path + "/" + e.Name(), index: int(index)})
	}
	return files, nil
}

func (m *migration) add(files []old, e fs.DirEntry, f old) []old {
	if !e.Type().IsRegular() {
		m.leave(f.path, errors.New("it is not a file"))
		return files
	}
	return append(files, f)
}

// copy brings the files of a tessera over: objects, document, rows. What came over earlier and lies only
// in the store now is not looked at: whether it is whole is for scrub to find out.
func (m *migration) copy(ctx context.Context, id sdk.TesseraID, files []old) error {
	if len(files) == 0 {
		return nil
	}
	dead, err := m.buried(id)
	if err != nil || dead {
		return err // nothing of it is needed; clear removes it
	}
	note, err := m.note(id)
	if err != nil {
		m.leaveAll(files, err) // what it says must not be written over
		return nil
	}
	plan, err := m.plan(id)
	if err != nil {
		return err
	}
	batch := m.Store.Batch()
	defer batch.Close()
	objects, err := m.stageAll(ctx, batch, files)
	if err != nil {
		return err
	}
	m.Reached("copied")
	came := m.readBack(note, plan, objects)
	if len(came) == 0 {
		return nil
	}
	err = m.write(note)
	if errors.Is(err, sidecar.ErrTooBig) {
		m.leaveAll(files, err)
		return nil
	}
	if err != nil {
		return err
	}
	m.Reached("noted")
	if err := errors.Join(m.record(note), m.heal(came)); err != nil {
		return err
	}
	m.came += len(came)
	m.Reached("recorded")
	return nil
}

func (m *migration) leaveAll(files []old, why error) {
	for _, f := range files {
		m.leave(f.path, why)
	}
}

// staged is an old file whose content is an object.
type staged struct {
	old
	cas.Object
}

// stageAll copies files as objects, durably. One that cannot be read stays.
func (m *migration) stageAll(ctx context.Context, batch *cas.Batch, files []old) (objects []staged, err error) {
	for _, f := range files {
		o, unreadable, err := m.stage(ctx, batch, f)
		if err != nil {
			return nil, err
		}
		if unreadable != nil {
			m.leave(f.path, unreadable)
			continue
		}
		objects = append(objects, staged{f, o})
	}
	return objects, batch.Sync()
}

// stage copies one file.
func (m *migration) stage(ctx context.Context, batch *cas.Batch, f old) (o cas.Object, unreadable, err error) {
	from, err := m.FS.Open(f.path)
	if err != nil {
		return o, err, nil
	}
	defer from.Close()
	source := &watched{r: from}
	o, err = batch.Stage(ctx, source)
	if source.err != nil {
		return o, source.err, nil
	}
	return o, nil, err
}

// fits tells whether a fragment is what its plan names, if there is a plan.
func fits(plan *fragment.FragmentPlan, index int, h digest.Hash) bool {
	return plan == nil || index < plan.Total() && plan.Fragments[index] == h
}

// watched remembers why a file could not be read, which is no fault of the store.
type watched struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// readBack reads the objects that were staged, notes those that are whole, and gives them. The files of
// others stay.
func (m *migration) readBack(note *References, plan *fragment.FragmentPlan, objects []staged) (came []digest.Hash) {
	for _, s := range objects {
		err := m.belongs(note, plan, s)
		if err == nil {
			err = m.whole(s.Object)
		}
		if err != nil {
			m.leave(s.path, err)
			continue
		}
		note.add(s)
		came = append(came, s.Hash)
	}
	return came
}

// belongs tells why a fragment cannot be the one that its name says.
func (m *migration) belongs(note *References, plan *fragment.FragmentPlan, s staged) error {
	switch {
	case s.index < 0:
		return nil
	case slices.ContainsFunc(note.Fragments, func(g Fragment) bool { return g.Index == s.index && g.Hash != s.Hash }):
		return errors.New("another fragment of this index is here")
	case !fits(plan, s.index, s.Hash):
		return errors.New("its plan names other bytes")
	}
	return nil
}

// whole reads an object to its end.
func (m *migration) whole(o cas.Object) error {
	r, err := m.Store.Open(o.Hash, o.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

func (r *References) add(s staged) {
	if s.index < 0 {
		r.Blobs = append(r.Blobs, Blob{s.memory, s.name, s.Hash, s.Size})
		return
	}
	r.Fragments = append(r.Fragments, Fragment{s.index, s.Hash, s.Size})
}

// write keeps the document of a tessera. One that could not be read again is sidecar.ErrTooBig.
func (m *migration) write(note *References) error {
	doc := note.Bytes()
	if len(doc) > m.MaxDocument {
		return fmt.Errorf("%w: what would be noted of it takes %d bytes, and at most %d are", sidecar.ErrTooBig, len(doc), m.MaxDocument)
	}
	return m.notes.Write(note.Tessera, Extension, doc)
}

// clear removes from the old layout what is over, and the folders that are empty then.
func (m *migration) clear(ctx context.Context, folders []string) error {
	err := m.eachTessera(ctx, folders, m.clearTessera)
	for _, folder := range folders {
		if err == nil {
			err = m.prune(folder)
		}
	}
	if err != nil {
		return fmt.Errorf("remove what was brought over: %w", err)
	}
	return m.FS.SyncDir(".")
}

func (m *migration) clearTessera(_ context.Context, id sdk.TesseraID, files []old) error {
	dead, err := m.buried(id)
	if err != nil {
		return err
	}
	note, err := m.note(id)
	if err != nil {
		return nil // its files were left
	}
	over := note.index()
	for _, f := range files {
		h, ok := over[f.key()]
		if ok = ok && !m.left[f.path]; ok {
			ok, err = m.Store.Contains(h)
		}
		if err == nil && (ok || dead) {
			err = m.FS.Remove(f.path)
			m.Reached("removed")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// key tells the old files of a tessera from each other.
func (f old) key() string {
	if f.index >= 0 {
		return strconv.Itoa(f.index)
	}
	return f.memory.String() + "/" + f.name
}

// index finds the object of an old file.
func (r *References) index() map[string]digest.Hash {
	out := map[string]digest.Hash{}
	for _, b := range r.Blobs {
		out[old{memory: b.Memory, name: b.Name, index: -1}.key()] = b.Hash
	}
	for _, f := range r.Fragments {
		out[old{index: f.Index}.key()] = f.Hash
	}
	return out
}

// prune removes a folder and those in it as far as they are empty.
func (m *migration) prune(folder string) error {
	entries, err := m.FS.ReadDir(folder)
	if err != nil {
		return err
	}
	full := false
	for _, e := range entries {
		if !e.IsDir() {
			full = true
			continue
		}
		if err := m.prune(folder + "/" + e.Name()); err != nil {
			return err
		}
	}
	if full {
		return nil
	}
	entries, err = m.FS.ReadDir(folder)
	if err != nil || len(entries) > 0 {
		return err
	}
	return m.FS.Remove(folder)
}
