package decisions

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// The kinds of records.
const (
	kindDecision = "decision"
	kindMove     = "move"
)

// head is what a record says beside the bytes that were passed. A reader skips kinds it does not know.
type head struct {
	Kind string    `json:"kind"`
	ID   string    `json:"id"` // of the decision
	Time time.Time `json:"time"`

	Role          sdk.Role       `json:"role,omitempty"`
	Policy        string         `json:"policy,omitempty"`
	Runtime       string         `json:"runtime,omitempty"`
	Outcome       policy.Outcome `json:"outcome,omitempty"`
	Reason        string         `json:"reason,omitempty"`
	RequestDigest *digest.Hash   `json:"request_blake3,omitempty"`
	Steps         []step         `json:"steps,omitempty"`
	Notes         []note         `json:"notes,omitempty"`
	Sizes         []int          `json:"sizes,omitempty"` // of the bytes that follow

	Fragment uint32      `json:"fragment,omitempty"`
	From     *sdk.NodeID `json:"from,omitempty"`
	To       *sdk.NodeID `json:"to,omitempty"`
}

type step struct {
	Policy  string         `json:"policy"`
	Runtime string         `json:"runtime"`
	Part    policy.Part    `json:"part"`
	Digest  string         `json:"sha256,omitempty"`
	Outcome policy.Outcome `json:"outcome"`
	Error   string         `json:"error,omitempty"`
	TookNs  time.Duration  `json:"took_ns"`
}

type note struct {
	Peer   sdk.NodeID `json:"peer"`
	Reason string     `json:"reason"`
}

func encodeDecision(d policy.Decision) []byte {
	h := head{
		Kind: kindDecision, ID: d.ID, Time: d.Time.UTC(), Role: d.Role, Policy: d.Policy, Runtime: d.Runtime,
		Outcome: d.Outcome, Reason: d.Reason, RequestDigest: &d.RequestDigest,
	}
	blobs := [][]byte{d.Question, d.Request, d.Response}
	for _, s := range d.Steps {
		h.Steps = append(h.Steps, step{s.Policy, s.Runtime, s.Part, s.Digest, s.Outcome, s.Error, s.Took})
		blobs = append(blobs, s.Response)
	}
	for _, n := range d.Notes {
		h.Notes = append(h.Notes, note(n))
	}
	return encode(h, blobs)
}

func encodeMove(m policy.Move) []byte {
	return encode(head{Kind: kindMove, ID: m.Decision, Time: m.Time.UTC(), Fragment: m.Fragment, From: &m.From, To: &m.To}, nil)
}

// encode writes a whole frame, nil where the head cannot be told (a time beyond the year 9999). Bytes
// that are nil have size -1.
func encode(h head, blobs [][]byte) []byte {
	size := 0
	for _, b := range blobs {
		n := len(b)
		if b == nil {
			n = -1
		}
		h.Sizes = append(h.Sizes, n)
		size += len(b)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil
	}
	out := make([]byte, frameHead, frameHead+4+len(text)+size)
	out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
	out = append(out, text...)
	for _, b := range blobs {
		out = append(out, b...)
	}
	return frame(out)
}

var errRecord = errors.New("not a record")

// decodeHead reads the head of a payload; rest are the bytes behind it.
func decodeHead(payload []byte) (h head, rest []byte, err error) {
	if len(payload) < 4 {
		return head{}, nil, errRecord
	}
	n := binary.BigEndian.Uint32(payload)
	payload = payload[4:]
	if int64(n) > int64(len(payload)) {
		return head{}, nil, errRecord
	}
	if err := json.Unmarshal(payload[:n], &h); err != nil {
		return head{}, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return h, payload[n:], nil
}

// decision completes a head of that kind. The decision keeps parts of rest.
func (h head) decision(rest []byte) (policy.Decision, error) {
	blobs := make([][]byte, len(h.Sizes))
	for i, n := range h.Sizes {
		if n < -1 || n > len(rest) {
			return policy.Decision{}, errRecord
		}
		if n >= 0 {
			blobs[i], rest = rest[:n:n], rest[n:]
		}
	}
	if len(blobs) != 3+len(h.Steps) || len(rest) > 0 || h.RequestDigest == nil {
		return policy.Decision{}, errRecord
	}
	d := policy.Decision{
		ID: h.ID, Time: h.Time, Role: h.Role, Source: policy.Source{Policy: h.Policy, Runtime: h.Runtime, Decision: h.ID},
		Outcome: h.Outcome, Reason: h.Reason, RequestDigest: *h.RequestDigest,
		Question: blobs[0], Request: blobs[1], Response: blobs[2],
	}
	for i, s := range h.Steps {
		d.Steps = append(d.Steps, policy.Step{
			Policy: s.Policy, Runtime: s.Runtime, Part: s.Part, Digest: s.Digest, Outcome: s.Outcome, Error: s.Error,
			Took: s.TookNs, Response: blobs[3+i],
		})
	}
	for _, n := range h.Notes {
		d.Notes = append(d.Notes, policy.Note(n))
	}
	return d, nil
}

// move completes a head of that kind.
func (h head) move() (policy.Move, error) {
	if h.From == nil || h.To == nil {
		return policy.Move{}, errRecord
	}
	return policy.Move{Decision: h.ID, Time: h.Time, Fragment: h.Fragment, From: *h.From, To: *h.To}, nil
}
