package fragment

import (
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Owner is the key that the embedded head names, the zero key where there is no head to read. Only
// in a plan that passed Verify is it known to be the signer.
func (p *FragmentPlan) Owner() sdk.OwnerKey {
	head, err := tessera.ParseHead(p.HeadBytes)
	if err != nil {
		return sdk.OwnerKey{}
	}
	return head.Owner
}
