package decisions

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
)

// TestTornTails: whatever the end looks like, what was whole is read, and the log goes on.
func TestTornTails(t *testing.T) {
	dir := newDisk(t)
	l := open(t, dir, DefaultKeep)
	l.Record(admission(0))
	l.Record(admission(1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir.Path(), "decisions", "00000001.log")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	firstEnds := (len(whole)-len(header))/2 + len(header)
	for _, cut := range []int{0, 1, len(header), len(header) + 3, firstEnds - 1, firstEnds, firstEnds + 9, len(whole) - 1} {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, DefaultKeep)
		l.Record(admission(7))
		kept := 0
		if cut >= firstEnds {
			kept = 1
		}
		var got []policy.Decision
		for d, err := range l.Since(time.Time{}) {
			if err == nil {
				got = append(got, d)
			} else if cut != 1 || !errors.Is(err, ErrDamaged) { // a byte that is no header is none of ours
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
		if len(got) != kept+1 || got[kept].ID != admission(7).ID {
			t.Errorf("cut at %d: %d decisions", cut, len(got))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir.Path(), "decisions", "00000002.log")); (err == nil) != (cut == 1) {
			t.Errorf("cut at %d: another segment: %v", cut, err)
		}
	}
}

// TestDamage is told of, and costs the rest of its segment only.
func TestDamage(t *testing.T) {
	d := newDisk(t)
	l := open(t, d, 1<<20) // segments of 64 KiB
	for n := range 300 {
		l.Record(admission(n))
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	all := len(collect(t, l.Since(time.Time{})))
	name := filepath.Join(d.Path(), "decisions", "00000002.log")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	read, damaged := 0, 0
	var damage *DamageError
	for _, err := range l.Since(time.Time{}) {
		if errors.As(err, &damage) {
			damaged++
			continue
		}
		read++
	}
	if damaged != 1 || damage.Offset == 0 || damage.Segment != "decisions/00000002.log" || read <= all/2 || read >= all {
		t.Errorf("read %d of %d, %d times damage: %v", read, all, damaged, damage)
	}
	if _, err := l.Find("xyz"); !errors.Is(err, ErrNotFound) || !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if got, err := l.Find(admission(299).ID); err != nil || got.ID == "" {
		t.Errorf("%v", err)
	}
	if _, err := l.Moves("x"); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	// A segment that is gone is no damage.
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	collect(t, l.Since(time.Time{}))
}

// TestAFullDisk loses decisions, and nothing else.
func TestAFullDisk(t *testing.T) {
	d := newDisk(t)
	l := open(t, d, DefaultKeep)
	l.Record(admission(0))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	d.full.Store(true)
	l.Record(admission(1))
	l.Record(admission(2))
	if err := l.Flush(); err != nil || l.Lost() != 2 {
		t.Errorf("%d lost, %v", l.Lost(), err)
	}
	l.Record(admission(3)) // into a segment that does not get its header
	if err := l.Flush(); err != nil || l.Lost() != 3 {
		t.Errorf("%d lost, %v", l.Lost(), err)
	}
	d.full.Store(false)
	l.Record(admission(4))
	if got := collect(t, l.Since(time.Time{})); len(got) != 2 || got[1].ID != admission(4).ID {
		t.Errorf("%d kept", len(got))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, open(t, d, DefaultKeep).Since(time.Time{})); len(got) != 2 {
		t.Errorf("%d kept", len(got))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(encodeDecision(admission(1)))
	f.Add(encodeMove(policy.Move{Decision: "a", Time: start}))
	f.Fuzz(func(t *testing.T, segment []byte) {
		r := bytes.NewReader(append([]byte(header), segment...))
		frames, err := newFrames(r, r.Size())
		for err == nil {
			var payload []byte
			if payload, err = frames.next(); err != nil {
				break
			}
			readAny(payload)
		}
		readAny(segment)
	})
}

func readAny(payload []byte) {
	h, rest, err := decodeHead(payload)
	if err != nil {
		return
	}
	if d, err := h.decision(rest); err == nil {
		tesseras(d)
	}
	_, _ = h.move()
}
