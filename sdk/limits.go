package sdk

// Limits of one question and its answer. The host keeps them; a policy may answer INVALID beyond.
const (
	MaxCandidates = 1000    // peers in a PlaceRequest
	MaxFragments  = 256     // pieces in a PlaceRequest, copies of each, and fragments of a Holding
	MaxTesseras   = 4096    // tesseras in a RepairRequest: one page
	MaxRequest    = 4 << 20 // bytes
	MaxResponse   = 1 << 20 // bytes
)
