// Package reciprocity answers: does this node take a fragment that is offered to it?
//
// Its policy, FairShare, keeps a book with every owner: who stores how much for whom. It lends a
// little to everyone, more to those who give back, and never lets the end of an owner be the end of
// the owner's memories.
package reciprocity

import (
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// Name is what configurations and logs call the policy.
const Name = "fair-share"

// Version changes whenever the same request may get another answer.
const Version = "1"

// FairShare is the default reciprocity policy. It has no settings of its own and keeps no state.
type FairShare struct{}

var (
	_ sdk.Reciprocity = FairShare{}
	_ sdk.Describer   = FairShare{}
)

// Describe implements sdk.Describer.
func (FairShare) Describe() *sdk.Description {
	return &sdk.Description{Name: Name, Version: Version, Admits: true, Decider: true}
}

// Admit implements sdk.Reciprocity.
func (FairShare) Admit(r *sdk.AdmitRequest) *sdk.AdmitResponse {
	if wrong := malformed(r); wrong != "" {
		return &sdk.AdmitResponse{Status: sdk.Status_INVALID, Reason: wrong}
	}
	owed, custody := tooDear(r), false
	if r.GetPurpose() == sdk.Purpose_CUSTODY && r.GetSenderProved() {
		if why := tooManyShards(r); why != "" {
			return refuse(why)
		}
		custody = owed != ""
		if custody {
			owed = beyondCustody(r)
		}
	}
	for _, why := range []string{owed, beyondLimit(r), beyondSpace(r)} {
		if why != "" {
			return refuse(why)
		}
	}
	return &sdk.AdmitResponse{
		Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT, Reason: welcome(r, custody), Custody: custody,
	}
}

func refuse(why string) *sdk.AdmitResponse {
	return &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: why}
}

// malformed tells what is wrong with a request, "" if nothing is.
func malformed(r *sdk.AdmitRequest) string {
	switch {
	case len(r.GetTessera()) != sdk.IDSize:
		return "the tessera's id is not 32 bytes"
	case len(r.GetSender()) != sdk.IDSize:
		return "the sender's id is not 32 bytes"
	case len(r.GetOwner()) != sdk.IDSize:
		return "the owner's key is not 32 bytes"
	case r.GetPurpose() != sdk.Purpose_PUBLISH && r.GetPurpose() != sdk.Purpose_CUSTODY:
		return "the purpose of the push is not said"
	}
	return ""
}

// tooDear tells why the owner's book with us forbids the fragment, "" if it does not. Institutions
// owe nothing.
func tooDear(r *sdk.AdmitRequest) string {
	if r.GetInstitutional() {
		return ""
	}
	if debt := sub(add(r.GetStoredForThem(), r.GetSizeBytes()), r.GetTheyStoreForUs()); debt > r.GetDeficitAllowance() {
		return "owner " + sdk.ShortID(r.GetOwner()) + ".. would owe us " + sdk.SizeText(debt) +
			", the allowance is " + sdk.SizeText(r.GetDeficitAllowance())
	}
	granted := add(r.GetNewcomerGranted(), r.GetSizeBytes())
	if r.GetTheyStoreForUs() == 0 && granted > r.GetNewcomerBudget() {
		return "owner " + sdk.ShortID(r.GetOwner()) + ".. never held anything for us, and such owners would have " +
			sdk.SizeText(granted) + " here of the " + sdk.SizeText(r.GetNewcomerBudget()) + " set aside for them"
	}
	return ""
}

// beyondCustody tells why a repair push cannot be taken on the custody budget either.
func beyondCustody(r *sdk.AdmitRequest) string {
	used := add(r.GetCustodyUsed(), r.GetSizeBytes())
	if used <= r.GetCustodyBudget() {
		return ""
	}
	return "repairs for owners in debt would take " + sdk.SizeText(used) + " of the " +
		sdk.SizeText(r.GetCustodyBudget()) + " set aside for them"
}

// tooManyShards keeps a repairer from heaping a tessera on one holder: at most one fragment more than
// an even spread over the known peers.
func tooManyShards(r *sdk.AdmitRequest) string {
	peers := max(1, uint64(r.GetPeersKnown()))
	most := (uint64(r.GetFragmentsTotal())+peers-1)/peers + 1
	if uint64(r.GetFragmentsHere()) < most {
		return ""
	}
	return "this node holds " + strconv.Itoa(int(r.GetFragmentsHere())) + " of the " +
		strconv.Itoa(int(r.GetFragmentsTotal())) + " fragments already, a repair may leave " +
		strconv.FormatUint(most, 10) + " on one peer"
}

func beyondLimit(r *sdk.AdmitRequest) string {
	stored := add(r.GetStoredForThem(), r.GetSizeBytes())
	if r.GetPeerLimit() == 0 || stored <= r.GetPeerLimit() {
		return ""
	}
	return "owner " + sdk.ShortID(r.GetOwner()) + ".. would have " + sdk.SizeText(stored) +
		" here, the limit for one owner is " + sdk.SizeText(r.GetPeerLimit())
}

func beyondSpace(r *sdk.AdmitRequest) string {
	if free := r.GetFreeBytes(); free >= r.GetSizeBytes() && free-r.GetSizeBytes() >= r.GetMinFreeBytes() {
		return ""
	}
	return "no room: " + sdk.SizeText(r.GetSizeBytes()) + " offered, " + sdk.SizeText(r.GetFreeBytes()) +
		" free, of which " + sdk.SizeText(r.GetMinFreeBytes()) + " stay free"
}

func welcome(r *sdk.AdmitRequest, custody bool) string {
	switch {
	case custody:
		return "owner " + sdk.ShortID(r.GetOwner()) + ".. is in debt, but the sender holds this tessera: taken on the custody budget"
	case r.GetInstitutional():
		return "an institution owes nothing"
	case r.GetTheyStoreForUs() == 0:
		return "within what owners that never held anything for us may have"
	}
	return "within the allowance"
}

// add stops at the largest number: sizes come from strangers.
func add(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// sub stops at zero.
func sub(a, b uint64) uint64 { return a - min(a, b) }
