package localapi

import (
	"context"
	"io"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Backend is the node as its owner sees it. Errors made with Fail carry an exit code and a hint; so
// does any error with a method Hint() string. Every method returns soon after its ctx has ended.
type Backend interface {
	Tesseras
	Network
	Maintenance
	Disk
	Policies
	Node
}

// Tesseras are the owner's own, kept on this node.
type Tesseras interface {
	// Known lists the ids a person may mean by a prefix: own tesseras, those held for others,
	// and those of which something unplanned is here.
	Known(ctx context.Context) ([]sdk.TesseraID, error)
	// Create keeps a folder that arrives as tessera.WriteFolder streams it. All or nothing: what
	// arrives incomplete leaves nothing behind.
	Create(ctx context.Context, folder io.Reader) (Created, error)
	List(ctx context.Context) ([]Summary, error)
	Show(ctx context.Context, id sdk.TesseraID) (Details, error)
	Delete(ctx context.Context, id sdk.TesseraID) (Deleted, error)
	// Verify reads every byte. Damage is a result; an error means that it could not look.
	Verify(ctx context.Context, id sdk.TesseraID, progress ProgressFunc) (Verified, error)
	// Pack opens an own tessera as one packed tar. ctx also rules the writing.
	Pack(ctx context.Context, id sdk.TesseraID) (Packed, error)
}

// Network is what needs peers. A backend without a running node answers with ErrNoDaemon.
type Network interface {
	// Publish places the fragments of an own tessera at peers. Without Wait it returns when the
	// publishing goes on by itself. The end of ctx ends the waiting, never the publishing. With an error
	// comes what was reached, if anything was.
	Publish(ctx context.Context, id sdk.TesseraID, o PublishOptions, progress ProgressFunc) (Published, error)
	// Fetch finds and checks enough fragments of a tessera, and opens it as one packed tar. ctx also
	// rules the writing.
	Fetch(ctx context.Context, id sdk.TesseraID, progress ProgressFunc) (Packed, error)
	Peers(ctx context.Context) ([]Peer, error)
	// NetCheck asks peers where they see this node, and to dial it as strangers would.
	NetCheck(ctx context.Context) (NetCheck, error)
}

// Maintenance is how things stand, and what is done about it.
type Maintenance interface {
	Status(ctx context.Context, id sdk.TesseraID) (Status, error)
	Ledger(ctx context.Context) ([]Account, error)
	// AuditLedger recomputes the books, and compares them with those of every peer that can be asked.
	AuditLedger(ctx context.Context) (Audit, error)
	RepairPlan(ctx context.Context) ([]RepairStep, error)
	// RepairRun looks after one tessera, or after all for the zero id. What could not be repaired is
	// counted and named in the report; an error means that it could not go on.
	RepairRun(ctx context.Context, id sdk.TesseraID, progress ProgressFunc) (RepairReport, error)
}

// Disk is what lies on this disk, and whether it is what it should be.
type Disk interface {
	// GC removes what nobody needs.
	GC(ctx context.Context, o GCOptions) (Swept, error)
	// Scrub reads every object now, whatever the period and the pause say. Damage is a result; an error
	// means that it could not look.
	Scrub(ctx context.Context, progress ProgressFunc) (Scrubbed, error)
	// ScrubControl starts, pauses or resumes the scrub that goes on by itself, or only tells how it
	// stands.
	ScrubControl(ctx context.Context, action ScrubAction) (ScrubStatus, error)
}

// Node is the node itself.
type Node interface {
	NodeStatus(ctx context.Context) (NodeStatus, error)
	Identity(ctx context.Context) (Identity, error)
}

// ProgressFunc takes news of a long operation. It returns at once, may be called from several
// goroutines, and does nothing once the operation has returned.
type ProgressFunc func(Progress)

// Progress is how far an operation has come.
type Progress struct {
	Stage string `json:"stage"` // what is being done, in words
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0 where unknown
	Unit  string `json:"unit"`  // Bytes, Files or Fragments
}

// What Progress counts.
const (
	Bytes     = "bytes"
	Files     = "files"
	Fragments = "fragments"
)

// Packed is a packed tar ready to be written.
type Packed struct {
	// Size of the whole stream in bytes.
	Size int64
	// Sources are the holders it was restored from; nil for an own tessera.
	Sources []Source
	// Write is called exactly once and lets go of what the stream held. After an error nothing that
	// was written may be kept.
	Write func(w io.Writer) error
}

// PublishOptions says how long Publish takes.
type PublishOptions struct {
	// Wait until every fragment is at a holder, or the error is one of CodeBelowTarget.
	Wait bool
	// Timeout of the waiting; 0 is no limit.
	Timeout time.Duration
}
