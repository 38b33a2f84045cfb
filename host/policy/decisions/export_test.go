package decisions

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// imported reads an export back.
func imported(t *testing.T, b []byte) (decisions []policy.Decision, moves []policy.Move) {
	t.Helper()
	for r, err := range Import(iotest.OneByteReader(bytes.NewReader(b))) {
		switch {
		case err != nil:
			t.Fatal(err)
		case r.Move != nil:
			moves = append(moves, *r.Move)
		default:
			decisions = append(decisions, *r.Decision)
		}
	}
	return decisions, moves
}

func export(t *testing.T, l *Log, q Query, want int) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := l.Export(&b, q); err != nil || n != want {
		t.Fatalf("%+v: %d decisions, want %d, %v", q, n, want, err)
	}
	return b.Bytes()
}

// TestExport gives what is meant and nothing else, and it explains as the log does.
func TestExport(t *testing.T) {
	e, l := node(t, policy.Config{})
	first := place(t, e, world())
	other := world()
	other.Tessera = id("tessera", 1)
	second := place(t, e, other)
	second.Next(second.Assignments[0].Fragment, second.Assignments[0].Peer)

	all, moves := imported(t, export(t, l, Query{}, 2))
	if len(all) != 2 || len(moves) != 1 || moves[0].Decision != second.Decision {
		t.Fatalf("%d decisions, %d moves", len(all), len(moves))
	}
	for _, q := range []Query{{Decision: second.Decision}, {Decision: second.Decision[:6]}, {Tessera: sdk.TesseraID(id("tessera", 1))}} {
		got, moves := imported(t, export(t, l, q, 1))
		if len(got) != 1 || got[0].ID != second.Decision || len(moves) != 1 {
			t.Errorf("%+v: %d, %d moves", q, len(got), len(moves))
		}
		kept, err := l.Find(second.Decision)
		if err != nil || !bytes.Equal(kept.Request, got[0].Request) || !bytes.Equal(kept.Response, got[0].Response) || !kept.Time.Equal(got[0].Time) {
			t.Errorf("%+v is not what is kept, %v", got[0], err)
		}
	}
	if got, moves := imported(t, export(t, l, Query{Decision: first.Decision}, 1)); len(got) != 1 || len(moves) != 0 {
		t.Errorf("%d, %d moves", len(got), len(moves))
	}
	export(t, l, Query{Since: start.Add(time.Second)}, 0)
	export(t, l, Query{Since: start}, 2)
	export(t, l, Query{Decision: "0123456789abcdef"}, 0)
}

// TestImportOfNonsense: no byte of an export can be changed or lost unnoticed.
func TestImportOfNonsense(t *testing.T) {
	e, l := node(t, policy.Config{})
	place(t, e, world())
	good := export(t, l, Query{}, 1)
	read := func(b []byte) (n int, err error) {
		for _, err := range Import(bytes.NewReader(b)) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if n, err := read(bad); n > 0 || !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %d records, %v", i, n, err)
		}
		if n, err := read(good[:i]); i != len(header) && (n > 0 || !errors.Is(err, ErrDamaged)) {
			t.Fatalf("cut at byte %d: %d records, %v", i, n, err)
		}
	}
	if _, err := l.Export(failing{}, Query{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
