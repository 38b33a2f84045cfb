package wire_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/wire"
)

func TestProofSignature(t *testing.T) {
	id := fixed(t)
	q := sampleChallenge()
	m := wire.SignProof(id.Node, q, filled(4), sampleSlices(), filled(8), when)
	s, err := wire.VerifyProof(m, q, id.Node.Key(), filled(4))
	if err != nil || s.Tessera != filled(1) || s.Index != 7 || s.Whole != filled(8) || !s.Time.Equal(when) || !s.Holds() {
		t.Fatalf("%+v, %v", s, err)
	}
	kept := s
	kept.Slices[3] ^= 1
	if kept.Holds() {
		t.Error("evidence holds for other slices")
	}
	bad := changes(m)
	other := proto.Clone(m).(*wire.Proof)
	other.Slices[1] = []byte("yet another")
	bad["slices"] = other
	none := proto.Clone(m).(*wire.Proof)
	none.Whole = nil
	bad["no keyed hash"] = none
	for name, c := range bad {
		if _, err := wire.VerifyProof(c.(*wire.Proof), q, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	for name, c := range changes(q) {
		if _, err := wire.VerifyProof(m, c.(*wire.Challenge), id.Node.Key(), filled(4)); err == nil && name != "whole" {
			t.Errorf("it answers a challenge of another %s too", name)
		}
	}
	if _, err := wire.VerifyProof(m, q, id.Node.Key(), filled(5)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("for another verifier: %v", err)
	}
}

func TestCheckedSignature(t *testing.T) {
	id := fixed(t)
	q := sampleWatch()
	m := wire.SignChecked(id.Node, q, filled(4), sampleChecks(), when)
	heard, err := wire.VerifyChecked(m, q, id.Node.Key(), filled(4))
	if err != nil || !slices.Equal(heard, []wire.CheckHeard{{Age: -1}, {Age: time.Hour, Moving: true}}) {
		t.Fatalf("%v, %v", heard, err)
	}
	for name, c := range changes(m) {
		if _, err := wire.VerifyChecked(c.(*wire.Checked), q, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	other := sampleWatch()
	other.Tesseras[1][0] ^= 1
	if _, err := wire.VerifyChecked(m, other, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("about other tesseras: %v", err)
	}
	short := proto.Clone(m).(*wire.Checked)
	short.Times = short.Times[:8]
	if _, err := wire.VerifyChecked(short, q, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("about one of two: %v", err)
	}
	short = proto.Clone(m).(*wire.Checked)
	short.Moving = short.Moving[:1]
	if _, err := wire.VerifyChecked(short, q, id.Node.Key(), filled(4)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("moving one of two: %v", err)
	}
	still := wire.SignChecked(id.Node, q, filled(4), []wire.Check{{}, {}}, when)
	if heard, err := wire.VerifyChecked(still, q, id.Node.Key(), filled(4)); err != nil || len(still.GetMoving()) != 0 || heard[1] != (wire.CheckHeard{Age: -1}) {
		t.Errorf("nothing moves: %v, %v, %v", still.GetMoving(), heard, err)
	}
}
