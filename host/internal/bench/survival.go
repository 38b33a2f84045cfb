package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/attest"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// What it costs to know that others' fragments are there.

func survivalSteps(l *lab) []step {
	return []step{
		{"proof of 16 MiB", func(ctx context.Context) ([]row, error) { return proofRows(ctx, l) }},
		{"attestation", func(ctx context.Context) ([]row, error) { return attestRows(ctx, l) }},
	}
}

// working is the processor time of this process so far, or the time of day where that is not known.
func working() time.Duration {
	if t := processorTime(os.Getpid()); t > 0 {
		return t
	}
	return time.Duration(time.Now().UnixNano())
}

// The goals of a proof: each side's time, and the answer's size.
const (
	proofTime  = 1e-3  // seconds
	proofBytes = 20000 // of the message
)

// proofRows measures both sides of proofs of one fragment on a real disk, signatures included.
func proofRows(ctx context.Context, l *lab) ([]row, error) {
	times := 500
	if l.quick {
		times = 5
	}
	id, err := identity.Generate(0)
	if err != nil {
		return nil, err
	}
	p, claim, done, err := provable(ctx, l, id)
	if err != nil {
		return nil, err
	}
	defer done()
	verifier := sdk.NodeKey{1}
	var holder, checker time.Duration
	size := 0
	for i := range times {
		var nonce [32]byte
		binary.BigEndian.PutUint64(nonce[:], uint64(i))
		q := claim.Challenge(nonce, false)
		began := working()
		answer, err := p.Prove(ctx, verifier, q)
		holder += working() - began
		if err != nil {
			return nil, err
		}
		body, err := wire.Encode(answer)
		if err != nil {
			return nil, err
		}
		size = max(size, len(body))
		began = working()
		_, err = wire.VerifyProof(answer, q, id.Node.Key(), verifier)
		if err == nil {
			err = proof.Check(q, claim.Size, answer.GetSlices())
		}
		checker += working() - began
		if err != nil {
			return nil, err
		}
	}
	side := func(name string, took time.Duration) row {
		each := took.Seconds() / float64(times)
		r := row{Step: name, Seconds: each, Value: float64(size), Unit: "bytes an answer", Goal: "1 ms, 20 KB"}
		return r.judged(each <= proofTime && size <= proofBytes).noted("%d chunks each; processor time", proof.Draws+1)
	}
	return []row{side("prove 16 MiB", holder), side("check that proof", checker)}, nil
}

// provable is a holder of one fragment of 16 MiB.
func provable(ctx context.Context, l *lab, id *identity.Identity) (p *attest.Prover, c proof.Claim, done func(), err error) {
	path, err := l.folder("proof")
	if err != nil {
		return nil, c, nil, err
	}
	dir, err := vfs.OpenDir(path)
	if err != nil {
		return nil, c, nil, err
	}
	index, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		return nil, c, nil, err
	}
	done = func() { _, _, _ = index.Close(), dir.Close(), os.RemoveAll(path) }
	objects, err := cas.New(dir, cas.Config{})
	if err != nil {
		return nil, c, done, err
	}
	content := make([]byte, 16*mib)
	fillRandom(content)
	c = proof.Claim{Tessera: sdk.TesseraID{7}, Index: 3, Checksum: digest.Of(content), Size: int64(len(content))}
	if _, err := objects.StageProvable(ctx, bytes.NewReader(content), c.Checksum); err != nil {
		return nil, c, done, err
	}
	err = index.Update(func(tx *catalog.Tx) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: c.Tessera, Index: c.Index, Hash: c.Checksum, Size: c.Size, Stored: time.Now()})
		return err
	})
	return attest.NewProver(objects, index, id.Node, func(digest.Hash, error) {}, slog.New(slog.DiscardHandler), time.Now), c, done, err
}

// The goal of attestations: so much processor time a round for keptGoal fragments, with so many other holders.
const (
	attestGoal   = 20 // seconds
	otherHolders = 23
)

// attestRows measures all that a round of attestations costs a node: it answers each of the other holders once
// and checks an answer of each, and it records what all of them say.
func attestRows(ctx context.Context, l *lab) ([]row, error) {
	answer, err := attestRow(ctx, l)
	if err != nil {
		return nil, err
	}
	record, err := recordRow(ctx, l)
	if err != nil {
		return nil, err
	}
	sum := row{Step: "attest and record", Value: answer.Value + record.Value, Unit: answer.Unit, Goal: fmt.Sprintf("%d s", attestGoal)}
	return []row{answer, record, sum.judged(sum.Value <= attestGoal).noted("the sum of both, for %d fragments", keptGoal)}, nil
}

// attestRow lets a holder of many fragments, each of another tessera, answer from its index on disk, and
// verifies the answers. The round of a node is this, once as the one and once as the other, with each of
// the other holders.
func attestRow(ctx context.Context, l *lab) (r row, err error) {
	n := keptGoal
	if l.quick {
		n = 2_000
	}
	path, err := l.folder("attest")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(path)
	index, err := catalog.Open(path, catalog.Options{Ballast: -1})
	if err != nil {
		return r, err
	}
	defer index.Close()
	ids := make([]sdk.TesseraID, n)
	for i := range ids {
		ids[i] = sdk.TesseraID(digest.Of(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	slices.SortFunc(ids, func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) }) // as a round asks
	err = catalog.UpdateEach(index, ids, func(tx *catalog.Tx, t sdk.TesseraID) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: t, Index: 5, Hash: digest.Hash(t), Size: 1, Stored: time.Now()})
		return err
	})
	if err != nil {
		return r, err
	}
	holder, err := identity.Generate(0)
	if err != nil {
		return r, err
	}
	l.settle()
	s, verifier := attest.New(index, holder.Node, time.Now), sdk.NodeKey{1}
	began := working()
	held, questions := 0, 0
	for rest := ids; len(rest) > 0; questions++ {
		q := &wire.AttestRequest{Nonce: make([]byte, 32)}
		for _, t := range rest[:min(len(rest), wire.MaxAttested)] {
			q.Tesseras = append(q.Tesseras, t[:])
		}
		heard, err := delivered(q)
		if err != nil {
			return r, err
		}
		answer, err := s.Answer(ctx, verifier, heard)
		if err == nil {
			answer, err = delivered(answer)
		}
		if err != nil {
			return r, err
		}
		a, err := wire.VerifyAttestation(answer, q, holder.Node.Key(), verifier)
		if err != nil {
			return r, err
		}
		held += len(a.Held)
		rest = rest[a.Covered:]
	}
	took := (working() - began).Seconds()
	if held != n {
		return r, fmt.Errorf("%d of %d were attested", held, n)
	}
	r = row{Step: fmt.Sprintf("attest %d fragments", n), Seconds: took, Value: took * keptGoal / float64(n) * otherHolders, Unit: "s with 23 others"}
	return r.noted("both sides, messages coded and decoded, %d signatures, no object read; processor time", questions), nil
}

// delivered is a message as it comes out at the other side.
func delivered[M wire.Message](m M) (got M, err error) {
	body, err := wire.Encode(m)
	if err != nil {
		return got, err
	}
	out, err := wire.Decode(wire.KindOf(m), body)
	if err != nil {
		return got, err
	}
	return out.(M), nil
}

// recordRow takes down what all others say of tesseras of 16+8, and scales it. They are so many that the index
// writes and merges tables meanwhile.
func recordRow(ctx context.Context, l *lab) (r row, err error) {
	n := 10_000
	if l.quick {
		n = 100
	}
	c, err := newCustodian(ctx, l, n)
	if err != nil {
		return r, err
	}
	l.settle()
	took, err := c.record()
	r = row{Step: "record attestations", Seconds: took, Value: took * keptGoal / float64(n), Unit: "s with 23 others"}
	return r.noted("of %d, from %d, a day after the last; processor time", keptGoal, n), errors.Join(err, c.close())
}
