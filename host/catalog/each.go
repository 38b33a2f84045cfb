package catalog

import "errors"

// eachStep is how many items UpdateEach puts into one transaction at most.
const eachStep = 1024

// UpdateEach runs fn for every item, many items a transaction, as many as fit. It is not atomic as a
// whole: on an error the items of earlier transactions stay done. Each item is done wholly or not at
// all. fn may be called more than once for an item, never after it was committed.
func UpdateEach[T any](c *Catalog, items []T, fn func(*Tx, T) error) error {
	return each(c.Update, items, fn)
}

// ReclaimEach is UpdateEach by Reclaim.
func ReclaimEach[T any](c *Catalog, items []T, fn func(*Tx, T) error) error {
	return each(c.Reclaim, items, fn)
}

func each[T any](update func(func(*Tx) error) error, items []T, fn func(*Tx, T) error) error {
	for step := eachStep; len(items) > 0; {
		part := items[:min(step, len(items))]
		err := update(func(tx *Tx) error {
			for _, item := range part {
				if err := fn(tx, item); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, ErrTooBig) && len(part) > 1 {
			step = (len(part) + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		items = items[len(part):]
	}
	return nil
}
