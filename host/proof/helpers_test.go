package proof_test

import (
	"testing"

	"github.com/tesseras/tesseras/host/identity"
)

func newNode(t testing.TB) *identity.Node {
	t.Helper()
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	return id.Node
}
