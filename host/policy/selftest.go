package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// ErrSelfTest tells that a policy did not give a valid answer to a question every policy can answer.
var ErrSelfTest = errors.New("self-test failed")

// selfTestTime bounds one question of a self-test. It is longer than the deadlines: a policy that was
// just loaded is cold.
const selfTestTime = 5 * time.Second

// Fits tells whether a policy that describes itself is made for a role and a part, nil if it is.
func Fits(role sdk.Role, part Part, p Policy) error {
	describer, ok := p.(Describer)
	if !ok {
		return nil
	}
	d := describer.Description()
	plays := map[sdk.Role]bool{sdk.RolePlacement: d.GetPlaces(), sdk.RoleReciprocity: d.GetAdmits(), sdk.RoleRepair: d.GetRepairs()}
	switch {
	case !plays[role]:
		return fmt.Errorf("%s policy %s: %w: by its description it answers no such questions", role, p.Name(), ErrSelfTest)
	case part == PartGuard && !d.GetGuard(), part != PartGuard && !d.GetDecider():
		return fmt.Errorf("%s policy %s: %w: by its description it is no %s", role, p.Name(), ErrSelfTest, part)
	}
	return nil
}

// SelfTest tells whether a policy fits its place, asks it a plain question and checks the answer as the
// engine would; passing and deferring are valid. Errors: ErrSelfTest with what was wrong, or that of
// ctx.
func SelfTest(ctx context.Context, role sdk.Role, part Part, p Policy) error {
	if err := Fits(role, part, p); err != nil {
		return err
	}
	request, err := golden(role, part)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeoutCause(ctx, selfTestTime, fmt.Errorf("no answer within %v", selfTestTime))
	defer cancel()
	response, err := p.Ask(asking, role, request)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case asking.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		err = context.Cause(asking)
	case err == nil:
		_, err = Check(role, part, request, response)
	}
	if err != nil {
		return fmt.Errorf("%s policy %s (%s): %w: %w", role, p.Name(), part, ErrSelfTest, err)
	}
	return nil
}

// golden is the question of the self-test: an everyday one, the same in every version.
func golden(role sdk.Role, part Part) ([]byte, error) {
	guarding := part == PartGuard
	switch role {
	case sdk.RolePlacement:
		return encode(goldenPlacement(guarding))
	case sdk.RoleReciprocity:
		return encode(&sdk.AdmitRequest{
			Tessera: goldenID(1), Sender: goldenID(2), Owner: goldenID(3), SizeBytes: 1 << 20, Purpose: sdk.Purpose_PUBLISH,
			DeficitAllowance: 256 << 20, PeerLimit: 1 << 30, NewcomerBudget: 1 << 30, CustodyBudget: 1 << 30,
			FreeBytes: 8 << 30, MinFreeBytes: 1 << 30, FragmentsTotal: 24, PeersKnown: 12, Seed: 1, Guarding: guarding,
		})
	case sdk.RoleRepair:
		return encode(&sdk.RepairRequest{
			Tesseras: []*sdk.TesseraHealth{
				{Tessera: goldenID(1), Tier: sdk.FragmentationTier_MEDIUM, SurvivesPeers: 1, Missing: 6, Recoverable: true, CostBytes: 1 << 24},
				{Tessera: goldenID(2), Tier: sdk.FragmentationTier_MEDIUM, SurvivesPeers: 8, Recoverable: true},
			},
			Weather: &sdk.Weather{PeersAsked: 12, PeersSilent: 1}, IntervalMs: 86_400_000, Seed: 1, Guarding: guarding,
		})
	}
	return nil, fmt.Errorf("%w: %w: %q", ErrSelfTest, sdk.ErrRole, role)
}

func goldenPlacement(guarding bool) *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{
		Tessera: goldenID(1), Tier: sdk.FragmentationTier_MEDIUM, DataShards: 16, ParityShards: 8, Intent: sdk.Intent_NEW,
		Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM}, Seed: 1, Guarding: guarding,
	}
	for i := range 24 {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 1 << 20, Copies: 1})
	}
	for i := range byte(12) {
		r.Candidates = append(r.Candidates, &sdk.Candidate{
			Id: goldenID(i + 10), Subnet: []byte{10, 0, i}, FreeBytes: 8 << 30, ProofSuccessPpm: sdk.PPM, ProofsAsked: 9,
			UptimePpm: 990_000, RoundTripMs: 20, AgeS: 1 << 20,
		})
	}
	return r
}

// goldenID is an id that is easy to recognise; a higher n sorts later.
func goldenID(n byte) []byte {
	id := make([]byte, sdk.IDSize)
	for i := range id {
		id[i] = n
	}
	return id
}
