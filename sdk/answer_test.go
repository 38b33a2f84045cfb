package sdk

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// echo answers every question with what it understood of it.
type echo struct{}

func (echo) Place(r *PlaceRequest) *PlaceResponse {
	return &PlaceResponse{Status: Status_OK, Reason: ShortID(r.Tessera)}
}

func (echo) Admit(r *AdmitRequest) *AdmitResponse {
	return &AdmitResponse{Status: Status_OK, Reason: ShortID(r.Owner)}
}

func (echo) Repair(r *RepairRequest) *RepairResponse {
	return &RepairResponse{Status: Status_PASS, Reason: DurationText(r.IntervalMs)}
}

var (
	_ Placement   = echo{}
	_ Reciprocity = echo{}
	_ Repair      = echo{}
)

type message interface{ MarshalVT() ([]byte, error) }

func encoded(t *testing.T, m message) []byte {
	t.Helper()
	b, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswer(t *testing.T) {
	for role, tt := range map[Role]struct{ question, answer message }{
		RolePlacement:   {&PlaceRequest{Tessera: []byte{0xab}}, &PlaceResponse{Status: Status_OK, Reason: "ab"}},
		RoleReciprocity: {&AdmitRequest{Owner: []byte{0xcd}}, &AdmitResponse{Status: Status_OK, Reason: "cd"}},
		RoleRepair:      {&RepairRequest{IntervalMs: 2000}, &RepairResponse{Status: Status_PASS, Reason: "2 s"}},
	} {
		got, err := Answer(role, echo{}, encoded(t, tt.question))
		if err != nil || !bytes.Equal(got, encoded(t, tt.answer)) {
			t.Errorf("%s: %q, %v", role, got, err)
		}
		if _, err := Answer(role, struct{}{}, nil); !errors.Is(err, ErrRole) {
			t.Errorf("%s, not played: %v", role, err)
		}
		if _, err := Answer(role, nil, nil); !errors.Is(err, ErrRole) {
			t.Errorf("%s, no policy: %v", role, err)
		}
	}
	if _, err := Answer("cooking", echo{}, nil); !errors.Is(err, ErrRole) {
		t.Errorf("another role: %v", err)
	}
}

func TestAnswerToBytesThatAreNoRequest(t *testing.T) {
	for _, role := range []Role{RolePlacement, RoleReciprocity, RoleRepair} {
		b, err := Answer(role, echo{}, []byte{0xff})
		if err != nil {
			t.Fatal(err)
		}
		var got PlaceResponse // status and reason have the same numbers in every answer that has no verdict
		if role == RoleReciprocity {
			var admit AdmitResponse
			if err := admit.UnmarshalVT(b); err != nil || admit.Status != Status_INVALID || !strings.HasPrefix(admit.Reason, "no AdmitRequest") {
				t.Errorf("%v, %v", &admit, err)
			}
			continue
		}
		if err := got.UnmarshalVT(b); err != nil || got.Status != Status_INVALID || !strings.HasPrefix(got.Reason, "no ") {
			t.Errorf("%s: %v, %v", role, &got, err)
		}
	}
}

// TestLabelsAreInTheirOrder: what a map could not promise.
func TestLabelsAreInTheirOrder(t *testing.T) {
	c := &Candidate{Labels: []*Label{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}}}
	want := []byte{0x2a, 6, 0x0a, 1, 'z', 0x12, 1, '1', 0x2a, 6, 0x0a, 1, 'a', 0x12, 1, '2'}
	if got := encoded(t, c); !bytes.Equal(got, want) {
		t.Errorf("encoded as %x", got)
	}
	var back Candidate
	if err := back.UnmarshalVT(want); err != nil || len(back.Labels) != 2 || back.Labels[0].Key != "z" {
		t.Errorf("%v, %v", &back, err)
	}
}
