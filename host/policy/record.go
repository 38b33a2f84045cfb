package policy

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Step is one policy that was asked on the way to a decision.
type Step struct {
	Policy  string
	Runtime string
	Part    Part
	Digest  string // of the policy's module or program, "" where there is none
	Outcome Outcome
	Error   string // for failures
	Took    time.Duration
	// Response is a guard's valid answer to Decision.Question; a decider's is the decision's own.
	Response []byte
}

// Decision is everything needed to explain a decision, or to ask for it again.
type Decision struct {
	ID            string // 16 hexadecimal digits
	Time          time.Time
	Role          sdk.Role
	Source                // who decided; without a policy where nobody did
	Outcome       Outcome // Answered, Deferred, or Failed where nobody did
	Reason        string  // in the words of who decided
	Steps         []Step  // all that were asked, in order
	Notes         []Note  // about peers that the host left out of the question
	Question      []byte  // as the guards were asked; nil where there are none
	RequestDigest digest.Hash
	Request       []byte // as whoever decided was asked; equal to Question where guards did
	Response      []byte // as it was answered, nil where nobody did
}

func (d *Decision) size() int {
	n := len(d.Question) + len(d.Request) + len(d.Response)
	for _, s := range d.Steps {
		n += len(s.Response)
	}
	return n
}

// decisionID is unique within a node: no two decisions share a number.
func (e *Engine) decisionID(d Decision) string {
	text := fmt.Sprintf("%s %d %d", d.Role, d.Time.UnixNano(), e.asked.Add(1))
	return digest.Of([]byte(text)).String()[:16]
}

// Recorder keeps decisions. Record owns the decision and its bytes; it must not block for long.
type Recorder interface {
	Record(Decision)
}

// Mover is a Recorder that also follows what becomes of a placement.
type Mover interface {
	Moved(Move)
}

// Move tells that the peer a fragment was given to did not take it, or not soon.
type Move struct {
	Decision string
	Time     time.Time
	Fragment uint32
	From     sdk.NodeID
	To       sdk.NodeID // zero where nobody is left to try
}

// follow records the moves of a placement, where the recorder wants to know.
func (e *Engine) follow(decision string) func(fragment uint32, from, to sdk.NodeID) {
	m, ok := e.recorder.(Mover)
	if !ok {
		return func(uint32, sdk.NodeID, sdk.NodeID) {}
	}
	return func(fragment uint32, from, to sdk.NodeID) { m.Moved(Move{decision, e.now(), fragment, from, to}) }
}

type noRecorder struct{}

func (noRecorder) Record(Decision) {}

// Ring is a Recorder that keeps the latest decisions in memory. It is safe for concurrent use.
type Ring struct {
	decisions, bytes int

	mu   sync.Mutex // guards below
	kept []Decision // oldest first
	size int
}

// NewRing keeps at most so many decisions and so many bytes of requests and responses.
func NewRing(decisions, bytes int) *Ring { return &Ring{decisions: decisions, bytes: bytes} }

// Record implements Recorder. A decision too large for the whole ring is not kept.
func (r *Ring) Record(d Decision) {
	if d.size() > r.bytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, d)
	r.size += d.size()
	drop := 0
	for len(r.kept)-drop > r.decisions || r.size > r.bytes {
		r.size -= r.kept[drop].size()
		drop++
	}
	r.kept = slices.Delete(r.kept, 0, drop)
}

// Get finds a decision by its id.
func (r *Ring) Get(id string) (Decision, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.kept {
		if d.ID == id {
			return d, true
		}
	}
	return Decision{}, false
}

// List gives what is kept, oldest first.
func (r *Ring) List() []Decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}
