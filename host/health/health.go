// Package health answers: what can this tessera still lose?
//
// Safety is counted in peers, subnets and operators that may vanish at once, never in shards: two
// shards on one disk die together.
package health

import (
	"cmp"
	"slices"
)

// Status is the state of a tessera in the network.
type Status string

// The states a tessera can be in.
const (
	Healthy          Status = "healthy"           // every fragment at a holder, on enough distinct peers
	NeedsReplication Status = "needs_replication" // fragments or peers are missing, and can be made good
	CorruptLocal     Status = "corrupt_local"     // this node's own copy or fragment is damaged
	Unrecoverable    Status = "unrecoverable"     // fewer fragments are held than a rebuild needs
)

// Shape is what a plan says about a tessera's fragments.
type Shape struct {
	Data   int // fragments that suffice to rebuild
	Total  int // fragments in the plan
	Copies int // holders wanted for each fragment; above 1 only for whole copies
}

// Holder is a peer that holds fragments, as far as this node may count on it.
type Holder struct {
	Peer     string // key
	Subnet   string
	Operator string // "" where unknown: then the peer counts as its own operator
	Held     []int  // indices acknowledged or proven within the proof period, each once
	Proven   []int  // those of them proven within it
}

// Survives is how many of each kind may vanish at once, whichever they are.
type Survives struct {
	Peers     int `json:"peers"`
	Subnets   int `json:"subnets"`
	Operators int `json:"operators"`
}

// Report is the health of one tessera.
type Report struct {
	Status   Status
	Deficit  int // fragments (copies) without a holder
	Total    int // fragments (copies) wanted
	Held     int // fragments (copies) with a holder
	Proven   int
	Peers    int // distinct holders
	Survives Survives
	Missing  []Missing
	crowded  []Missing // see Wanting
	short    int       // distinct holders that are wanted still
}

// Missing is a fragment that lacks holders.
type Missing struct {
	Index  int
	Copies int // holders it still needs
}

// Indexes are those of the fragments that are missing; never nil.
func Indexes(missing []Missing) []int {
	out := make([]int, len(missing))
	for i, m := range missing {
		out[i] = m.Index
	}
	return out
}

// Assess judges a tessera by its holders; replicas is the least number of distinct peers wanted.
func Assess(shape Shape, holders []Holder, replicas int) Report {
	r := Report{Total: shape.Total * shape.Copies}
	held, proven := make([]int, shape.Total), make([]int, shape.Total)
	for _, h := range holders {
		if len(h.Held) > 0 {
			r.Peers++
		}
		tally(held, h.Held)
		tally(proven, h.Proven)
	}
	for i, n := range held {
		r.Held += min(n, shape.Copies)
		r.Proven += min(proven[i], shape.Copies)
		if n < shape.Copies {
			r.Missing = append(r.Missing, Missing{Index: i, Copies: shape.Copies - n})
		}
	}
	r.Deficit = r.Total - r.Held
	r.Survives = Survives{
		Peers:     worstCase(shape, holders, func(h Holder) string { return h.Peer }),
		Subnets:   worstCase(shape, holders, func(h Holder) string { return h.Subnet }),
		Operators: worstCase(shape, holders, func(h Holder) string { return cmp.Or(h.Operator, h.Peer) }),
	}
	switch {
	case distinct(held) < shape.Data:
		r.Status = Unrecoverable
	case r.Deficit > 0 || r.Peers < replicas:
		r.Status = NeedsReplication
		r.short = max(replicas-r.Peers, 0)
		r.crowded = crowded(shape, holders, replicas, r.short)
	default:
		r.Status = Healthy
	}
	return r
}

func tally(counts, indices []int) {
	for _, i := range indices {
		if i >= 0 && i < len(counts) {
			counts[i]++
		}
	}
}

func distinct(held []int) (n int) {
	for _, c := range held {
		if c > 0 {
			n++
		}
	}
	return n
}

// worstCase is the largest t such that, whichever t domains vanish, enough fragments remain.
//
// A fragment held in several domains counts in only one of them, the least loaded: the true answer
// is a hitting-set problem, and counting this way can only understate it. With Data == 1 any single
// copy is enough, so there every domain counts by itself and the answer is exact.
func worstCase(shape Shape, holders []Holder, domainOf func(Holder) string) int {
	where := make([][]string, shape.Total)
	load := map[string]int{}
	for _, h := range holders {
		d := domainOf(h)
		for _, i := range h.Held {
			if i >= 0 && i < shape.Total && !slices.Contains(where[i], d) {
				where[i] = append(where[i], d)
				load[d] = 0
			}
		}
	}
	if shape.Data == 1 {
		return max(len(load)-1, 0)
	}
	slices.SortStableFunc(where, func(a, b []string) int { return cmp.Compare(len(a), len(b)) })
	remaining := 0
	for _, domains := range where {
		if len(domains) == 0 {
			continue
		}
		load[slices.MinFunc(domains, func(a, b string) int {
			return cmp.Or(cmp.Compare(load[a], load[b]), cmp.Compare(a, b))
		})]++
		remaining++
	}
	loads := make([]int, 0, len(load))
	for _, n := range load {
		loads = append(loads, n)
	}
	slices.Sort(loads)
	lost := 0
	for _, n := range slices.Backward(loads) {
		if n == 0 || remaining-n < shape.Data {
			break
		}
		remaining -= n
		lost++
	}
	return lost
}
