// Package examples_test answers: do the examples do what they say?
package examples_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// python finds the interpreter. On a machine without one the caller does nothing: the tests of this
// repository need only Go. Where CI is set that is a failure, because the formats are only as good as
// the independent decoder that was seen to read them.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		return path
	}
	const message = "python3 is missing, so the independent decoder is NOT tested: install it (Debian: apt-get install python3)"
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Log(message)
	fmt.Fprintln(os.Stderr, message)
	return ""
}

// run runs Python in this folder and returns all it prints.
func run(t *testing.T, python string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err
}

// TestDecoderIsShort holds the promise that a survivor can read the decoder in one sitting.
func TestDecoderIsShort(t *testing.T) {
	b, err := os.ReadFile("decode.py")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n > 300 {
		t.Errorf("decode.py has %d lines, want at most 300", n)
	}
}

// TestDecoderKnowsBLAKE3 asks the decoder for the official vectors, which host/digest keeps too, and for
// inputs around the size it hashes at once.
func TestDecoderKnowsBLAKE3(t *testing.T) {
	python := python(t)
	if python == "" {
		return
	}
	const script = `
import json, decode
cases = json.load(open("../host/digest/testdata/blake3.json"))["cases"]
assert len(cases) > 30
for case in cases:
    got = decode.blake3(bytes(i % 251 for i in range(case["input_len"]))).hex()
    assert got == case["hash"], (case["input_len"], got)
big = bytes(i % 251 for i in range(2 * decode.BATCH + 1500))
for n in (decode.BATCH - 1, decode.BATCH, decode.BATCH + 1, decode.BATCH + 1024, 2 * decode.BATCH, len(big)):
    print(n, decode.blake3(big[:n]).hex())
`
	out, err := run(t, python, "-c", script)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 {
		t.Fatalf("%s", out)
	}
	for _, line := range lines {
		var n int
		var got string
		if _, err := fmt.Sscan(line, &n, &got); err != nil {
			t.Fatal(err)
		}
		in := make([]byte, n)
		for i := range in {
			in[i] = byte(i % 251)
		}
		if want := digest.Of(in).String(); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

// TestDecoderReadsTheVectors decodes the golden vectors of host/fragment from every choice of shards
// that leaves out a run of as many as there is parity.
func TestDecoderReadsTheVectors(t *testing.T) {
	python := python(t)
	if python == "" {
		return
	}
	const script = `
import glob, io, os, decode
names = sorted(glob.glob("../host/fragment/testdata/*.plan"))
assert len(names) > 5
for name in names:
    plan = decode.Plan(open(name, "rb").read())
    words = [line.split() for line in open(name[:-4] + "txt")]
    packed = next(bytes.fromhex(w[1]) for w in words if w[0] == "packed:")
    shards = [bytes.fromhex(w[2]) for w in words if w[0] == "shard:"]
    n = plan.k + plan.m
    assert len(shards) == n and [decode.blake3(s).hex() for s in shards] == plan.hashes
    for lost in range(n):
        have = sorted((lost + plan.m + i) % n for i in range(plan.k))
        decode.open = lambda i, mode: io.BytesIO(shards[i])
        out = io.BytesIO()
        decode.decode(plan, {i: i for i in have}, out)
        assert out.getvalue() == packed, (name, have)
`
	if out, err := run(t, python, "-c", script); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// owner signs with a known key.
type owner struct{ key ed25519.PrivateKey }

func newOwner() owner {
	return owner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
}

func (o owner) Key() sdk.OwnerKey      { return sdk.OwnerKey(o.key.Public().(ed25519.PublicKey)) }
func (o owner) Sign(msg []byte) []byte { return ed25519.Sign(o.key, msg) }

// folder is a sample of memories: contents by path, and folders, which end in a slash.
func folder() map[string]string {
	files := map[string]string{
		"photo.jpg":          random(120_000),
		"sound/voice.ogg":    random(70_001),
		"sound/empty.txt":    "",
		"a name with spaces": "spaces",
		"-leading-dash":      "dash",
		"100%/line\nbreak":   "a newline in its name",
		"caf\u00e9":          "composed",
		"cafe\u0301":         "decomposed",
		"exactly a chunk":    random(1024),
		"deep/" + strings.Repeat("long/", 60) + "x": "a path of more than 255 bytes",
		strings.Repeat("n", 255):                    "the longest name",
		"empty folder/":                             "",
		"sound/empty folder too/":                   "",
	}
	if runtime.GOOS == "linux" {
		files["bytes \xff\xfe that are no UTF-8"] = "old disks have them"
	}
	return files
}

func random(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return string(b)
}

var modified = time.Date(1999, 12, 31, 23, 59, 58, 123456789, time.UTC)

// pack seals the folder and returns its manifest and its packed tar.
func pack(t *testing.T, files map[string]string) (*tessera.Manifest, []byte) {
	t.Helper()
	var list tessera.FileList
	contents := map[digest.Hash]string{}
	for path, content := range files {
		e := tessera.Entry{Path: path, ModTime: modified}
		if e.Path, e.Folder = strings.CutSuffix(path, "/"); !e.Folder {
			e.Hash, e.Size = digest.Of([]byte(content)), int64(len(content))
			contents[e.Hash] = content
		}
		list = append(list, e)
	}
	m, err := tessera.Seal(list, "a sample", modified, newOwner())
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	err = tessera.Pack(t.Context(), &packed, m, func(e tessera.Entry) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(contents[e.Hash])), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, packed.Bytes()
}

// holders is a folder with a plan and its fragments, each named by its hash.
type holders struct {
	dir       string
	plan      string
	fragments []string // by index
}

// spread codes a packed tessera and lays out what holders would keep of it.
func spread(t *testing.T, head, signature, packed []byte, p fragment.Params) holders {
	t.Helper()
	h := holders{dir: t.TempDir()}
	disk, err := vfs.OpenDir(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	spool, err := fragment.OpenSpool(disk, "objects")
	if err != nil {
		t.Fatal(err)
	}
	p.Packed = int64(len(packed))
	hashes, err := fragment.Encode(context.Background(), p, bytes.NewReader(packed), spool)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := fragment.NewPlan(p, hashes, head, signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Sign(newOwner()); err != nil {
		t.Fatal(err)
	}
	for i, hash := range hashes {
		name := filepath.Join(h.dir, "objects", hash.String()+".blob")
		if err := os.Rename(filepath.Join(h.dir, "objects", fmt.Sprint(i, ".shard")), name); err != nil {
			t.Fatal(err)
		}
		h.fragments = append(h.fragments, name)
	}
	h.plan = filepath.Join(h.dir, plan.Tessera.String()+".plan")
	if err := os.WriteFile(h.plan, plan.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func params(tier fragment.FragmentationTier, data, parity, chunk int) fragment.Params {
	return fragment.Params{Tier: tier, Data: data, Parity: parity, Chunk: chunk, Copies: 1}
}

func TestDecoderRestores(t *testing.T) {
	python := python(t)
	if python == "" {
		return
	}
	files := folder()
	m, packed := pack(t, files)
	if len(packed) < 200_000 || len(packed) > 400_000 {
		t.Fatalf("%d bytes packed", len(packed))
	}
	for _, p := range []fragment.Params{
		fragment.ParamsFor(int64(len(packed))),
		params(fragment.Medium, 16, 8, 4096),
		params(fragment.Medium, 16, 8, fragment.DefaultChunk),
		params(fragment.Medium, 3, 2, 1000),
		params(fragment.Large, 48, 24, 512),
	} {
		t.Run(fmt.Sprintf("%d+%d by %d", p.Data, p.Parity, p.Chunk), func(t *testing.T) {
			h := spread(t, m.HeadBytes, m.Signature, packed, p)
			for i := range p.Parity {
				remove(t, h.fragments[i*(p.Total()-1)/max(1, p.Parity-1)])
			}
			out := filepath.Join(t.TempDir(), "out")
			text, err := run(t, python, "decode.py", h.plan, out, h.dir)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if !strings.Contains(text, m.ID().String()) {
				t.Errorf("it does not name the tessera: %s", text)
			}
			same(t, out, files)
		})
	}
}

// TestDecoderFindsAndNames gives it fragments under other names, in folders within folders, next to
// files that have nothing to do with them, and two that are damaged.
func TestDecoderFindsAndNames(t *testing.T) {
	python := python(t)
	if python == "" {
		return
	}
	files := folder()
	m, packed := pack(t, files)
	h := spread(t, m.HeadBytes, m.Signature, packed, params(fragment.Medium, 4, 3, 2048))
	flip(t, h.fragments[0], 100)
	truncate(t, h.fragments[1])
	inner := filepath.Join(h.dir, "copied", "disk 2")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	rename(t, h.fragments[2], filepath.Join(inner, "007.shard"))
	rename(t, h.fragments[5], filepath.Join(inner, "unnamed"))
	if err := os.WriteFile(filepath.Join(inner, "notes"), []byte("not a fragment"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(inner, "dangling")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	text, err := run(t, python, "decode.py", h.plan, out, h.fragments[3], filepath.Join(h.dir, "copied"), filepath.Join(h.dir, "objects"))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	same(t, out, files)
	for _, bad := range h.fragments[:2] {
		if !strings.Contains(text, "bad fragment: "+bad) {
			t.Errorf("it does not name %s:\n%s", bad, text)
		}
	}
	if strings.Contains(text, "notes") {
		t.Errorf("it complains of what has nothing to do with it:\n%s", text)
	}
}

// TestDecoderRefuses gives it what cannot be right. It must say so and leave nothing behind.
func TestDecoderRefuses(t *testing.T) {
	python := python(t)
	if python == "" {
		return
	}
	m, packed := pack(t, map[string]string{"a": "one", "b": "two"})
	p := params(fragment.Medium, 4, 2, 100)
	for name, c := range map[string]struct {
		spoil func(h holders)
		want  string
	}{
		"k-1 fragments": {func(h holders) {
			for _, f := range h.fragments[:3] {
				remove(t, f)
			}
		}, "3 good fragments found, 4 are needed"},
		"a changed id":      {func(h holders) { replace(t, h.plan, m.ID().String(), digest.Of(nil).String()) }, "not that of tessera"},
		"a changed title":   {func(h holders) { replace(t, h.plan, "a%20sample", "another") }, "not that of tessera"},
		"a changed size":    {func(h holders) { replace(t, h.plan, "data: 4", "data: 5") }, "do not fit"},
		"another version":   {func(h holders) { replace(t, h.plan, "plan 1", "plan 2") }, "version 1"},
		"another code":      {func(h holders) { replace(t, h.plan, "0x11d", "0x11b") }, "unknown code"},
		"a line is missing": {func(h holders) { replace(t, h.plan, "parity: 2\n", "") }, "parity"},
		"no plan":           {func(h holders) { remove(t, h.plan) }, "No such file"},
		"no such folder":    {func(h holders) { rename(t, filepath.Join(h.dir, "objects"), h.dir+"/moved") }, "no such file or folder"},
	} {
		h := spread(t, m.HeadBytes, m.Signature, packed, p)
		c.spoil(h)
		refused(t, python, name, h, c.want)
	}

	// A tessera that its owner made to hurt: correctly hashed and signed, with a path that leads out.
	for _, path := range []string{"../evil", "/etc/evil", "a/../../evil", "a//b", "."} {
		head, signature, packed := hostile(t, path)
		refused(t, python, path, spread(t, head, signature, packed, p), "the file list has the path")
	}
	// Fragments of another tessera under this head.
	other, otherPacked := pack(t, map[string]string{"a": "three"})
	refused(t, python, "another tar", spread(t, m.HeadBytes, m.Signature, otherPacked, p), "the head in the tar")
	damaged := bytes.Replace(otherPacked, []byte("three"), []byte("thref"), 1)
	refused(t, python, "a damaged file", spread(t, other.HeadBytes, other.Signature, damaged, p), "is damaged")
}

// refused runs the decoder on h and expects an explanation and nothing else.
func refused(t *testing.T, python, name string, h holders, want string) {
	t.Helper()
	dir := t.TempDir()
	text, err := run(t, python, "decode.py", h.plan, filepath.Join(dir, "out"), filepath.Join(h.dir, "objects"))
	if err == nil || !strings.Contains(text, want) || strings.Contains(text, "Traceback") {
		t.Errorf("%s: %v, want %q, got:\n%s", name, err, want, text)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%s: it left %v, %v", name, left, err)
	}
}

// hostile makes a tessera of one file with a path that no honest program writes.
func hostile(t *testing.T, path string) (head, signature, packed []byte) {
	t.Helper()
	content := []byte("evil")
	list := fmt.Appendf(nil, "tesseras files 1\nfile %s 4 2026-01-02T03:04:05Z text/plain %s\n", digest.Of(content), path)
	o := newOwner()
	head = tessera.Head{
		Owner: o.Key(), Created: modified, Files: 1, Bytes: 4,
		List: digest.Of(list), ListSize: int64(len(list)),
	}.Encode()
	signature = o.Sign(head)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range []struct {
		name    string
		content []byte
	}{
		{"head.txt", head},
		{"signature.txt", fmt.Appendf(nil, "signature: ed25519 %x\n", signature)},
		{"files.txt", list},
		{"files/" + path, content},
	} {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return head, signature, b.Bytes()
}

// same compares a folder on disk with what it should hold.
func same(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.IsDir() {
			name += "/"
			if _, listed := files[name]; !listed {
				return nil
			}
		} else if b, err := os.ReadFile(path); err != nil || string(b) != files[name] {
			t.Errorf("%q: wrong bytes, or %v", name, err)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.ModTime().Equal(modified) {
			t.Errorf("%q was modified at %v, want %v", name, info.ModTime(), modified)
		}
		found = append(found, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(files) {
		slices.Sort(found)
		t.Errorf("%d entries, want %d: %q", len(found), len(files), found)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// edit rewrites a file.
func edit(t *testing.T, name string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, name string, at int) {
	t.Helper()
	edit(t, name, func(b []byte) []byte { b[at] ^= 1; return b })
}

func truncate(t *testing.T, name string) {
	t.Helper()
	edit(t, name, func(b []byte) []byte { return b[:len(b)-1] })
}

func replace(t *testing.T, name, old, new string) {
	t.Helper()
	edit(t, name, func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%s has no %q", name, old)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	})
}
