package repair

import (
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// climate is what a round saw of the network.
type climate struct {
	weather *sdk.Weather
	back    map[sdk.NodeKey]bool // of those that were silent before: whether they were met since
}

func newClimate() *climate { return &climate{&sdk.Weather{}, map[sdk.NodeKey]bool{}} }

// add takes what was seen on another page.
func (c *climate) add(page *climate) {
	c.weather.PeersAsked += page.weather.PeersAsked
	c.weather.PeersSilent += page.weather.PeersSilent
	c.weather.PeersNewlySilent += page.weather.PeersNewlySilent
	for k, back := range page.back {
		c.note(k, back)
	}
}

// note counts a holder that was silent. One that was back by any word of it was.
func (c *climate) note(k sdk.NodeKey, back bool) { c.back[k] = c.back[k] || back }

func (c *climate) habits() health.Habits { return health.HabitsOf(c.back) }

// noteBack tells of a holder that was silent when it was visited the last time whether it is back now, or was
// meanwhile. One that is given up does not count.
func (s *Service) noteBack(c *climate, v *visit, answered bool) {
	if v.silent.IsZero() {
		return
	}
	back := answered || s.Network.Seen(v.holder.Key).After(v.silent)
	if back || s.Now().Sub(v.silent) < s.longestGrace() {
		c.note(v.holder.Key, back)
	}
}
