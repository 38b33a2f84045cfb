package sdk

// The least and the most that any silent holder is waited for, as parts of the interval between rounds.
const (
	graceDay     = 24 * 60 * 60 * 1000 // ms
	graceLongest = 8                   // times the shortest
)

// ShortestGraceMs is how long a silent holder is waited for of whom nothing is known: half an interval,
// a day at most. All times are in milliseconds.
func ShortestGraceMs(interval uint64) uint64 { return min(interval/2, graceDay) }

// LongestGraceMs is how long a silent holder is waited for whatever is known of it: four intervals, eight
// days at most. Beyond it the host counts what it had as lost, and no more as suspect.
func LongestGraceMs(interval uint64) uint64 { return graceLongest * ShortestGraceMs(interval) }
