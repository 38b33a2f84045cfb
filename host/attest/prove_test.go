package attest_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/attest"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// prover is a holder with an object behind its index.
type prover struct {
	*attest.Prover
	*holder
	root  string
	claim proof.Claim
	bytes []byte

	suspects []digest.Hash // told to be wrong
}

func (p *prover) suspect(h digest.Hash, _ error) { p.suspects = append(p.suspects, h) }

func newProver(t *testing.T, size int) *prover {
	t.Helper()
	p := &prover{holder: newHolder(t), root: t.TempDir(), bytes: bytes.Repeat([]byte("memory "), size/7+1)[:size]}
	dir, err := vfs.OpenDir(p.root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	objects, err := cas.New(dir, cas.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p.claim = proof.Claim{Tessera: sdk.TesseraID{7}, Index: 2, Checksum: digest.Of(p.bytes), Size: int64(size)}
	if _, err := objects.StageProvable(t.Context(), bytes.NewReader(p.bytes), p.claim.Checksum); err != nil {
		t.Fatal(err)
	}
	err = p.catalog.Update(func(tx *catalog.Tx) error {
		_, err := tx.AddFragment(catalog.FragmentRef{
			Tessera: p.claim.Tessera, Index: p.claim.Index, Hash: p.claim.Checksum, Size: p.claim.Size, Stored: p.clock,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Prover = attest.NewProver(objects, p.catalog, p.id.Node, p.suspect, slog.New(slog.DiscardHandler), func() time.Time { return p.clock })
	return p
}

func (p *prover) object() string { return filepath.Join(p.root, cas.Path(p.claim.Checksum)) }

func (p *prover) outboard() string { return filepath.Join(p.root, cas.OutboardPath(p.claim.Checksum)) }

// proves challenges and checks, and gives the code of a refusal.
func (p *prover) proves(t *testing.T, whole bool) wire.Code {
	t.Helper()
	q := p.claim.Challenge([32]byte{1, 2, 3}, whole)
	answer, err := p.Prove(t.Context(), sdk.NodeKey{9}, q)
	if err != nil {
		return wire.CodeOf(err)
	}
	s, err := wire.VerifyProof(answer, q, p.id.Node.Key(), sdk.NodeKey{9})
	if err = errors.Join(err, proof.Check(q, p.claim.Size, answer.GetSlices())); err != nil {
		t.Errorf("it proves nothing: %v", err)
	}
	k := digest.NewKeyed([32]byte{1, 2, 3})
	k.Write(p.bytes)
	if whole && s.Whole != k.Sum() {
		t.Error("another keyed hash")
	}
	return wire.Code_OK
}

func TestWhoHasTheBytesProvesIt(t *testing.T) {
	for _, size := range []int{1, 5000, 1 << 20, 2<<20 + 12345} {
		p := newProver(t, size)
		for _, whole := range []bool{false, true} {
			if code := p.proves(t, whole); code != wire.Code_OK {
				t.Errorf("%d bytes: %s", size, code)
			}
		}
	}
}

func TestAWrongOutboardIsMadeAgain(t *testing.T) {
	p := newProver(t, 3<<20)
	good, err := os.ReadFile(p.outboard())
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(good)
	for i := range wrong[8:] {
		wrong[8+i] ^= 0x55
	}
	for name, spoil := range map[string]func() error{
		"wrong":     func() error { return os.WriteFile(p.outboard(), wrong, 0o600) },
		"missing":   func() error { return os.Remove(p.outboard()) },
		"truncated": func() error { return os.Truncate(p.outboard(), 99) },
		"empty":     func() error { return os.Truncate(p.outboard(), 0) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if code := p.proves(t, false); code != wire.Code_OK {
			t.Errorf("%s: %s", name, code)
		}
		if now, err := os.ReadFile(p.outboard()); err != nil || !bytes.Equal(now, good) {
			t.Errorf("%s and not made again: %v", name, err)
		}
	}
}

func TestWhoLostTheBytesSaysSo(t *testing.T) {
	for name, spoil := range map[string]func(path string, b []byte) error{
		"deleted":   func(path string, _ []byte) error { return os.Remove(path) },
		"truncated": func(path string, _ []byte) error { return os.Truncate(path, 1000) },
		"zeroed":    func(path string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o600) },
	} {
		p := newProver(t, 3<<20)
		if err := spoil(p.object(), p.bytes); err != nil {
			t.Fatal(err)
		}
		if code := p.proves(t, false); code != wire.Code_DAMAGED {
			t.Errorf("%s: %s", name, code)
		}
		if len(p.suspects) != 1 || p.suspects[0] != p.claim.Checksum {
			t.Errorf("%s: told of %v", name, p.suspects)
		}
		if a := p.ask(t, sdk.NodeKey{9}, p.claim.Tessera); len(a.Held) != 1 {
			t.Errorf("%s: the index alone says %+v: this shows nothing", name, a)
		}
	}
	gone := newProver(t, 1000)
	if err := os.Rename(filepath.Join(gone.root, "objects"), filepath.Join(gone.root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if code := gone.proves(t, false); code != wire.Code_MAINTENANCE {
		t.Errorf("without its disk: %s", code)
	}
	p := newProver(t, 1000)
	for name, c := range map[string]proof.Claim{
		"another tessera":  {Tessera: sdk.TesseraID{8}, Index: 2, Checksum: p.claim.Checksum, Size: 1000},
		"another index":    {Tessera: p.claim.Tessera, Index: 3, Checksum: p.claim.Checksum, Size: 1000},
		"another checksum": {Tessera: p.claim.Tessera, Index: 2, Checksum: digest.Hash{1}, Size: 1000},
	} {
		if _, err := p.Prove(t.Context(), sdk.NodeKey{9}, c.Challenge([32]byte{}, false)); wire.CodeOf(err) != wire.Code_NOT_FOUND {
			t.Errorf("%s: %v", name, err)
		}
	}
}
