package policy

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Decision is everything needed to explain a decision, or to ask for it again.
type Decision struct {
	ID            string // 16 hexadecimal digits
	Time          time.Time
	Role          sdk.Role
	Source               // who decided; without a policy where nobody did
	Steps         []Step // all that were asked, in order
	RequestDigest digest.Hash
	Request       []byte // as it was asked
	Response      []byte // as it was answered, nil where nobody did
}

// outcome is that of the last step, Failed before the first.
func (d *Decision) outcome() Outcome {
	if len(d.Steps) == 0 {
		return Failed
	}
	return d.Steps[len(d.Steps)-1].Outcome
}

func (d *Decision) size() int { return len(d.Request) + len(d.Response) }

// decisionID is unique within a node: no two decisions share a number.
func (e *Engine) decisionID(d Decision) string {
	text := fmt.Sprintf("%s %d %d %s", d.Role, d.Time.UnixNano(), e.asked.Add(1), d.RequestDigest)
	return digest.Of([]byte(text)).String()[:16]
}

// Recorder keeps decisions. Record owns the decision and its bytes; it must not block for long.
type Recorder interface {
	Record(Decision)
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
