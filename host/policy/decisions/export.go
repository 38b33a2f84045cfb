package decisions

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// Query says which decisions are meant: those that keep every condition that is given.
type Query struct {
	Decision string        // prefix of an id; "" is any
	Tessera  sdk.TesseraID // zero is any
	Since    time.Time     // zero is any
}

func (q Query) matches(d policy.Decision) bool {
	return strings.HasPrefix(d.ID, q.Decision) && !d.Time.Before(q.Since) && (q.Tessera.IsZero() || mentions(d, q.Tessera))
}

// Export writes the decisions that are meant, and what became of them, in the form of a segment: Import
// reads it. found is how many decisions there were. What cannot be read is left out and told by an
// ErrDamaged, after all the rest was written; any other error is that of writing.
func (l *Log) Export(w io.Writer, q Query) (found int, err error) {
	if _, err := io.WriteString(w, header); err != nil {
		return 0, err
	}
	meant := map[string]bool{}
	var damage error
	for payload, err := range l.payloads() {
		if err != nil {
			damage = errors.Join(damage, err)
			continue
		}
		wanted, isDecision := q.wants(payload, meant)
		if !wanted {
			continue
		}
		if isDecision {
			found++
		}
		if _, err := w.Write(frame(append(make([]byte, frameHead), payload...))); err != nil {
			return found, err
		}
	}
	return found, damage
}

// wants tells whether a record is meant; a move is, where its decision was.
func (q Query) wants(payload []byte, meant map[string]bool) (wanted, isDecision bool) {
	h, rest, err := decodeHead(payload)
	if err != nil || h.Kind == kindMove {
		return err == nil && meant[h.ID], false
	}
	if h.Kind != kindDecision || !strings.HasPrefix(h.ID, q.Decision) || !q.Tessera.IsZero() && !bytes.Contains(rest, q.Tessera[:]) {
		return false, false
	}
	d, err := h.decision(rest)
	if err != nil || !q.matches(d) {
		return false, false
	}
	meant[d.ID] = true
	return true, true
}

// Record is one thing a log keeps: a decision, or what became of a part of one.
type Record struct {
	Decision *policy.Decision
	Move     *policy.Move
}

// Import reads what Export wrote. An error ends it: ErrDamaged for bytes that are not that, or that of
// the reader.
func Import(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		in := bufio.NewReader(r)
		got := make([]byte, len(header))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != header {
			yield(Record{}, fmt.Errorf("%w: it does not begin as one", ErrDamaged))
			return
		}
		for {
			record, err := importOne(in)
			if errors.Is(err, io.EOF) || !yield(record, err) || err != nil {
				return
			}
		}
	}
}

func importOne(in io.Reader) (Record, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: cut short", ErrDamaged)
		}
		return Record{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return Record{}, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, n)
	}
	payload, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err != nil {
		return Record{}, err
	}
	if len(payload) < int(n) || checksum(head[:4], payload) != binary.BigEndian.Uint32(head[4:]) {
		return Record{}, fmt.Errorf("%w: a record that is not as it was written", ErrDamaged)
	}
	h, rest, err := decodeHead(payload)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if h.Kind == kindMove {
		m, err := h.move()
		return Record{Move: &m}, err
	}
	d, err := h.decision(rest)
	return Record{Decision: &d}, err
}
