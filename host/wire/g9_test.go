package wire_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/internal/bombard"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/wire"
)

func TestMain(m *testing.M) {
	suite.CollectLess()
	os.Exit(m.Run())
}

// TestStrangersMessages (G9): every message, and whole streams, with header and all.
func TestStrangersMessages(t *testing.T) {
	bodies := map[wire.Kind][][]byte{}
	var streams [][]byte
	for _, m := range samples(t) {
		k, body := wire.KindOf(m), encode(t, m)
		bodies[k] = append(bodies[k], body)
		frame, err := wire.AppendFrame(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, frame)
	}
	for k := wire.Kind(0); k < 255; k++ {
		if !k.Known() {
			continue
		}
		if len(bodies[k]) == 0 {
			t.Errorf("no sample of %s", k)
			continue
		}
		t.Run(k.String(), func(t *testing.T) {
			bombard.Run(t, bombard.Parser{
				Name: "Fuzz" + strings.ReplaceAll(k.String(), " ", ""), Seeds: bodies[k],
				Parse: func(in []byte) { wire.Decode(k, in) },
				Look:  func(in []byte) { tryBody(t, k, in) },
			})
		})
	}
	t.Run("frames", func(t *testing.T) {
		bombard.Run(t, bombard.Parser{Name: "FuzzFrame", Seeds: streams, Parse: func(in []byte) {
			r := bytes.NewReader(in)
			for {
				if _, err := wire.ReadFrame(r); err != nil {
					return
				}
			}
		}})
	})
}

// TestStrangersStatements (G9): answers that are decoded, read and verified, as who asked does.
func TestStrangersStatements(t *testing.T) {
	id := fixed(t)
	for name, p := range map[string]struct {
		seed   wire.Message
		verify func(wire.Message)
	}{
		"FuzzAttestationStatement": {
			wire.SignAttestation(id.Node, sampleRequest(), sampleAttestation()),
			func(m wire.Message) {
				wire.VerifyAttestation(m.(*wire.AttestResponse), sampleRequest(), id.Node.Key(), filled(4))
			},
		},
		"FuzzProofStatement": {
			wire.SignProof(id.Node, sampleChallenge(), filled(4), sampleSlices(), filled(8), when),
			func(m wire.Message) {
				wire.VerifyProof(m.(*wire.Proof), sampleChallenge(), id.Node.Key(), filled(4))
			},
		},
		"FuzzCheckedStatement": {
			wire.SignChecked(id.Node, sampleWatch(), filled(4), sampleChecks(), when),
			func(m wire.Message) {
				wire.VerifyChecked(m.(*wire.Checked), sampleWatch(), id.Node.Key(), filled(4))
			},
		},
		"FuzzReceiptStatement": {
			wire.SignReceipt(id.Node, sampleReceipt(id)),
			func(m wire.Message) { wire.VerifyReceipt(m.(*wire.ReplicateAck)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			kind := wire.KindOf(p.seed)
			bombard.Run(t, bombard.Parser{Name: name, Seeds: [][]byte{encode(t, p.seed)}, Parse: func(in []byte) {
				if m, err := wire.Decode(kind, in); err == nil {
					p.verify(m)
				}
			}})
		})
	}
}

// TestStrangersHoldings (G9): what a holder says it has, without the message around it.
func TestStrangersHoldings(t *testing.T) {
	id := fixed(t)
	m := wire.SignAttestation(id.Node, sampleRequest(), sampleAttestation())
	full := sampleAttestation()
	for i := range 100 {
		full.Held = append(full.Held, wire.Holding{Tessera: filled(byte(10 + i)), Fragments: full.Held[0].Fragments})
	}
	seeds := [][]byte{m.GetHoldings(), full.Message().GetHoldings()}
	bombard.Run(t, bombard.Parser{Name: "FuzzHoldings", Seeds: seeds, Parse: func(in []byte) {
		m.Holdings = in
		wire.VerifyAttestation(m, sampleRequest(), id.Node.Key(), filled(4))
	}})
}
