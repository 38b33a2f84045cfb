package sweep

import "os"

// sizes of the suites of this package.
type sizes struct {
	race int // operations beside sweeps (G5)
	many int // objects of the measurement
}

func suiteSizes() sizes {
	if os.Getenv("TESSERAS_SIZES") == "nightly" {
		return sizes{race: 20_000_000, many: 1_000_000}
	}
	return sizes{race: 200_000, many: 5_000}
}
