package invariants

import (
	"errors"
	"fmt"

	"github.com/tesseras/tesseras/host/fragment"
)

// Copies tells of each fragment of a tessera on which disks it is whole.
type Copies struct {
	Plan *fragment.FragmentPlan
	On   [][]string // by the fragment's number: data directories
}

// Find looks for the fragments of a tessera on disks, also of nodes that are stopped. It believes no index.
func Find(plan *fragment.FragmentPlan, dirs []string) Copies {
	c := Copies{plan, make([][]string, plan.Total())}
	for _, dir := range dirs {
		for i, hash := range plan.Fragments {
			if Whole(dir, hash) {
				c.On[i] = append(c.On[i], dir)
			}
		}
	}
	return c
}

// Distinct counts the fragments that are whole somewhere.
func (c Copies) Distinct() (n int) {
	for _, on := range c.On {
		if len(on) > 0 {
			n++
		}
	}
	return n
}

// Lost finds fragments that were somewhere before and are nowhere now (I5).
func (c Copies) Lost(before Copies) error {
	var found []error
	for i, on := range before.On {
		if len(on) > 0 && len(c.On[i]) == 0 {
			found = append(found, fmt.Errorf("fragment %d of %s is nowhere any more, it was on %d disks", i, c.Plan.Tessera.Short(), len(on)))
		}
	}
	return errors.Join(found...)
}

// Target tells what is missing for a tessera to be at its target (I4): every fragment somewhere, whole copies
// as often as the plan says, on so many disks at least.
func (c Copies) Target(disks int) error {
	distinct := map[string]bool{}
	for i, on := range c.On {
		if wanted := max(c.Plan.Copies, 1); len(on) < wanted {
			return fmt.Errorf("fragment %d of %s is on %d disks, wanted on %d", i, c.Plan.Tessera.Short(), len(on), wanted)
		}
		for _, dir := range on {
			distinct[dir] = true
		}
	}
	if len(distinct) < disks {
		return fmt.Errorf("%s is on %d disks, wanted on %d", c.Plan.Tessera.Short(), len(distinct), disks)
	}
	return nil
}

// Most is on how many disks the most frequent fragment is.
func (c Copies) Most() (most int) {
	for _, on := range c.On {
		most = max(most, len(on))
	}
	return most
}

// Total counts the copies of all fragments.
func (c Copies) Total() (n int) {
	for _, on := range c.On {
		n += len(on)
	}
	return n
}
