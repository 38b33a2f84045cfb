package attest

import (
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Watched answers who watches: when this node last checked each tessera it is asked about, as lastChecked
// has it.
func Watched(node *identity.Node, watcher sdk.NodeKey, q *wire.Watch, lastChecked func(sdk.TesseraID) time.Time, now time.Time) *wire.Checked {
	times := make([]time.Time, len(q.GetTesseras()))
	for i, id := range q.GetTesseras() {
		times[i] = lastChecked(sdk.TesseraID(id))
	}
	return wire.SignChecked(node, q, watcher, times, now)
}
