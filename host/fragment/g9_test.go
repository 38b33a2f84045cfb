package fragment

import (
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/bombard"
)

// TestStrangersPlans (G9).
func TestStrangersPlans(t *testing.T) {
	bombard.Run(t, bombard.Parser{
		Name:  "FuzzParsePlan",
		Seeds: [][]byte{testPlan(t).Bytes(), signedPlan(t, ParamsFor(1000), make([]digest.Hash, 1), "").Bytes()},
		Parse: func(in []byte) { ParsePlan(in) },
		Look:  func(in []byte) { OpenPlan(in) },
	})
}
