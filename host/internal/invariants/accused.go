package invariants

import (
	"errors"
	"fmt"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Accused finds nodes that another has down as having failed a proof, though nothing was ever done to their
// disks (I8): whoever is late, away, of another version or wrong about the time is not a liar.
func Accused(nodes []Node, harm *Harm) error {
	honest := map[sdk.NodeKey]bool{}
	for _, n := range nodes {
		honest[n.Key] = !harm.any(n.Key)
	}
	var found []error
	for _, n := range nodes {
		err := n.View(func(tx *catalog.Tx) error {
			for a, err := range tx.Audits() {
				if err != nil {
					return err
				}
				if honest[a.Key] && a.Failures > 0 {
					found = append(found, fmt.Errorf("%s says that %s failed %d proofs", n.Key.Short(), a.Key.Short(), a.Failures))
				}
			}
			for h, err := range tx.Holders() {
				if err != nil {
					return err
				}
				for _, f := range h.Fragments {
					if honest[h.Key] && !f.Failed.IsZero() {
						found = append(found, fmt.Errorf("%s says that %s failed fragment %d of %s", n.Key.Short(), h.Key.Short(), f.Index, h.Tessera.Short()))
					}
				}
			}
			return nil
		})
		found = append(found, err)
	}
	return errors.Join(found...)
}
