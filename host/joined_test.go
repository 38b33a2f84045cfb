package host_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhoIsAskedAtOnceHasJoined, in virtual time: what is asked of a node the moment that it is ready, it asks a
// network that it has joined; also when it starts again with no address to begin with. Who has nobody to join
// waits for nothing, and who can reach nobody for some seconds, or as long as the asker does.
func TestWhoIsAskedAtOnceHasJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{rng: rand.New(rand.NewPCG(3, 4))}
		v := w.village(t)
		owner := v.settled(8)
		original := folder(t, map[string]int{"a": 1000})
		id := create(t, owner, original).ID
		owner.publish(id)

		newcomer := v.add()
		fetch(t, newcomer, id, original)
		again := newcomer.restart(func(c *config.Config) { c.Network.Bootstrap = nil })
		fetch(t, again, id, original)
		second := create(t, again, folder(t, map[string]int{"b": 1000})).ID
		again = again.restart(func(c *config.Config) { c.Network.Bootstrap = nil })
		if p, err := again.Publish(t.Context(), second, localapi.PublishOptions{}, noProgress); err != nil || p.Placed != 7 {
			t.Errorf("published at once: %+v, %v", p, err)
		}
		alone := func(bootstrap ...string) *member {
			return v.add(func(c *config.Config) { c.Network.Bootstrap = bootstrap })
		}
		asks := func(m *member, patience time.Duration) (took time.Duration, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			begun := time.Now()
			_, err = m.Holders(ctx, sdk.TesseraID{1})
			return time.Since(begun), err
		}
		if took, err := asks(alone(), time.Minute); took > 0 || err != nil {
			t.Errorf("with nobody to join it waits for %s: %v", took, err)
		}
		const nowhere = "11.9.9.9:4433"
		if took, err := asks(alone(nowhere), time.Minute); took < 5*time.Second || took > 15*time.Second || err != nil {
			t.Errorf("where nobody can be reached it waits for %s: %v", took, err)
		}
		if took, err := asks(alone(nowhere), time.Second); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("for an asker with a second it waits for %s: %v", took, err)
		}
		for _, m := range v.nodes {
			m.stop()
		}
	})
}
