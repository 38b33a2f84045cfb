package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/localapi"
)

// TestANewerLayoutIsRefusedWithoutItsIndex opens data directories whose index was thrown away: one of a newer
// version is left as it is, and what else the file may say is put right.
func TestANewerLayoutIsRefusedWithoutItsIndex(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	made := create(t, owner, folder(t, small))
	owner.stop()
	path, index := filepath.Join(owner.dir, "version"), filepath.Join(owner.dir, "index")
	const ours = "tesseras data directory 2\n"
	if got := string(read(t, path)); got != ours {
		t.Errorf("the file says %q", got)
	}
	for _, c := range []struct {
		text  string
		newer bool
	}{
		{"tesseras data directory 3\n", true},
		{"tesseras data directory 10\nand more\n", true},
		{"tesseras data directory 1\n", false},
		{"tesseras dat\x00", false},
		{"", false},
	} {
		if err := errors.Join(os.RemoveAll(index), os.WriteFile(path, []byte(c.text), 0o600)); err != nil {
			t.Fatal(err)
		}
		_, closer, err := host.OpenLocal(t.Context(), v.config(), owner.dir, v.log())
		if !c.newer {
			if err != nil {
				t.Errorf("%q: %v", c.text, err)
				continue
			}
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
			if got := string(read(t, path)); got != ours {
				t.Errorf("after %q the file says %q", c.text, got)
			}
			continue
		}
		if !errors.Is(err, catalog.ErrNewerVersion) || !strings.Contains(localapi.HintOf(err), "install the newer version") {
			t.Errorf("%q: %v, hint %q", c.text, err, localapi.HintOf(err))
		}
		if _, err := os.Stat(index); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: an index was made: %v", c.text, err)
		}
	}
	back := v.addAt(owner.dir)
	if verified, err := back.Verify(t.Context(), made.ID, noProgress); err != nil || len(verified.Damage) != 0 {
		t.Errorf("verify %+v, %v", verified, err)
	}
}
