package native

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// late answers after a while.
type late struct{ time.Duration }

func (l late) Repair(*sdk.RepairRequest) *sdk.RepairResponse {
	time.Sleep(l.Duration)
	return &sdk.RepairResponse{Status: sdk.Status_PASS}
}

func TestAskReturnsWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New("late", plugins.Set{Repair: late{time.Minute}}), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Ask(ctx, sdk.RoleRepair, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := p.Close(); err != nil || time.Since(start) != time.Minute {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
	})
}

func TestEveryRoleOfTheDefaults(t *testing.T) {
	p := New("default", plugins.Default())
	defer p.Close()
	if p.Name() != "default" || p.Runtime() != "native" {
		t.Errorf("%s, %s", p.Name(), p.Runtime())
	}
	for _, role := range []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair} {
		if b, err := p.Ask(t.Context(), role, []byte{0xff}); err != nil || len(b) == 0 || b[0] != 0x08 {
			t.Errorf("%s: %x, %v", role, b, err)
		}
	}
	if _, err := p.Ask(t.Context(), "cooking", nil); !errors.Is(err, sdk.ErrRole) {
		t.Errorf("another role: %v", err)
	}
}
