package policytest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// Options say how thoroughly to ask; zero fields mean the default.
type Options struct {
	Seed  uint64 // of the random questions: 1
	Cases int    // questions for each property: 200
}

// Result is whether one property held.
type Result struct {
	Property string // a sentence that should hold
	Role     sdk.Role
	Guard    bool
	Cases    int    // questions asked for it
	Problem  string // what broke it, "" if it held
	// Request and Response are those of the first case that broke it; nil where there is none.
	Request, Response []byte
}

// The properties every policy has.
const (
	PropertyRules     = "answers keep the contract and the host's rules"
	PropertySame      = "the same question gives the same bytes"
	PropertyOrder     = "another order of the list gives the same choice"
	PropertyUnknown   = "unknown fields are ignored"
	PropertyMalformed = "what is no question gets a status, not a crash"
	PropertyLargest   = "the largest question is answered, or refused as INVALID"
)

// Properties asks a policy random questions of each role it plays, as guard and as decider if it is
// both, and reports whether each property held.
func Properties(s Subject, o Options) (out []Result) {
	if s.Check == nil {
		s.Check = Rules
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Cases <= 0 {
		o.Cases = 200
	}
	for _, role := range Roles(s.Description) {
		for _, guard := range []bool{true, false} {
			if plays := guard && s.Description.GetGuard() || !guard && s.Description.GetDecider(); plays {
				out = append(out, s.properties(role, guard, o)...)
			}
		}
	}
	return out
}

// Roles are those that a policy plays, by its description.
func Roles(d *sdk.Description) (roles []sdk.Role) {
	for _, r := range []struct {
		role  sdk.Role
		plays bool
	}{{sdk.RolePlacement, d.GetPlaces()}, {sdk.RoleReciprocity, d.GetAdmits()}, {sdk.RoleRepair, d.GetRepairs()}} {
		if r.plays {
			roles = append(roles, r.role)
		}
	}
	return roles
}

// inquiry is the examination of one role in one part.
type inquiry struct {
	Subject
	role  sdk.Role
	guard bool
	r     random
}

func (s Subject) properties(role sdk.Role, guard bool, o Options) (out []Result) {
	for _, p := range []struct {
		name  string
		holds func(*inquiry) *broken
		cases int
	}{
		{PropertyRules, (*inquiry).rules, o.Cases},
		{PropertySame, (*inquiry).same, o.Cases},
		{PropertyOrder, (*inquiry).order, o.Cases},
		{PropertyUnknown, (*inquiry).unknown, o.Cases / 10},
		{PropertyMalformed, (*inquiry).malformed, o.Cases},
		{PropertyLargest, (*inquiry).largest, 1},
	} {
		if p.name == PropertyOrder && role == sdk.RoleReciprocity {
			continue // it asks about one offer at a time
		}
		q := &inquiry{s, role, guard, newRandom(o.Seed)}
		result := Result{Property: p.name, Role: role, Guard: guard}
		for range p.cases {
			result.Cases++
			if b := p.holds(q); b != nil {
				result.Problem = fmt.Sprintf("%s (case %d of seed %d)", b.why, result.Cases, o.Seed)
				result.Request, result.Response = b.request, b.response
				break
			}
		}
		out = append(out, result)
	}
	return out
}

// broken is a case in which a property did not hold.
type broken struct {
	why               string
	request, response []byte
}

func (q *inquiry) encoded(m encodable) []byte {
	b, err := m.MarshalVT()
	if err != nil {
		panic(err) // a message of this package always can be
	}
	return b
}

// ask puts a well-formed question and holds the answer against the rules.
func (q *inquiry) ask(request []byte) ([]byte, *broken) {
	response, err := q.Ask(q.role, request)
	if err == nil {
		err = q.Check(q.role, q.guard, request, response)
	}
	if err != nil {
		return nil, &broken{err.Error(), request, response}
	}
	return response, nil
}

func (q *inquiry) rules() *broken {
	_, b := q.ask(q.encoded(q.r.request(q.role, q.guard)))
	return b
}

// same asks twice, something else in between, and another instance.
func (q *inquiry) same() *broken {
	request := q.encoded(q.r.request(q.role, q.guard))
	first, b := q.ask(request)
	if b != nil {
		return b
	}
	if _, b := q.ask(q.encoded(q.r.request(q.role, q.guard))); b != nil {
		return b
	}
	for _, ask := range []Asker{q.Ask, q.Again} {
		if ask == nil {
			continue
		}
		second, err := ask(q.role, request)
		if err != nil {
			return &broken{err.Error(), request, nil}
		}
		if !bytes.Equal(first, second) {
			return &broken{"asked again it answers with other bytes: something beside the request decides", request, second}
		}
	}
	return nil
}

func (q *inquiry) order() *broken {
	asked := q.r.request(q.role, q.guard)
	first, b := q.ask(q.encoded(asked))
	if b != nil {
		return b
	}
	before, err := choice(q.role, asked, first)
	if err != nil {
		return &broken{err.Error(), q.encoded(asked), first}
	}
	shuffle(q.r, asked)
	second, b := q.ask(q.encoded(asked))
	if b != nil {
		return b
	}
	after, err := choice(q.role, asked, second)
	if err != nil || !slices.Equal(before, after) {
		return &broken{"shuffled, another choice: " + difference(before, after), q.encoded(asked), second}
	}
	return nil
}

func shuffle(r random, asked encodable) {
	switch asked := asked.(type) {
	case *sdk.PlaceRequest:
		r.Shuffle(len(asked.Candidates), func(i, j int) {
			asked.Candidates[i], asked.Candidates[j] = asked.Candidates[j], asked.Candidates[i]
		})
	case *sdk.RepairRequest:
		r.Shuffle(len(asked.Tesseras), func(i, j int) {
			asked.Tesseras[i], asked.Tesseras[j] = asked.Tesseras[j], asked.Tesseras[i]
		})
	}
}

// difference names the first thing that is in one list only.
func difference(before, after []string) string {
	for _, line := range before {
		if !slices.Contains(after, line) {
			return "no longer " + line
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			return "now " + line
		}
	}
	return "the same in another order"
}

// unknown adds a field of a later version.
func (q *inquiry) unknown() *broken {
	asked := q.r.request(q.role, q.guard)
	request := q.encoded(asked)
	first, b := q.ask(request)
	if b != nil {
		return b
	}
	later := append(slices.Clone(request), 0xf8, 0x7c, 0x2a) // field 1999, varint 42
	second, b := q.ask(later)
	if b != nil {
		return b
	}
	before, err := choice(q.role, asked, first)
	after, err2 := choice(q.role, asked, second)
	if err := errors.Join(err, err2); err != nil {
		return &broken{err.Error(), later, second}
	}
	if !slices.Equal(before, after) {
		return &broken{"with a field of a later version, another choice: " + difference(before, after), later, second}
	}
	return nil
}

// malformed hands over what is no question: cut short, altered, or noise.
func (q *inquiry) malformed() *broken {
	request := q.encoded(q.r.request(q.role, q.guard))
	switch q.r.IntN(3) {
	case 0:
		request = request[:q.r.IntN(len(request)+1)]
	case 1:
		for range 1 + q.r.IntN(4) {
			if len(request) > 0 {
				request[q.r.IntN(len(request))] = byte(q.r.Uint32())
			}
		}
	default:
		request = make([]byte, q.r.IntN(200))
		_, _ = rand.NewChaCha8([32]byte{byte(q.r.Uint32()), byte(q.r.Uint32())}).Read(request) // it never fails
	}
	response, err := q.Ask(q.role, request)
	if err != nil {
		return &broken{"it fails instead of answering: " + err.Error(), request, nil}
	}
	if status, err := statusOf(q.role, response); err != nil || status < sdk.Status_OK || status > sdk.Status_INVALID {
		return &broken{fmt.Sprintf("status %d is none (%v)", int32(status), err), request, response}
	}
	return nil
}

func (q *inquiry) largest() *broken {
	var m encodable
	switch q.role {
	case sdk.RolePlacement:
		big := Place(170, sdk.MaxFragments-170, Peers(sdk.MaxCandidates, nil))
		big.Guarding = q.guard
		m = big
	case sdk.RoleReciprocity:
		m = q.r.admit(q.guard)
	default:
		big := Repair()
		for i := range sdk.MaxTesseras {
			big.Tesseras = append(big.Tesseras, Health(i, i%9, 8-i%9))
		}
		slices.SortFunc(big.Tesseras, compareMargins)
		big.Guarding = q.guard
		m = big
	}
	request := q.encoded(m)
	response, err := q.Ask(q.role, request)
	if err != nil {
		return &broken{err.Error(), nil, nil}
	}
	if status, err := statusOf(q.role, response); err == nil && status == sdk.Status_INVALID {
		return nil
	}
	if err := q.Check(q.role, q.guard, request, response); err != nil {
		return &broken{err.Error(), nil, nil}
	}
	return nil
}
