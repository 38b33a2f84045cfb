package peer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestWhatIsHeldIsSignedForThisQuestion(t *testing.T) {
	p, c := newParcel(t), newPair(t)
	held := []wire.Holding{{Tessera: p.plan.Tessera, Fragments: []wire.HeldFragment{
		{Index: 0, Checksum: p.plan.Fragments[0]},
		{Index: 1, Checksum: digest.Of([]byte("other bytes"))}, // not the plan's
		{Index: 2, Checksum: p.plan.Fragments[2]},
		{Index: 7, Checksum: p.plan.Fragments[2]}, // beyond the plan
	}}}
	var asked *wire.AttestRequest
	var first *wire.AttestResponse
	verifier, covered := c.self.id.Node.Key(), 1
	answer := func() *wire.AttestResponse {
		return wire.SignAttestation(c.other.id.Node, asked, wire.Attestation{Verifier: verifier, Time: time.Now(), Covered: covered, Held: held})
	}
	respond := answer
	c.answers(wire.KindAttestRequest, func(s *quicnet.Stream, m wire.Message) error {
		asked = m.(*wire.AttestRequest)
		return s.Send(respond())
	})
	attest := func() (sdk.OwnerKey, []wire.Holding, int, error) {
		return c.Attest(t.Context(), c.to, []sdk.TesseraID{p.plan.Tessera})
	}

	owner, all, n, err := attest()
	if err != nil || owner != c.other.id.Owner.Key() || n != 1 || len(all) != 1 || len(all[0].Fragments) != 4 {
		t.Fatalf("attested %v, %d covered, %v", all, n, err)
	}
	indices, err := c.Held(t.Context(), c.to, p.plan)
	if err != nil || !slices.Equal(indices, []int{0, 2}) {
		t.Errorf("holds %v, %v; only what has the plan's checksum counts", indices, err)
	}

	c.with(func() { first = answer() })
	for name, tt := range map[string]struct {
		respond func() *wire.AttestResponse
	}{
		"an answer of before": {func() *wire.AttestResponse { return first }},
		"to somebody else":    {func() *wire.AttestResponse { verifier = c.other.id.Node.Key(); return answer() }},
		"by somebody else": {func() *wire.AttestResponse {
			return wire.SignAttestation(c.self.id.Node, asked, wire.Attestation{Verifier: verifier, Time: time.Now(), Covered: 1, Held: held})
		}},
		"changed on the way":   {func() *wire.AttestResponse { a := answer(); a.Holdings[len(a.Holdings)-1] ^= 1; return a }},
		"about more than that": {func() *wire.AttestResponse { covered = 2; return answer() }},
	} {
		c.with(func() { verifier, covered, respond = c.self.id.Node.Key(), 1, tt.respond })
		if _, _, _, err := attest(); err == nil {
			t.Errorf("%s: taken for an attestation", name)
		}
	}

	// fewer than were asked about is an answer too
	c.with(func() { verifier, covered, respond, held = c.self.id.Node.Key(), 0, answer, nil })
	if _, _, n, err := attest(); err != nil || n != 0 {
		t.Errorf("covered %d, %v", n, err)
	}
	if err := c.other.net.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := attest(); !errors.Is(err, quicnet.ErrUnreachable) && !errors.Is(err, quicnet.ErrGone) {
		t.Errorf("a peer that is gone: %v", err)
	}
}
