package attest

import (
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Watched answers who watches: what this node knows of each tessera it is asked about, as known has it for the
// watcher.
func Watched(node *identity.Node, watcher sdk.NodeKey, q *wire.Watch, known func(sdk.TesseraID, sdk.NodeKey) wire.Check, now time.Time) *wire.Checked {
	checks := make([]wire.Check, len(q.GetTesseras()))
	for i, id := range q.GetTesseras() {
		checks[i] = known(sdk.TesseraID(id), watcher)
	}
	return wire.SignChecked(node, q, watcher, checks, now)
}
