package repair

import (
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

func contactOf(n byte) identity.Contact { return identity.Contact{Key: sdk.NodeKey{n}} }
