package salvage

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type owner struct{ key ed25519.PrivateKey }

func (o owner) Key() sdk.OwnerKey      { return sdk.OwnerKey(o.key.Public().(ed25519.PublicKey)) }
func (o owner) Sign(msg []byte) []byte { return ed25519.Sign(o.key, msg) }

var me = owner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}

// sample is a tessera with all there is of it.
type sample struct {
	files    map[string]string
	manifest *tessera.Manifest
	plan     *fragment.FragmentPlan
	shards   [][]byte
}

type shardSink struct{ shards []bytes.Buffer }

func (s *shardSink) Create(i int) (io.WriteCloser, error) { return nopCloser{&s.shards[i]}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// newSample cuts a tessera 3+2.
func newSample(t *testing.T, title string) *sample {
	t.Helper()
	s := &sample{files: map[string]string{"a.txt": "alpha " + title, "b/c d.jpg": strings.Repeat("picture "+title, 3000), "empty": ""}}
	var list tessera.FileList
	for path, content := range s.files {
		list = append(list, tessera.Entry{Path: path, Hash: digest.Of([]byte(content)), Size: int64(len(content)), ModTime: time.Unix(1e9, 0)})
	}
	var err error
	s.manifest, err = tessera.Seal(list, title, time.Unix(2e9, 0), me)
	must(t, err)
	var packed bytes.Buffer
	must(t, tessera.Pack(t.Context(), &packed, s.manifest, func(e tessera.Entry) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(s.files[e.Path])), nil
	}))
	p := fragment.Params{Tier: fragment.Medium, Data: 3, Parity: 2, Chunk: 1024, Packed: int64(packed.Len()), Copies: 1}
	sink := &shardSink{make([]bytes.Buffer, p.Total())}
	hashes, err := fragment.Encode(t.Context(), p, &packed, sink)
	must(t, err)
	s.plan, err = fragment.NewPlan(p, hashes, s.manifest.HeadBytes, s.manifest.Signature)
	must(t, err)
	must(t, s.plan.Sign(me))
	for i := range sink.shards {
		s.shards = append(s.shards, sink.shards[i].Bytes())
	}
	return s
}

func put(t *testing.T, content []byte, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

// object puts a content where the store would.
func object(t *testing.T, dir string, content []byte) string {
	t.Helper()
	h := digest.Of(content).String()
	return put(t, content, dir, "objects", h[:2], h+".blob")
}

// ownerDir is the data directory of who made the tessera.
func (s *sample) ownerDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	id := s.manifest.ID().String()
	put(t, s.manifest.Bytes(), dir, "tesseras", id[:2], id+".tessera")
	for _, content := range s.files {
		object(t, dir, []byte(content))
	}
	put(t, []byte("key"), dir, "identity", "owner.key")
	return dir
}

// holderDir is the data directory of a holder of some fragments.
func (s *sample) holderDir(t *testing.T, indices ...int) string {
	t.Helper()
	dir := t.TempDir()
	id := s.plan.Tessera.String()
	put(t, s.plan.Bytes(), dir, "plans", id[:2], id+".plan")
	for _, i := range indices {
		object(t, dir, s.shards[i])
	}
	return dir
}

func run(t *testing.T, to string, dirs ...string) *Report {
	t.Helper()
	r, err := Run(t.Context(), dirs, Options{To: to})
	must(t, err)
	return r
}

// tree reads a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = string(b)
		return err
	}))
	return out
}

func (s *sample) wantSaved(t *testing.T, r *Report, from string) {
	t.Helper()
	if len(r.Saved) != 1 || r.Saved[0].ID != s.manifest.ID() || r.Saved[0].From != from || !r.Complete() {
		t.Fatalf("report %+v", r)
	}
	if got := tree(t, r.Saved[0].Dir); !maps.Equal(got, s.files) {
		t.Fatalf("saved %d files, not the same", len(got))
	}
}

func TestFromTheOwnersObjects(t *testing.T) {
	s := newSample(t, "mine")
	s.wantSaved(t, run(t, t.TempDir(), s.ownerDir(t)), FromObjects)
}

// TestFromAnyFragments tries every set of fragments, spread over folders, renamed and beside rubbish.
func TestFromAnyFragments(t *testing.T) {
	s := newSample(t, "held")
	size, cases := suite.SalvageSets, 0
	for set := range 1 << len(s.shards) {
		dirs := []string{s.holderDir(t), t.TempDir()}
		n := 0
		for i, shard := range s.shards {
			switch {
			case set>>i&1 == 0:
				put(t, append(bytes.Clone(shard[:len(shard)-1]), 'x'), dirs[i%2], "bad", fmt.Sprint(i))
			default:
				put(t, shard, dirs[i%2], "lost+found", fmt.Sprint("#", i))
				n++
			}
		}
		to := t.TempDir()
		r := run(t, to, dirs...)
		if n >= s.plan.Data {
			s.wantSaved(t, r, FromFragments)
		} else if len(r.Lost) != 1 || !strings.Contains(r.Lost[0].Why, fmt.Sprintf("%d intact fragments, 3 are needed", n)) || len(tree(t, to)) != 0 {
			t.Fatalf("from %d fragments: %+v", n, r)
		}
		if only := run(t, "", dirs...); len(only.Saved) != len(r.Saved) || len(only.Lost) != len(r.Lost) {
			t.Fatalf("verified only: %+v, saved: %+v", only, r)
		}
		cases++
	}
	size.Executed(t, cases, "sets of fragments")
}

// TestDamagedObjects flips one byte of one file after the other.
func TestDamagedObjects(t *testing.T) {
	s := newSample(t, "hurt")
	for path, content := range s.files {
		if content == "" {
			continue
		}
		dir, to := s.ownerDir(t), t.TempDir()
		bad := object(t, dir, []byte(content))
		flipped := []byte(content)
		flipped[len(flipped)/2] ^= 4
		put(t, flipped, bad)
		r := run(t, to, dir)
		if len(r.Partly) != 1 || len(r.Partly[0].Missing) != 1 || r.Partly[0].Missing[0].Path != path || r.Complete() {
			t.Fatalf("report %+v", r)
		}
		if len(r.Damaged) != 1 || r.Damaged[0].Path != bad {
			t.Errorf("damaged: %+v", r.Damaged)
		}
		want := maps.Clone(s.files)
		delete(want, path)
		if got := tree(t, r.Partly[0].Dir); !maps.Equal(got, want) {
			t.Errorf("saved %v", slices.Collect(maps.Keys(got)))
		}
		// the holders have it
		s.wantSaved(t, run(t, to, dir, s.holderDir(t, 0, 3, 4)), FromFragments)
	}
}

// TestRandomDamage damages what is there at random: whatever is saved is right.
func TestRandomDamage(t *testing.T) {
	size := suite.RotSalvage
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	s, saved := newSample(t, "storm"), 0
	for range size.Cases() {
		dirs := []string{s.ownerDir(t), s.holderDir(t, 0, 1), s.holderDir(t, 2, 3, 4)}
		for range rnd.IntN(8) {
			damageOne(t, dirs[rnd.IntN(len(dirs))], rnd)
		}
		r := run(t, t.TempDir(), dirs...)
		for _, one := range slices.Concat(r.Saved, r.Partly) {
			for path, content := range tree(t, one.Dir) {
				if s.files[path] != content {
					t.Fatalf("%s was saved with other bytes", path)
				}
			}
		}
		saved += len(r.Saved)
		if len(r.Saved) == 1 {
			s.wantSaved(t, r, r.Saved[0].From)
		}
	}
	size.Executed(t, size.Cases(), fmt.Sprintf("storms, %d tesseras whole after them", saved))
}

func damageOne(t *testing.T, dir string, rnd *rand.Rand) {
	t.Helper()
	var files []string
	for name := range tree(t, dir) {
		files = append(files, filepath.Join(dir, name))
	}
	slices.Sort(files)
	path := files[rnd.IntN(len(files))]
	b, err := os.ReadFile(path)
	must(t, err)
	switch rnd.IntN(3) {
	case 0:
		b = b[:rnd.IntN(len(b)+1)]
	case 1:
		b = append(b, 'x')
	default:
		if len(b) > 0 {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	}
	put(t, b, path)
}

func TestDeletedByItsOwner(t *testing.T) {
	s := newSample(t, "gone")
	dir := s.ownerDir(t)
	tomb, err := tessera.SignTombstone(s.manifest.ID(), time.Unix(3e9, 0), me)
	must(t, err)
	put(t, tomb.Bytes(), dir, "plans", "aa", "any.tomb")
	if r := run(t, t.TempDir(), dir); len(r.Deleted) != 1 || len(r.Saved) != 0 {
		t.Errorf("report %+v", r)
	}
	stranger := owner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))}
	tomb, err = tessera.SignTombstone(s.manifest.ID(), time.Unix(3e9, 0), stranger)
	must(t, err)
	put(t, tomb.Bytes(), dir, "plans", "aa", "any.tomb")
	s.wantSaved(t, run(t, t.TempDir(), dir), FromObjects)
}

// TestOldLayout reads trees of the old layout: with documents, without, and after a migration.
func TestOldLayout(t *testing.T) {
	s, dir := newSample(t, "old"), t.TempDir()
	id := s.manifest.ID().String()
	for i, shard := range s.shards[:3] {
		put(t, shard, dir, legacy.FragmentsFolder, id, fmt.Sprintf("%03d%s", i, legacy.ShardExtension))
	}
	r := run(t, t.TempDir(), dir)
	if len(r.Unplanned) != 3 || len(r.Lost) != 1 || r.Unplanned[1].Index != 1 {
		t.Fatalf("without a plan: %+v", r)
	}
	s.wantSaved(t, run(t, t.TempDir(), dir, s.holderDir(t)), FromFragments)

	dir = t.TempDir()
	want := map[string]string{}
	refs := legacy.References{Tessera: s.manifest.ID()}
	migrated := t.TempDir()
	for path, content := range s.files {
		h := digest.Of([]byte(content))
		put(t, []byte(content), dir, legacy.BlobsFolder, id, h.String(), filepath.Base(path))
		want[h.String()+"/"+filepath.Base(path)] = content
		refs.Blobs = append(refs.Blobs, legacy.Blob{Memory: h, Name: filepath.Base(path), Hash: h, Size: int64(len(content))})
		object(t, migrated, []byte(content))
	}
	put(t, refs.Bytes(), migrated, legacy.Folder, id[:2], id+legacy.Extension)
	for _, d := range []string{dir, migrated} {
		r = run(t, t.TempDir(), d)
		if len(r.Saved) != 1 || r.Saved[0].From != FromOldLayout || !maps.Equal(tree(t, r.Saved[0].Dir), want) {
			t.Fatalf("report %+v", r)
		}
	}
	s.wantSaved(t, run(t, t.TempDir(), dir, filepath.Join(s.ownerDir(t), "tesseras")), FromObjects)
}

func TestRefusals(t *testing.T) {
	s := newSample(t, "x")
	dir := s.ownerDir(t)
	if _, err := Run(t.Context(), []string{filepath.Join(dir, "nowhere")}, Options{}); !errors.Is(err, ErrNoFolder) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := Run(t.Context(), []string{dir}, Options{To: filepath.Join(dir, "out")}); err == nil {
		t.Error("it writes into what it reads")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(cancelled, []string{dir}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	to := t.TempDir()
	run(t, to, dir)
	if r := run(t, to, dir); len(r.Saved) != 1 || !r.Saved[0].Already {
		t.Errorf("again: %+v", r)
	}
}
