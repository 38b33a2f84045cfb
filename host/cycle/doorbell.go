package cycle

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Doorbell is how strangers ask for a round. A crowd that comes at once is heard at once; who goes on ringing is
// heard once a minute, for keys are cheap to make and rounds are not.
type Doorbell struct {
	rung chan struct{}
	pace *rate.Limiter
}

// crowd is how many rings are heard at once.
const crowd = 32

// NewDoorbell returns a bell that nobody hears until Run.
func NewDoorbell() *Doorbell {
	return &Doorbell{rung: make(chan struct{}, 1), pace: rate.NewLimiter(rate.Every(time.Minute), crowd)}
}

// Ring never waits. What is rung while an earlier ring is not heard is heard with it.
func (d *Doorbell) Ring() {
	select {
	case d.rung <- struct{}{}:
	default:
	}
}

// Run calls answer for what is rung until ctx ends.
func (d *Doorbell) Run(ctx context.Context, answer func()) {
	for {
		if d.pace.Wait(ctx) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-d.rung:
			answer()
		}
	}
}
