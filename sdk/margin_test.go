package sdk

import "testing"

func TestCritical(t *testing.T) {
	for _, tt := range []struct {
		h        *TesseraHealth
		critical bool
	}{
		{nil, false},
		{&TesseraHealth{SurvivesPeers: 1, Missing: 1, Recoverable: true}, true},
		{&TesseraHealth{SurvivesPeers: 2, Missing: 1, Recoverable: true}, false},
		{&TesseraHealth{SurvivesPeers: 1, Missing: 0, Recoverable: true}, false},
		{&TesseraHealth{SurvivesPeers: 0, Missing: 9}, false},
		{&TesseraHealth{SurvivesPeers: 1, Missing: 1, Recoverable: true, ExpectedPeers: 1}, true},
		{&TesseraHealth{SurvivesPeers: 1, Missing: 2, Recoverable: true, ExpectedPeers: 2}, false},
		{&TesseraHealth{SurvivesPeers: 0, Missing: 8, Recoverable: true, ExpectedPeers: 3}, true},
		{&TesseraHealth{SurvivesPeers: 0, Missing: 8, Recoverable: true, ExpectedPeers: 4}, false},
	} {
		if got := Critical(tt.h); got != tt.critical {
			t.Errorf("%+v: critical %v", tt.h, got)
		}
	}
	const hour = 3_600_000
	for interval, want := range map[uint64][2]uint64{0: {0, 0}, 2000: {1000, 8000}, 24 * hour: {12 * hour, 96 * hour}, ^uint64(0): {24 * hour, 192 * hour}} {
		if s, l := ShortestGraceMs(interval), LongestGraceMs(interval); s != want[0] || l != want[1] {
			t.Errorf("interval %d: grace of %d to %d", interval, s, l)
		}
	}
}
