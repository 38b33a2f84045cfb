package tessera

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckPath(t *testing.T) {
	for _, p := range []string{
		"a", "a/b", "...", ".a", "..a", "a..", "-rf", " ", "\n", "\xff", "a\\b", "C:", "~", strings.Repeat("n", MaxName),
		strings.Repeat(strings.Repeat("n", 127)+"/", 31) + strings.Repeat("m", 128),
	} {
		if err := CheckPath(p); err != nil {
			t.Errorf("%.80q: %v", p, err)
		}
	}
	for _, p := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/./b", "../a", "a/..", "a/../b", "\x00", "a/b\x00", "a\x00/b",
		strings.Repeat("n", MaxName+1), strings.Repeat("n/", MaxPath/2) + "n",
	} {
		if CheckPath(p) == nil {
			t.Errorf("%.80q: accepted", p)
		}
	}
}

// TestEscaping checks every byte, and that there is one spelling only.
func TestEscaping(t *testing.T) {
	for c := range 256 {
		s := string([]byte{'a', byte(c), 'z'})
		b := appendEscaped(nil, s)
		for _, x := range b {
			if x < 0x21 || x > 0x7e {
				t.Errorf("%#x is written as %q", c, b)
			}
		}
		if got, err := unescape(b); err != nil || got != s {
			t.Errorf("%q: got %q, %v", b, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(rapid.StringMatching(`(%[0-9A-Fa-f]{2}|[ -~])*`).Draw(t, "text"))
		if s, err := unescape(b); err == nil && string(appendEscaped(nil, s)) != string(b) {
			t.Errorf("%q is a second spelling of %q", b, s)
		}
	})
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		paths []string
		good  bool
	}{
		{[]string{"a", "a.b", "a0"}, true},
		{[]string{"a", "a.b", "a/b"}, false},
		{[]string{"a", "a.b", "a.b.c", "a.b.c/d"}, false},
		{[]string{"a.b", "a/b", "a/c/d", "a0/b"}, true},
		{[]string{"a", "a"}, false},
		{[]string{"b", "a"}, false},
		{[]string{"a/b", "a/b/c"}, false},
		{[]string{"a/b", "a/b.c", "a/c/b"}, true},
	} {
		var list FileList
		for _, p := range c.paths {
			list = append(list, Entry{Path: p, Folder: true})
		}
		if err := list.Check(); (err == nil) != c.good {
			t.Errorf("%q: %v", c.paths, err)
		}
	}
}

func TestCommon(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 0},
		{"a", "a", 1},
		{"a", "ab", 0},
		{"a/b", "a", 1},
		{"a/b", "a/c", 1},
		{"a/b", "a/bc", 1},
		{"a/b/c", "a/b/d/e", 3},
		{"ab/c", "ac/c", 0},
	} {
		if got := common(c.a, c.b); got != c.want {
			t.Errorf("common(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := common(c.b, c.a); got != c.want {
			t.Errorf("common(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
