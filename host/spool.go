package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/sdk"
)

// clearSpool removes what an earlier process left in the spool and nobody will go on with. Publishes
// of tesseras that are still here, and restores, stay.
func (n *Node) clearSpool() error {
	entries, err := n.dir.ReadDir("spool")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clear spool: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || n.goesOn(e.Name()) {
			continue
		}
		left, err := fragment.OpenSpool(n.dir, "spool/"+e.Name())
		if err == nil {
			err = left.Remove()
		}
		if err != nil {
			return fmt.Errorf("clear spool: %w", err)
		}
	}
	return nil
}

// goesOn tells whether somebody will go on with a spool, by its name.
func (n *Node) goesOn(name string) bool {
	what, of, _ := strings.Cut(name, "-")
	id, err := sdk.ParseTesseraID(of)
	if err != nil {
		return false
	}
	switch what {
	case "restore":
		return true
	case "publish":
		_, err := n.archive.Get(id)
		return !errors.Is(err, archive.ErrNotFound)
	}
	return false
}
