package repair_test

import "github.com/tesseras/tesseras/host/internal/suite"

// The sizes of the suites of this package.
var (
	sizeDeleters = suite.Size{CI: 10_000, Nightly: 10_000_000} // challenges to holders that deleted a share (G17)
	sizeRepairs  = suite.Size{CI: 10_000, Nightly: 5_000_000}  // rebuilds from bad inputs (G14)
	sizeThrash   = suite.Size{CI: 2, Nightly: 5_000}           // networks thrown about (G15)
)
