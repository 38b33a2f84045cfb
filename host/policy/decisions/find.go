package decisions

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// payloads reads every record, oldest first. A damaged segment gives a *DamageError, and reading goes
// on with the next; one that is dropped meanwhile is passed over.
func (l *Log) payloads() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, s := range l.snapshot() {
			if !l.readSegment(s, yield) {
				return
			}
		}
	}
}

// readSegment tells whether to go on.
func (l *Log) readSegment(s segment, yield func([]byte, error) bool) bool {
	if s.size == 0 {
		return true
	}
	name := l.name(s.number)
	file, err := l.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(nil, err)
	}
	defer file.Close()
	f, err := newFrames(file, s.size)
	if err != nil {
		return yield(nil, &DamageError{name, 0})
	}
	for {
		payload, err := f.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return yield(nil, &DamageError{name, s.size - f.left})
		}
		if !yield(payload, nil) {
			return false
		}
	}
}

// Since gives the decisions from a time on, in the order they were made; a zero time gives all. What
// cannot be read comes as an error in its place, and the rest follows.
func (l *Log) Since(from time.Time) iter.Seq2[policy.Decision, error] {
	return l.decisions(func(h head, _ []byte) bool { return !h.Time.Before(from) })
}

// OfTessera gives the decisions about a tessera, as Since does.
func (l *Log) OfTessera(id sdk.TesseraID) iter.Seq2[policy.Decision, error] {
	return func(yield func(policy.Decision, error) bool) {
		for d, err := range l.decisions(func(_ head, rest []byte) bool { return bytes.Contains(rest, id[:]) }) {
			if (err != nil || mentions(d, id)) && !yield(d, err) {
				return
			}
		}
	}
}

// Find gives the decision whose id begins with prefix. Errors: ErrNotFound, ErrAmbiguous, ErrDamaged
// where it may have been in a part that cannot be read.
func (l *Log) Find(prefix string) (found policy.Decision, err error) {
	var damage error
	for d, err := range l.decisions(func(h head, _ []byte) bool { return strings.HasPrefix(h.ID, prefix) }) {
		switch {
		case err != nil:
			damage = err
		case found.ID != "":
			return policy.Decision{}, fmt.Errorf("decision %s: %w", prefix, ErrAmbiguous)
		default:
			found = d
		}
	}
	if found.ID == "" {
		return policy.Decision{}, fmt.Errorf("decision %s: %w", prefix, errors.Join(ErrNotFound, damage))
	}
	return found, nil
}

// Moves gives what became of a placement: which fragments were not taken by the peer they were given
// to, in order.
func (l *Log) Moves(decision string) (moves []policy.Move, err error) {
	for payload, readErr := range l.payloads() {
		if readErr != nil {
			err = readErr
			continue
		}
		h, _, headErr := decodeHead(payload)
		if headErr != nil || h.Kind != kindMove || h.ID != decision {
			continue
		}
		m, headErr := h.move()
		if headErr != nil {
			err = headErr
			continue
		}
		moves = append(moves, m)
	}
	return moves, err
}

// decisions reads those that match by their head and the bytes behind it.
func (l *Log) decisions(match func(h head, rest []byte) bool) iter.Seq2[policy.Decision, error] {
	return func(yield func(policy.Decision, error) bool) {
		for payload, err := range l.payloads() {
			var d policy.Decision
			if err == nil {
				h, rest, headErr := decodeHead(payload)
				if headErr == nil && (h.Kind != kindDecision || !match(h, rest)) {
					continue
				}
				if err = headErr; err == nil {
					d, err = h.decision(rest)
				}
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// mentions tells whether a decision is about a tessera.
func mentions(d policy.Decision, id sdk.TesseraID) bool {
	for _, t := range tesseras(d) {
		if t == id {
			return true
		}
	}
	return false
}

// tesseras lists what a decision is about; none where its request cannot be read.
func tesseras(d policy.Decision) []sdk.TesseraID {
	var ids [][]byte
	switch d.Role {
	case sdk.RolePlacement:
		var r sdk.PlaceRequest
		if r.UnmarshalVT(d.Request) == nil {
			ids = append(ids, r.Tessera)
		}
	case sdk.RoleReciprocity:
		var r sdk.AdmitRequest
		if r.UnmarshalVT(d.Request) == nil {
			ids = append(ids, r.Tessera)
		}
	case sdk.RoleRepair:
		var r sdk.RepairRequest
		if r.UnmarshalVT(d.Request) == nil {
			for _, h := range r.Tesseras {
				ids = append(ids, h.Tessera)
			}
		}
	}
	var out []sdk.TesseraID
	for _, id := range ids {
		if len(id) == sdk.IDSize {
			out = append(out, sdk.TesseraID(id))
		}
	}
	return out
}
