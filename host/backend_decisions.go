package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/sdk"
)

// decisionsDir is where a data directory keeps what its policies decided.
const decisionsDir = "decisions"

var (
	_ localapi.DecisionKeeper = (*localBackend)(nil)
	_ localapi.DecisionKeeper = (*Node)(nil)
)

// DecisionRecords implements localapi.DecisionKeeper.
func (n *Node) DecisionRecords(_ context.Context, decision string, tessera sdk.TesseraID, since time.Time, w io.Writer) (found int, err error) {
	if err := n.explained.Flush(); err != nil { // what is not written yet cannot be read
		return 0, fmt.Errorf("read decisions: %w", err)
	}
	return n.export(n.explained, decision, tessera, since, w)
}

// DecisionRecords implements localapi.DecisionKeeper: while no node runs, from its data directory.
func (l *localBackend) DecisionRecords(_ context.Context, decision string, tessera sdk.TesseraID, since time.Time, w io.Writer) (found int, err error) {
	if _, err := l.dir.Stat(decisionsDir); errors.Is(err, fs.ErrNotExist) {
		return 0, localapi.Fail(localapi.CodeNotFound, "a node decides something when it publishes, repairs or is offered fragments", errors.New("nothing was decided here yet"))
	}
	kept, err := decisions.Open(l.dir, decisionsDir, decisions.Config{Keep: math.MaxInt64, Log: l.log}) // reading drops nothing
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	return l.export(kept, decision, tessera, since, w)
}

// export writes what is meant. Parts of the log that cannot be read are left out, and the log says so.
func (l *local) export(kept *decisions.Log, decision string, tessera sdk.TesseraID, since time.Time, w io.Writer) (int, error) {
	found, err := kept.Export(w, decisions.Query{Decision: decision, Tessera: tessera, Since: since})
	if errors.Is(err, decisions.ErrDamaged) {
		l.log.Warn("a part of the decisions cannot be read", "err", err)
		err = nil
	}
	if err != nil {
		return found, fmt.Errorf("read decisions: %w", err)
	}
	return found, nil
}
