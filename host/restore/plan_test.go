package restore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tesseras/tesseras/host/restore"
)

func TestThePlanComesFromWhereItIsRight(t *testing.T) {
	s, other := newTale(t, 1), newTale(t, 2)
	for name, c := range map[string]struct {
		here   []byte
		others func(d *desk)
	}{
		"only elsewhere":         {nil, func(*desk) {}},
		"here, and wrong there":  {s.plan.Bytes(), func(d *desk) { d.list[0].planErr = errors.New("forged") }},
		"damaged here":           {s.plan.Bytes()[:100], func(*desk) {}},
		"another's under its id": {other.plan.Bytes(), func(*desk) {}},
		"one says deleted":       {nil, func(d *desk) { d.add(s).planErr = restore.ErrDeleted }},
		"one has another's":      {nil, func(d *desk) { d.add(other) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 0)
			d.add(s, 0, 1, 2, 3)
			c.others(d)
			if c.here != nil {
				d.papers[s.plan.Tessera] = c.here
			}
			d.restores(t, s)
		})
	}
}

func TestWhereThereIsNoPlan(t *testing.T) {
	s := newTale(t, 1)
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		answers []error
		want    error
	}{
		"nobody is there": {nil, restore.ErrNoPlan},
		"nobody has it":   {[]error{gone, gone}, restore.ErrNoPlan},
		"it was deleted":  {[]error{gone, restore.ErrDeleted}, restore.ErrDeleted},
	} {
		d := newDesk(t, 0)
		for _, err := range c.answers {
			d.add(s).planErr = err
		}
		_, err := d.Collect(t.Context(), s.plan.Tessera, nil)
		if !errors.Is(err, c.want) || c.want == restore.ErrNoPlan && len(c.answers) > 0 && !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
		if left := d.spooled(t); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestRoomIsCheckedFirst(t *testing.T) {
	d, s := newDesk(t, 1<<60), newTale(t, 1)
	d.add(s, 0, 1, 2, 3)
	if _, err := d.Collect(t.Context(), s.plan.Tessera, nil); !errors.Is(err, restore.ErrSpace) || len(d.fetched) != 0 {
		t.Errorf("%v, fetched %v", err, d.fetched)
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	d.add(s, 0, 1)
	d.add(s, 2, 3).silent = true // so it waits, for want of fragments
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Collect(ctx, s.plan.Tessera, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	d.list[1].silent = false
	d.restores(t, s)
}
