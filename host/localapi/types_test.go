package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestJSONNames holds the names that scripts rely on.
func TestJSONNames(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"created":   {Created{anID, "t", 1, 2, 3}, `{"id":"I","title":"t","files":1,"size_bytes":2,"new_bytes":3}`},
		"summary":   {Summary{anID, "t", 2, aMoment, "local"}, `{"id":"I","title":"t","size_bytes":2,"created":"2024-02-29T01:02:03.000456789Z","health":"local"}`},
		"published": {aPublished, `{"id":"I","tier":"medium","fragments":24,"placed":23,"peers":12,"survives_peers":4,"at_target":true}`},
		"status": {aStatus, `{"id":"I","title":"title","tier":"medium","health":"needs_replication","deficit":1,"size_bytes":2,` +
			`"created":"2024-02-29T01:02:03.000456789Z","fragments":{"data":16,"total":24,"held":23,"proven":22},` +
			`"holders":[{"node":"N","addr":"192.0.2.1:1","fragments":[1,2],"last_proven":"2024-02-29T01:02:03.000456789Z","failed":true,"self":true,"note":"silent"}],` +
			`"survives":{"peers":1,"subnets":2,"operators":3},"damage":[{"path":"x","problem":"y"}],"notes":["note"]}`},
		"node":     {aNode, `{"node":"N","addr":"192.0.2.1:1","peers":1,"tesseras":2,"fragments_held":3,"bytes_held":4,"free_bytes":5,"unplanned":[{"id":"I","fragments":[6,7],"files":8,"size_bytes":9}],"unplanned_total":{"tesseras":10,"fragments":11,"files":12,"size_bytes":13}}`},
		"peer":     {Peer{aNodeID, "a", "s", Moment{}, true}, `{"node":"N","addr":"a","subnet":"s","last_seen":null,"institutional":true}`},
		"account":  {anAccount, `{"owner":"O","bytes_stored_for_them":1,"bytes_they_store_for_us":2,"balance":1}`},
		"repaired": {RepairReport{1, 2, 3, 4, 5, 6, []Failure{}}, `{"checked":1,"healthy":2,"repaired":3,"rebuilt_fragments":4,"failed":5,"corrupt_healed":6,"failures":[]}`},
	} {
		got, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		short := strings.NewReplacer(anID.String(), "I", aNodeID.String(), "N", anOwner.String(), "O").Replace(string(got))
		if short != c.want {
			t.Errorf("%s is\n%s\nwant\n%s", name, short, c.want)
		}
	}
	if got := string(ErrorJSON(Fail(CodeNotFound, "look", errors.New("gone")))); got != `{"error":"gone","code":10,"hint":"look"}` {
		t.Errorf("an error is %s", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[Name][2]string{
		"":                      {"", ""},
		"Großmutter 100%":       {"Großmutter 100%", "Großmutter 100%"},
		"latin\xe9":             {"latin%E9", "latin%E9"},
		"a\x1b[31mred\nb":       {"a\x1b[31mred\nb", "a%1B[31mred%0Ab"},
		"photo\u202egnp.exe":    {"photo\u202egnp.exe", "photo%E2%80%AEgnp.exe"},
		"replacement \ufffd ok": {"replacement \ufffd ok", "replacement \ufffd ok"},
	} {
		text, err := name.MarshalText()
		if err != nil || string(text) != want[0] {
			t.Errorf("%q is spelled %q, want %q", string(name), text, want[0])
		}
		if got := name.Printable(); got != want[1] {
			t.Errorf("%q is printed %q, want %q", string(name), got, want[1])
		}
	}
}

func TestCodesAndHints(t *testing.T) {
	inner := Fail(CodeNotFound, "inner hint", errBoom)
	for name, c := range map[string]struct {
		err  error
		code Code
		hint string
	}{
		"none":        {nil, CodeOK, ""},
		"plain":       {errBoom, CodeFailed, ""},
		"wrapped":     {fmt.Errorf("show: %w", inner), CodeNotFound, "inner hint"},
		"outer code":  {Fail(CodePartly, "", inner), CodePartly, "inner hint"},
		"outer hint":  {Fail(CodePartly, "outer", inner), CodePartly, "outer"},
		"no daemon":   {fmt.Errorf("x: %w", ErrNoDaemon), CodeNoDaemon, "start tesd"},
		"interrupted": {fmt.Errorf("x: %w", context.Canceled), CodeInterrupted, ""},
		"full disk":   {&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, CodeFailed, "free some space on this disk, then try again"},
		"not allowed": {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, CodeFailed, "check who owns what is named here, and run as a user who may do that"},
		"own hint":    {Fail(CodeFailed, "", hinting{}), CodeFailed, "mine"},
	} {
		if CodeOf(c.err) != c.code || HintOf(c.err) != c.hint {
			t.Errorf("%s: code %d, hint %q, want %d, %q", name, CodeOf(c.err), HintOf(c.err), c.code, c.hint)
		}
	}
	joined := Fail(CodeFailed, "look\x1b there", errors.Join(errBoom, errBoom))
	if got := ErrorText("tes", joined); got != "tes: boom; boom\nhint: look%1B there\n" {
		t.Errorf("an error is printed %q", got)
	}
	long := errors.New(strings.Repeat("x", 10*maxErrorText))
	if n := len(statusOf(long)); n > maxErrorText+200 {
		t.Errorf("a long error makes a trailer of %d bytes", n)
	}
}

type hinting struct{}

func (hinting) Error() string { return "hinting" }
func (hinting) Hint() string  { return "mine" }
