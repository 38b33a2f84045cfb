package invariants

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/holders"
)

// Kept finds fragments that a node gave a receipt for, did not release and has no row of, and objects in its
// index that are not on its disk as their names say (I1, I2, I3).
func Kept(n Node, harm *Harm) error {
	vouched := holders.NewVouched()
	for record, err := range n.Records {
		if err == nil {
			err = vouched.Add(record.Kind, record.Payload)
		}
		if err != nil {
			return fmt.Errorf("journal of %s: %w", n.Key.Short(), err)
		}
	}
	var found []error
	err := n.View(func(tx *catalog.Tx) error {
		for f := range vouched.Given() {
			if _, err := tx.Fragment(f.Tessera, f.Index); err != nil {
				found = append(found, fmt.Errorf("%s gave a receipt for fragment %d of %s: %w", n.Key.Short(), f.Index, f.Tessera.Short(), err))
			}
		}
		for o, err := range tx.Objects(digest.Hash{}) {
			if err != nil {
				return err
			}
			if !harm.to(n.Key, o.Hash) && !Whole(n.Dir, o.Hash) {
				found = append(found, fmt.Errorf("%s has not got object %s, which its index names", n.Key.Short(), o.Hash.Short()))
			}
		}
		return nil
	})
	return errors.Join(append(found, err)...)
}

// Whole tells whether an object is on the disk of a node that may be stopped, with the bytes that its name
// says.
func Whole(dir string, object digest.Hash) bool {
	b, err := os.ReadFile(filepath.Join(dir, cas.Path(object)))
	return err == nil && digest.Of(b) == object
}

// Bounded finds queues above what a node's configuration allows (I7).
func Bounded(n Node) error {
	if n.Connections > n.MaxConnections {
		return fmt.Errorf("%s has %d connections of at most %d", n.Key.Short(), n.Connections, n.MaxConnections)
	}
	return nil
}

// Spooled finds what repairs left in the spool of a node that is stopped (I7).
func Spooled(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "spool", "repair-*"))
	if len(left) > 0 {
		return fmt.Errorf("%s was left in the spool", filepath.Base(left[0]))
	}
	return err
}
