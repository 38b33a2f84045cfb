package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
)

// object reads an object and writes down what it is. suspect tells that something may be known against
// it: one that is whole then has that taken back.
func (s *Service) object(ctx context.Context, o catalog.Object, suspect bool, w io.Writer) (r Report, err error) {
	version, err := s.Objects.Version(o.Hash)
	if err == nil {
		err = s.verify(o, w)
	}
	if rotten(err) && ctx.Err() == nil {
		err = s.verify(o, w) // memory errs too
	}
	switch {
	case err == nil && !suspect:
		return Report{Objects: 1, Bytes: o.Size}, nil
	case err == nil:
		return s.whole(o)
	case ctx.Err() != nil:
		return r, ctx.Err()
	case !rotten(err) && !errors.Is(err, cas.ErrMissing):
		s.Log.Warn("an object cannot be looked at", "object", o.Hash.Short(), "err", err)
		return Report{Objects: 1}, nil
	}
	found, err := s.damaged(o, !rotten(err), version, err)
	if !found {
		return Report{Objects: 1}, err
	}
	return Report{Objects: 1, Corrupt: 1}, err
}

// rotten tells what the disk gives wrong, or not at all, from what only went wrong today.
func rotten(err error) bool { return errors.Is(err, cas.ErrDamaged) || errors.Is(err, syscall.EIO) }

func (s *Service) verify(o catalog.Object, w io.Writer) error {
	f, err := s.Objects.Open(o.Hash, o.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteTo(w)
	return err
}

// whole takes back what was known against an object.
func (s *Service) whole(o catalog.Object) (Report, error) {
	r := Report{Objects: 1, Bytes: o.Size}
	err := s.Catalog.View(func(tx *catalog.Tx) error {
		_, err := tx.Damage(o.Hash)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return r, nil
	}
	var was bool
	if err == nil {
		err = s.Catalog.Reclaim(func(tx *catalog.Tx) (err error) {
			was, err = tx.Healed(o.Hash)
			return err
		})
	}
	if was {
		r.Healed = 1
	}
	return r, err
}

// damaged puts an object aside and writes down that it is damaged. found is false when it turns out to
// be needed no more, or to have been written anew meanwhile.
func (s *Service) damaged(o catalog.Object, lost bool, read cas.Version, why error) (found bool, err error) {
	if err := s.Objects.Mounted(); err != nil {
		return false, err // the disk is gone, which says nothing of what is on it
	}
	if !lost {
		moved, err := s.Objects.Quarantine(o.Hash, s.Quarantine+"/"+s.Now().UTC().Format(time.DateOnly), read)
		if err != nil {
			return false, fmt.Errorf("put object %s aside: %w", o.Hash.Short(), err)
		}
		if !moved {
			return false, nil
		}
	}
	found, err = s.record(catalog.Damage{Hash: o.Hash, Found: s.Now(), Lost: lost})
	if found {
		s.tell(o.Hash, why)
	}
	return found, err
}

// record writes damage down, unless the object is here again or nobody needs it.
func (s *Service) record(d catalog.Damage) (found bool, err error) {
	err = s.Catalog.Reclaim(func(tx *catalog.Tx) error {
		needed, err := tx.Needed(d.Hash)
		if err != nil || !needed {
			return err
		}
		// who stages an object has it on disk before the need is written, and one transaction follows
		// another: what is not there now was not made good
		here, err := s.Objects.Contains(d.Hash)
		if err != nil || here {
			return err
		}
		found = true
		return tx.PutDamage(d)
	})
	return found && err == nil, err
}

// tell logs what a damaged object was.
func (s *Service) tell(h digest.Hash, why error) {
	var uses []catalog.Use
	err := s.Catalog.View(func(tx *catalog.Tx) (err error) {
		uses, err = tx.Uses(h)
		return err
	})
	if err != nil {
		s.Log.Error("an object is damaged", "object", h.Short(), "why", why, "err", err)
		return
	}
	for _, u := range uses {
		if u.Fragment {
			s.Log.Error("a fragment is damaged", "tessera", u.Tessera.Short(), "fragment", u.Index, "object", h.Short(), "err", why)
			continue
		}
		s.Log.Error("a file is damaged", "tessera", u.Tessera.Short(), "file", u.Name, "object", h.Short(), "err", why)
	}
}

// Missing writes down that needed objects have no file, for those who find that out in other ways.
func (s *Service) Missing(lost []digest.Hash) error {
	if err := s.Objects.Mounted(); err != nil {
		return err
	}
	for _, h := range lost {
		known := false
		err := s.Catalog.View(func(tx *catalog.Tx) error {
			_, err := tx.Damage(h)
			known = err == nil
			if errors.Is(err, catalog.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if known {
			continue
		}
		found, err := s.record(catalog.Damage{Hash: h, Found: s.Now(), Lost: true})
		if err != nil {
			return err
		}
		if found {
			s.tell(h, cas.ErrMissing)
		}
	}
	return nil
}
