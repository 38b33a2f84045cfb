package identity_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/identity"
)

const powBits = 6

func TestIdentityStaysTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "identity")
	first, err := identity.LoadOrCreate(dir, powBits)
	if err != nil {
		t.Fatal(err)
	}
	second, err := identity.LoadOrCreate(dir, powBits)
	if err != nil {
		t.Fatal(err)
	}
	if first.Node.ID() != second.Node.ID() || first.Owner.Key() != second.Owner.Key() || !bytes.Equal(first.Delegation, second.Delegation) {
		t.Error("the identity changed between two starts")
	}
	if first.Node.Derive("a") != second.Node.Derive("a") || first.Node.Derive("a") == first.Node.Derive("b") || first.Node.Derive("a") == first.Owner.Derive("a") {
		t.Error("derived keys change, or are the same for two purposes")
	}
	if !identity.CheckWork(first.Node.ID(), powBits) {
		t.Error("the id lacks its proof of work")
	}
	if !identity.VerifyDelegation(first.Owner.Key(), first.Node.Key(), first.Delegation) {
		t.Error("the owner does not vouch for the node")
	}
	for _, name := range []string{identity.OwnerFile, identity.NodeFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCreateKeepsExistingKeys(t *testing.T) {
	dir := t.TempDir()
	id, err := identity.Create(dir, powBits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Create(dir, powBits); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	again, err := identity.Load(dir, powBits)
	if err != nil || again.Node.Key() != id.Node.Key() {
		t.Errorf("the keys changed: %v", err)
	}
}

// TestOwnerMoves: an owner key brought to a new machine gets a new node; a node key without its owner
// gets no new owner.
func TestOwnerMoves(t *testing.T) {
	old, dir := t.TempDir(), t.TempDir()
	before, err := identity.Create(old, powBits)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(old, identity.OwnerFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, identity.OwnerFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := identity.LoadOrCreate(dir, powBits)
	if err != nil {
		t.Fatal(err)
	}
	if after.Owner.Key() != before.Owner.Key() || after.Node.Key() == before.Node.Key() {
		t.Error("want the same owner with another node")
	}
	if !identity.VerifyDelegation(before.Owner.Key(), after.Node.Key(), after.Delegation) {
		t.Error("the owner does not vouch for its new node")
	}
	if err := os.Remove(filepath.Join(old, identity.OwnerFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.LoadOrCreate(old, powBits); !errors.Is(err, identity.ErrOwnerMissing) {
		t.Errorf("node key alone: %v", err)
	}
	if _, err := identity.Load(old, powBits); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load without the owner key: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  error
	}{
		"group may read":   {func(p string) error { return os.Chmod(p, 0o640) }, identity.ErrKeyExposed},
		"others may read":  {func(p string) error { return os.Chmod(p, 0o604) }, identity.ErrKeyExposed},
		"others may write": {func(p string) error { return os.Chmod(p, 0o602) }, identity.ErrKeyExposed},
		"read-only":        {func(p string) error { return os.Chmod(p, 0o400) }, nil},
		"empty":            {func(p string) error { return os.Truncate(p, 0) }, identity.ErrKeyFile},
		"truncated":        {func(p string) error { return os.Truncate(p, 60) }, identity.ErrKeyFile},
		"not PEM":          {func(p string) error { return os.WriteFile(p, []byte("hello\n"), 0o600) }, identity.ErrKeyFile},
		"another type": {func(p string) error {
			return os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0}}), 0o600)
		}, identity.ErrKeyFile},
		"a folder": {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, identity.ErrKeyFile},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{identity.OwnerFile, identity.NodeFile} {
				dir := t.TempDir()
				if _, err := identity.Create(dir, powBits); err != nil {
					t.Fatal(err)
				}
				if err := c.spoil(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				_, err := identity.LoadOrCreate(dir, powBits)
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v", file, err)
				}
				if err != nil && !strings.Contains(err.Error(), filepath.Join(dir, file)) {
					t.Errorf("%s: the error does not name the file: %v", file, err)
				}
			}
		})
	}
}

func TestWorkBounds(t *testing.T) {
	for _, bits := range []int{-1, identity.MaxWork + 1} {
		if _, err := identity.Generate(bits); err == nil {
			t.Errorf("%d bits: no error", bits)
		}
	}
}

// TestKeysKeepSilent: a private key reveals nothing, whatever it is printed with.
func TestKeysKeepSilent(t *testing.T) {
	dir := t.TempDir()
	id, err := identity.Create(dir, powBits)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	for _, v := range []any{id, *id, id.Owner, id.Node, *id.Owner, *id.Node} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q", "%c"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		printed.Write(text)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", "key", v)
		slog.New(slog.NewTextHandler(&printed, nil)).Info("x", "key", v)
	}
	for _, file := range []string{identity.OwnerFile, identity.NodeFile} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		seed := block.Bytes[len(block.Bytes)-32:]
		decimal := strings.Trim(fmt.Sprint(seed), "[]")
		for _, form := range []string{string(seed), fmt.Sprintf("%x", seed), fmt.Sprintf("%X", seed), decimal, strings.ReplaceAll(decimal, " ", ",")} {
			if strings.Contains(printed.String(), form) {
				t.Errorf("%s was printed", file)
			}
		}
	}
}
