package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/internal/bombard"
	"github.com/tesseras/tesseras/host/wire"
)

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
