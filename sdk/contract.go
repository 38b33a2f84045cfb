package sdk

// Role names one of the three policies of a node. It is the key of its table in the configuration,
// the name in the log and the label in the metrics.
type Role string

// The roles a policy can play.
const (
	RolePlacement   Role = "placement"
	RoleReciprocity Role = "reciprocity"
	RoleRepair      Role = "repair"
)

// Placement decides which peers hold which fragments.
//
// Place is a pure function of its request: no clock, no randomness but the request's seed, no state
// that outlives the call, no floats, no order taken from a map. The same request gives the same
// bytes, and the same candidates in another order give the same peers. It never panics: what it
// cannot understand it answers with INVALID. It keeps nothing of the request and changes nothing in
// it; the answer belongs to the caller.
type Placement interface {
	Place(*PlaceRequest) *PlaceResponse
}

// Reciprocity decides whether this node takes a fragment that is offered to it. Admit keeps the
// promises of Placement.Place.
type Reciprocity interface {
	Admit(*AdmitRequest) *AdmitResponse
}

// Repair decides which tesseras are repaired, in which order, and when. Repair keeps the promises
// of Placement.Place.
type Repair interface {
	Repair(*RepairRequest) *RepairResponse
}

// Describer is a policy that can say what it is. Every policy that is loaded from a file must.
type Describer interface {
	Describe() *Description
}

// Configurer is a policy with settings. Configure is called once, before the first question; an
// answer other than OK means the policy is not used.
type Configurer interface {
	Configure(*ConfigureRequest) *ConfigureResponse
}
