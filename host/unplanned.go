package host

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// withUnplanned adds what is unplanned to how the node stands.
func (l *local) withUnplanned(s localapi.NodeStatus, err error) (localapi.NodeStatus, error) {
	s.Unplanned = []localapi.Unplanned{}
	if err != nil {
		return s, err
	}
	total := &s.UnplannedTotal
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for id, err := range l.unplanned(tx) {
			if err != nil {
				return err
			}
			u, fragments, err := unplannedOf(tx, id)
			if err != nil {
				return err
			}
			total.Tesseras++
			total.Fragments += fragments
			total.Files += u.Files
			total.SizeBytes += u.SizeBytes
			if len(s.Unplanned) < localapi.MaxUnplanned {
				s.Unplanned = append(s.Unplanned, u)
			}
		}
		return nil
	})
	return s, err
}

// unplanned gives the tesseras of which something is here and nothing that says how it goes together: first
// those with fragments, then those with files alone, which only the old layout can have left.
func (l *local) unplanned(tx *catalog.Tx) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		for id, err := range keptOf(tx) {
			planned := false
			if err == nil {
				planned, err = known(tx.Plan(id))
			}
			if !planned && !yield(id, err) {
				return
			}
		}
		for id, err := range legacy.Noted(l.dir) {
			files := false
			if err == nil {
				files, err = onlyFiles(tx, id)
			}
			if (files || err != nil) && !yield(id, err) {
				return
			}
		}
	}
}

// keptOf gives the tesseras of which fragments are kept here, ascending.
func keptOf(tx *catalog.Tx) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		var last sdk.TesseraID
		for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
			if err == nil && f.Tessera == last {
				continue
			}
			last = f.Tessera
			if !yield(last, err) {
				return
			}
		}
	}
}

// known tells whether there is a row.
func known[T any](_ T, err error) (bool, error) {
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// onlyFiles tells whether files without their manifest are all there is of a tessera that is unplanned.
func onlyFiles(tx *catalog.Tx, id sdk.TesseraID) (bool, error) {
	u, fragments, err := unplannedOf(tx, id)
	return u.Files > 0 && fragments == 0, err
}

// unplannedOf counts what is here of a tessera: the fragments, if there is no plan of it, and the files, if it
// is none of the own tesseras.
func unplannedOf(tx *catalog.Tx, id sdk.TesseraID) (u localapi.Unplanned, fragments int, err error) {
	u = localapi.Unplanned{ID: id, Fragments: []int{}}
	planned, err := known(tx.Plan(id))
	if err != nil {
		return u, 0, err
	}
	if !planned {
		for f, err := range tx.Fragments(id) {
			if err != nil {
				return u, 0, err
			}
			if fragments++; fragments <= localapi.MaxUnplannedFragments {
				u.Fragments = append(u.Fragments, f.Index)
			}
			u.SizeBytes += f.Size
		}
	}
	if own, err := known(tx.Tessera(id)); err != nil || own {
		return u, fragments, err
	}
	for b, err := range tx.BlobRefs(id) {
		if err != nil {
			return u, 0, err
		}
		u.Files++
		u.SizeBytes += b.Size
	}
	return u, fragments, nil
}

// statusOfUnplanned is the status of a tessera of which there is neither manifest nor plan here. Where nothing
// of it is here at all it gives notFound.
func (l *local) statusOfUnplanned(id sdk.TesseraID, notFound error) (localapi.Status, error) {
	var u localapi.Unplanned
	var fragments int
	err := l.catalog.View(func(tx *catalog.Tx) (err error) {
		u, fragments, err = unplannedOf(tx, id)
		return err
	})
	if err != nil {
		return localapi.Status{}, err
	}
	if fragments == 0 && u.Files == 0 {
		return localapi.Status{}, l.about(id, notFound)
	}
	s := localapi.Status{
		ID: id, Health: localapi.HealthLocal, SizeBytes: u.SizeBytes, Fragments: localapi.FragmentCount{Held: fragments},
		Holders: []localapi.Holder{}, Notes: []string{},
	}
	if u.Files > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%d of its files are kept here, but no manifest of it is here: tes salvage gives them out.", u.Files))
	}
	if fragments > 0 {
		s.Health = string(health.NeedsReplication)
		s.Holders = append(s.Holders, localapi.Holder{Node: l.id.Node.ID(), Fragments: u.Fragments})
		s.Notes = append(s.Notes, fmt.Sprintf("%d of its fragments are kept here, but no plan of it is here: they are of use once it is found, also to tes salvage.", fragments))
	}
	if s.Damage, err = l.damageOf(id); err == nil && len(s.Damage) > 0 {
		s.Health = string(health.CorruptLocal)
	}
	return s, err
}
