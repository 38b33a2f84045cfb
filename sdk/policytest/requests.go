package policytest

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// ID is the n-th id of a kind, such as "peer" or "tessera". Ids look random, as real ones do.
func ID(kind string, n int) []byte {
	seed := [32]byte{}
	copy(seed[:24], kind)
	seed[24], seed[25], seed[26], seed[27] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	id := make([]byte, sdk.IDSize)
	_, _ = rand.NewChaCha8(seed).Read(id) // it never fails
	return id
}

// Peers makes n good peers, each in a network of its own; change may make each of them something else.
func Peers(n int, change func(i int, c *sdk.Candidate)) []*sdk.Candidate {
	out := make([]*sdk.Candidate, n)
	for i := range out {
		out[i] = &sdk.Candidate{
			Id: ID("peer", i), Subnet: []byte{10, byte(i >> 8), byte(i)}, FreeBytes: 1 << 40, ProofSuccessPpm: sdk.PPM,
			ProofsAsked: 20, UptimePpm: 990_000, RoundTripMs: 30, AgeS: 90 * 86_400,
		}
		if change != nil {
			change(i, out[i])
		}
	}
	return out
}

// Place asks for holders of all the fragments of a new tessera, 1 MiB each, under the caps a node has by
// default. Candidates are sorted as the host sorts them.
func Place(data, parity int, peers []*sdk.Candidate) *sdk.PlaceRequest {
	r := &sdk.PlaceRequest{
		Tessera: ID("tessera", 0), Tier: sdk.FragmentationTier_MEDIUM, DataShards: uint32(data), ParityShards: uint32(parity),
		Intent: sdk.Intent_NEW, Candidates: slices.Clone(peers), NowUnixMs: Noon, Seed: 1,
		Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2, InstitutionalPpm: sdk.InstitutionalPPM},
	}
	for i := range data + parity {
		r.Pieces = append(r.Pieces, &sdk.Piece{Index: uint32(i), SizeBytes: 1 << 20, Copies: 1})
	}
	slices.SortFunc(r.Candidates, func(a, b *sdk.Candidate) int { return bytes.Compare(a.Id, b.Id) })
	return r
}

// Noon is the time of the requests made here: 2030-05-01, 12:00 UTC, in milliseconds.
const Noon int64 = 1_903_867_200_000

// Admit offers a fragment of 1 MiB of an owner whom nobody owes anything, to a node with room.
func Admit() *sdk.AdmitRequest {
	return &sdk.AdmitRequest{
		Tessera: ID("tessera", 0), Sender: ID("peer", 0), Owner: ID("owner", 0), SizeBytes: 1 << 20, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 256 << 20, PeerLimit: 1 << 30, NewcomerBudget: 1 << 30, CustodyBudget: 1 << 30,
		FreeBytes: 8 << 30, MinFreeBytes: 1 << 30, FragmentsTotal: 24, PeersKnown: 12, NowUnixMs: Noon, Seed: 1,
	}
}

// Repair asks about some tesseras in good weather, a round a day.
func Repair(tesseras ...*sdk.TesseraHealth) *sdk.RepairRequest {
	return &sdk.RepairRequest{
		Tesseras: tesseras, Weather: &sdk.Weather{PeersAsked: 24}, IntervalMs: 86_400_000, NowUnixMs: Noon, Seed: 1,
		DeficitAllowance: 256 << 20,
	}
}

// Health is the n-th tessera of 16+8 fragments, of which some are missing: it survives any so many more
// peers.
func Health(n, missing, survives int) *sdk.TesseraHealth {
	return &sdk.TesseraHealth{
		Tessera: ID("tessera", n), Tier: sdk.FragmentationTier_MEDIUM, SurvivesPeers: uint32(survives),
		SurvivesSubnets: uint32(survives), SurvivesOperators: uint32(survives), Missing: uint32(missing), Own: true,
		CostBytes: uint64(16+missing) << 20, Recoverable: true,
	}
}

// random makes random questions: small worlds, so that every rule bites often.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, seed))} }

func (r random) chance(percent int) bool { return r.IntN(100) < percent }

func pick[T any](r random, of ...T) T { return of[r.IntN(len(of))] }

// request is a random question of a role.
func (r random) request(role sdk.Role, guard bool) encodable {
	switch role {
	case sdk.RolePlacement:
		return r.place(guard)
	case sdk.RoleReciprocity:
		return r.admit(guard)
	}
	return r.repair(guard)
}

func (r random) place(guard bool) *sdk.PlaceRequest {
	data := 1 + r.IntN(8)
	q := Place(data, r.IntN(6), Peers(r.IntN(20), func(i int, c *sdk.Candidate) {
		c.Subnet = pick(r, []byte{10, 0, byte(r.IntN(6))}, []byte{0x20, 1, 0x0d, 0xb8, 0, byte(r.IntN(3))}, nil, c.Subnet)
		c.Operator, c.Country = pick(r, "", "", "x", "y"), pick(r, "", "CH", "DE", "NL")
		c.Institutional = r.chance(20)
		c.Nearness = uint32(r.IntN(4))
		c.FreeBytes = pick(r, uint64(0), 1<<19, 1<<20, 3<<20, 1<<40, 1<<40)
		c.BalanceBytes = pick(r, int64(0), 0, 1<<30, -1<<30)
		c.ProofsAsked = pick(r, uint32(0), 10)
		c.ProofSuccessPpm = min(c.ProofsAsked*pick(r, uint32(0), 40_000, 100_000), sdk.PPM)
		c.UptimePpm, c.RoundTripMs, c.AgeS = pick(r, uint32(0), 500_000, 990_000), uint32(r.IntN(300)), uint64(r.IntN(1<<24))
		if r.chance(20) {
			c.Labels = []*sdk.Label{{Key: "site", Value: pick(r, "north", "south")}}
		}
		if !guard && r.chance(20) {
			c.Score = int32(r.IntN(201) - 100)
		}
	}))
	q.Tessera, q.Seed, q.Guarding = ID("tessera", r.IntN(100)), r.Uint64(), guard
	q.Intent = pick(r, sdk.Intent_NEW, sdk.Intent_REPAIR, sdk.Intent_REBALANCE)
	q.NowUnixMs += int64(r.IntN(86_400_000))
	q.Caps = &sdk.Caps{
		Replicas: uint32(r.IntN(9)), PerSubnet: uint32(r.IntN(4)), Strict: r.chance(30),
		InstitutionalPpm: pick(r, uint32(0), sdk.InstitutionalPPM, 500_000),
	}
	r.hold(q)
	for _, p := range q.Pieces {
		p.SizeBytes, p.Copies = pick(r, uint64(1<<20), 1<<20, 2<<20), pick(r, uint32(1), 1, 1, 3)
	}
	return q
}

// hold gives some of the pieces to some of the peers, and to one that is no candidate.
func (r random) hold(q *sdk.PlaceRequest) {
	if !r.chance(50) {
		return
	}
	at := func(c *sdk.Candidate) {
		h := &sdk.Holding{Id: c.Id, Subnet: c.Subnet, Operator: c.Operator, Institutional: c.Institutional}
		for _, p := range q.Pieces {
			if r.chance(20) {
				h.Fragments = append(h.Fragments, p.Index)
			}
		}
		if len(h.Fragments) > 0 {
			q.Holdings = append(q.Holdings, h)
		}
	}
	for _, c := range q.Candidates {
		if r.chance(25) {
			at(c)
		}
	}
	at(&sdk.Candidate{Id: ID("stranger", r.IntN(9)), Subnet: []byte{10, 0, byte(r.IntN(6))}})
	slices.SortFunc(q.Holdings, func(a, b *sdk.Holding) int { return bytes.Compare(a.Id, b.Id) })
	if keep := 1 + r.IntN(len(q.Pieces)); r.chance(50) {
		q.Pieces = q.Pieces[:keep]
	}
}

func (r random) admit(guard bool) *sdk.AdmitRequest {
	q := Admit()
	q.Tessera, q.Sender, q.Owner = ID("tessera", r.IntN(9)), ID("peer", r.IntN(9)), ID("owner", r.IntN(9))
	q.SizeBytes = pick(r, uint64(0), 1, 1<<20, 300<<20, 1<<62)
	q.Purpose, q.SenderProved, q.Institutional = pick(r, sdk.Purpose_PUBLISH, sdk.Purpose_CUSTODY), r.chance(50), r.chance(20)
	q.StoredForThem, q.TheyStoreForUs = pick(r, uint64(0), 200<<20, 1<<40, 1<<63), pick(r, uint64(0), 200<<20, 1<<41)
	q.NewcomerGranted, q.CustodyUsed = pick(r, uint64(0), 1<<30), pick(r, uint64(0), 1<<30)
	q.FreeBytes = pick(r, uint64(0), 1<<30, 1<<30+1<<20, 8<<30, 1<<50)
	q.FragmentsHere, q.PeersKnown = uint32(r.IntN(5)), uint32(r.IntN(30))
	q.Seed, q.Guarding = r.Uint64(), guard
	if !guard && r.chance(20) {
		q.GrantBytes = pick(r, uint64(1), 1<<20, 1<<30)
		q.DeficitAllowance = min(q.DeficitAllowance, q.GrantBytes)
	}
	return q
}

func (r random) repair(guard bool) *sdk.RepairRequest {
	q := Repair()
	for i := range r.IntN(12) {
		h := Health(i, r.IntN(9), r.IntN(9))
		h.SurvivesSubnets, h.SurvivesOperators = min(h.SurvivesPeers, uint32(r.IntN(9))), min(h.SurvivesPeers, uint32(r.IntN(9)))
		if h.Missing > 0 && r.chance(50) {
			h.Suspect = 1 + uint32(r.IntN(int(h.Missing)))
			h.SuspectPeers, h.SuspectSinceMs, h.Flaps = 1+uint32(r.IntN(3)), uint64(r.IntN(3*86_400_000)), uint32(r.IntN(3))
		}
		h.OwnerBalanceBytes, h.Own, h.Recoverable = pick(r, int64(0), 1<<30, -1<<30), r.chance(50), !r.chance(10)
		h.PeersShort, h.Institutional = uint32(r.IntN(3)), r.chance(10)
		if !guard && r.chance(20) {
			h.LeastPriority = uint32(r.IntN(1000))
		}
		q.Tesseras = append(q.Tesseras, h)
	}
	q.Weather.PeersSilent = uint32(r.IntN(25))
	q.Weather.PeersNewlySilent = min(q.Weather.PeersSilent, uint32(r.IntN(25)))
	q.NowUnixMs += int64(r.IntN(86_400_000))
	q.Seed, q.Guarding = r.Uint64(), guard
	slices.SortFunc(q.Tesseras, compareMargins)
	return q
}

// Questions are random well-formed questions of a role, the same for the same seed; they never end.
func Questions(role sdk.Role, guard bool, seed uint64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for r := newRandom(seed); ; {
			b, err := r.request(role, guard).MarshalVT()
			if err != nil || !yield(b) {
				return
			}
		}
	}
}
