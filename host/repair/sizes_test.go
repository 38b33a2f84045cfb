package repair_test

import "github.com/tesseras/tesseras/host/internal/suite"

// The sizes of the suites of this package.
var (
	sizeDeleters = suite.Deleters // challenges to holders that deleted a share (G17)
	sizeRepairs  = suite.Repairs  // rebuilds from bad inputs (G14)
	sizeFlaps    = suite.Flaps    // networks that flap for a month
	sizeThrash   = suite.Thrash   // networks thrown about (G15)
	sizeTogether = suite.Together // pairs of holders that repair at once (H5)
)
