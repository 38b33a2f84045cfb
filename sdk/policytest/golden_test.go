package policytest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

func native(t *testing.T, policy any) policytest.Subject {
	t.Helper()
	s, err := policytest.Native(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGolden writes a case, fills it in with an answer, reads it back and finds it kept, and then finds
// that another policy answers otherwise.
func TestGolden(t *testing.T) {
	dir, s := t.TempDir(), native(t, placement.Spread{})
	q := policytest.Place(2, 1, policytest.Peers(4, func(i int, c *sdk.Candidate) {
		c.BalanceBytes, c.Score, c.Operator, c.Institutional = -1<<62, -7, "a \"b\" \u00e9", i == 2
	}))
	g, err := policytest.NewGolden("four peers", "who is in debt comes last", sdk.RolePlacement, q)
	if err != nil {
		t.Fatal(err)
	}
	g, problem, err := g.Answer(s)
	if err != nil || problem != nil || len(g.Want) == 0 {
		t.Fatal(err, problem)
	}
	if err := g.Write(dir); err != nil {
		t.Fatal(err)
	}
	cases, err := policytest.ReadGolden(dir)
	if err != nil || len(cases) != 1 || cases[0].Name != "four peers" || cases[0].About != g.About {
		t.Fatalf("%v, %+v", err, cases)
	}
	for _, text := range []string{`"intent": "NEW"`, `"balance_bytes": -4611686018427387904`, `"score": -7`, `"status": "OK"`} {
		if !strings.Contains(string(cases[0].Request)+string(cases[0].Want), text) {
			t.Errorf("no %s in %s", text, cases[0].Request)
		}
	}
	if _, problem, err := cases[0].Answer(s); err != nil || problem != nil {
		t.Errorf("%v, %v", problem, err)
	}
	if _, problem, err := cases[0].Answer(native(t, placer{place: draft})); err != nil || problem == nil || !strings.Contains(problem.Error(), "another answer") {
		t.Errorf("%v, %v", problem, err)
	}
	if _, problem, err := cases[0].Answer(native(t, placer{place: first})); err != nil || problem == nil {
		t.Errorf("%v, %v", problem, err)
	}
}

// TestGoldenRefuses: a case that cannot be read says where.
func TestGoldenRefuses(t *testing.T) {
	if _, err := policytest.ReadGolden(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for text, want := range map[string]string{
		`{"role":"cooking"}`:                                                 `role "cooking"`,
		`{"rolle":"placement"}`:                                              "rolle",
		`{"role":"placement","request":{"tessera":"xyz"}}`:                   "tessera: want bytes in hexadecimal",
		`{"role":"placement","request":{"pieces":[{"index":-1}]}}`:           "pieces[0].index: want uint32",
		`{"role":"placement","request":{"intent":"OLD"}}`:                    "intent: want sdk.Intent",
		`{"role":"placement","request":{"intend":"NEW"}}`:                    "intend: want a field of policy.proto",
		`{"role":"placement","request":{"candidates":{}}}`:                   "candidates: want a list",
		`{"role":"reciprocity","request":{"institutional":"yes"}}`:           "institutional: want bool",
		`{"role":"repair","request":{"tesseras":[7]}}`:                       "tesseras[0]: want an object",
		`{"role":"repair","request":{"now_unix_ms":99999999999999999999}}`:   "now_unix_ms: want int64",
		`{"role":"placement","request":{},"want":{"assignments":[{"x":1}]}}`: "assignments[0].x: want a field",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "case.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cases, err := policytest.ReadGolden(dir)
		if err == nil {
			_, _, err = cases[0].Answer(policytest.Subject{
				Ask:   func(sdk.Role, []byte) ([]byte, error) { return []byte{8, 2}, nil },
				Check: func(sdk.Role, bool, []byte, []byte) error { return nil },
			})
		}
		if !errors.Is(err, policytest.ErrGolden) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
