package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultScrub

// TestEveryCallFails lets every single call of a scrub, which puts a damaged object aside and finds one
// missing, fail once with each error of a disk. What is whole stays where it is and is not accused, what was
// damaged is not deleted, and the next pass finds all.
func TestEveryCallFails(t *testing.T) {
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for at := 1; callFails(t, at, failure); at++ {
			cases++
		}
	}
	faultSize.Executed(t, cases, "failed calls of a scrub")
}

// The contents of the store that is scrubbed.
const whole, rotted, missing = "whole", "rotted", "missing"

// flipped is what became of the rotted one.
const flipped = "rotteb"

func hashOf(content string) digest.Hash { return digest.Of([]byte(content)) }

func callFails(t *testing.T, at int, failure error) bool {
	t.Helper()
	disk := crashfs.New(crashfs.Options{})
	objects, err := cas.New(disk, cas.Config{})
	must(t, err)
	books, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	defer func() { must(t, books.Close()) }()
	for _, content := range []string{whole, rotted, missing} {
		o, err := objects.Stage(t.Context(), strings.NewReader(content), nil)
		must(t, err)
		must(t, books.Update(func(tx *catalog.Tx) error {
			return tx.AddBlobRef(catalog.BlobRef{Tessera: sdk.TesseraID{1}, Memory: o.Hash, Name: content, Hash: o.Hash, Size: o.Size})
		}))
		objects.Unpin(o.Hash)
	}
	must(t, disk.Damage(cas.Path(hashOf(rotted)), func([]byte) []byte { return []byte(flipped) }))
	must(t, disk.Remove(cas.Path(hashOf(missing))))
	s, err := New(Deps{
		Objects: objects, Catalog: books, Documents: &papers{}, Quarantine: "quarantine", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(1_900_000_000, 0) },
	}, days(1))
	must(t, err)

	disk.FailAt(at, failure)
	_, err = s.Run(t.Context(), nil)
	call := disk.Failed()
	disk.FailAt(0, nil)
	if call == "" {
		must(t, err)
		return false
	}
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("%s fails: %v", call, err)
	}
	for way, left := range disk.Aftermath(rand.New(rand.NewPCG(1, 0))) {
		if err := keptAll(left); err != nil {
			t.Fatalf("%s fails with %v, then (way %d): %v", call, failure, way, err)
		}
	}
	if _, err := s.Run(t.Context(), nil); err != nil {
		t.Fatalf("after %s failed: %v", call, err)
	}
	must(t, books.View(func(tx *catalog.Tx) error {
		for content, want := range map[string]error{whole: catalog.ErrNotFound, rotted: nil, missing: nil} {
			if _, err := tx.Damage(hashOf(content)); !errors.Is(err, want) {
				t.Errorf("%s failed with %v: of what is %s is known %v", call, failure, content, err)
			}
		}
		return nil
	}))
	return true
}

// keptAll tells whether what is whole and what was damaged is somewhere on a disk, the one in its place.
func keptAll(left *crashfs.FS) error {
	objects, err := cas.New(left, cas.Config{})
	if err != nil {
		return err
	}
	r, err := objects.Open(hashOf(whole), int64(len(whole)))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.WriteTo(new(bytes.Buffer)); err != nil {
		return err
	}
	for _, name := range left.Files() {
		if b, err := left.Content(name); err == nil && string(b) == flipped {
			return nil
		}
	}
	return fmt.Errorf("what was damaged is gone from %q", left.Files())
}
