package sdk

import "errors"

// ErrRole tells that a policy was asked a question of a role it does not play.
var ErrRole = errors.New("the policy does not play this role")

// Answer decodes a question, asks the policy and encodes its answer: the one way from bytes to bytes,
// whether the policy is linked natively, run as WASM or run as a process. Bytes that are no request
// get the answer INVALID. The request is only read; the response belongs to the caller.
func Answer(role Role, policy any, request []byte) ([]byte, error) {
	switch role {
	case RolePlacement:
		if p, plays := policy.(Placement); plays {
			return answerPlace(p, request).MarshalVT()
		}
	case RoleReciprocity:
		if p, plays := policy.(Reciprocity); plays {
			return answerAdmit(p, request).MarshalVT()
		}
	case RoleRepair:
		if p, plays := policy.(Repair); plays {
			return answerRepair(p, request).MarshalVT()
		}
	}
	return nil, ErrRole
}

func answerPlace(p Placement, request []byte) *PlaceResponse {
	var r PlaceRequest
	if err := r.UnmarshalVT(request); err != nil {
		return &PlaceResponse{Status: Status_INVALID, Reason: "no PlaceRequest: " + err.Error()}
	}
	return p.Place(&r)
}

func answerAdmit(p Reciprocity, request []byte) *AdmitResponse {
	var r AdmitRequest
	if err := r.UnmarshalVT(request); err != nil {
		return &AdmitResponse{Status: Status_INVALID, Reason: "no AdmitRequest: " + err.Error()}
	}
	return p.Admit(&r)
}

func answerRepair(p Repair, request []byte) *RepairResponse {
	var r RepairRequest
	if err := r.UnmarshalVT(request); err != nil {
		return &RepairResponse{Status: Status_INVALID, Reason: "no RepairRequest: " + err.Error()}
	}
	return p.Repair(&r)
}
