package host

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestHintsAreAboutWhatFailed: a port that needs privileges is no matter of the data directory, and what
// cannot be opened there is.
func TestHintsAreAboutWhatFailed(t *testing.T) {
	denied := &os.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a low port":        {unbound("--listen", syscall.EACCES), "choose a higher one with --listen"},
		"a data directory":  {explain(denied), "check who owns the data directory"},
		"a disk of reading": {explain(syscall.EROFS), "choose another data directory"},
		"no folder":         {explain(syscall.ENOTDIR), "a part of that path is a file"},
	} {
		if hint := localapi.HintOf(c.err); !strings.Contains(hint, c.want) {
			t.Errorf("%s: hint %q, want %q", name, hint, c.want)
		}
	}
}
