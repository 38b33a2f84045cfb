package placement

import (
	"cmp"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// peer is a candidate as it stood before anything was placed.
type peer struct {
	candidate   int // position in the request
	id          []byte
	net, op     int // its network and operator, as numbers of the table
	institution bool
	doubtful    bool
	score       int32 // what guards think of it
	merit       merit
	near        uint32
	draw        uint64
	free        uint64
	freeKnown   bool
	holds       []bool // by piece: it has this fragment already
	held        int    // fragments of the tessera on it already
	usable      bool   // it could take one of the pieces
}

// fits tells whether the peer may take a piece, given the bytes still free on it.
func (p *peer) fits(piece *sdk.Piece, number int, free uint64) bool {
	return !p.holds[number] && (!p.freeKnown || piece.GetSizeBytes() <= free)
}

// table is the request, laid out for the search.
type table struct {
	request *sdk.PlaceRequest
	caps    *sdk.Caps
	pieces  []*sdk.Piece // by index
	peers   []peer       // by preference
	byNet   [][]int      // peers by network, by preference
	held    []placed     // what was held before
	nets    domains
	ops     domains
	start   counts
}

// placed is a fragment in a network.
type placed struct {
	fragment uint32
	net      int
}

// counts are what the search watches; the table has those of the start.
type counts struct {
	netShards, netPeers []int // by network
	opShards            []int // by operator
	inUse, instInUse    int   // peers that hold something; of those, institutions
}

func (c counts) clone() counts {
	c.netShards, c.netPeers, c.opShards = slices.Clone(c.netShards), slices.Clone(c.netPeers), slices.Clone(c.opShards)
	return c
}

// domains numbers names in the order they are met. A nameless one is a domain of its own.
type domains struct {
	number map[string]int
	count  int
}

func (d *domains) of(name string) int {
	if n, known := d.number[name]; known && name != "" {
		return n
	}
	if d.number == nil {
		d.number = map[string]int{}
	}
	d.number[name] = d.count
	d.count++
	return d.count - 1
}

// newTable reads a well-formed request.
func newTable(request *sdk.PlaceRequest) *table {
	t := &table{request: request, caps: request.GetCaps(), pieces: slices.Clone(request.GetPieces())}
	slices.SortFunc(t.pieces, func(a, b *sdk.Piece) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
	holders := map[string]holder{}
	for _, h := range request.GetHoldings() {
		if len(h.GetFragments()) > 0 {
			holders[string(h.GetId())] = holder{h, t.nets.of(string(h.GetSubnet())), t.ops.of(h.GetOperator())}
		}
	}
	seed := hashID(request.GetTessera())
	t.peers = make([]peer, 0, len(request.GetCandidates()))
	for i, c := range request.GetCandidates() {
		h, isHolder := holders[string(c.GetId())]
		if !isHolder {
			h = holder{nil, t.nets.of(string(c.GetSubnet())), t.ops.of(c.GetOperator())}
		}
		t.peers = append(t.peers, t.newPeer(i, c, h, seed))
	}
	slices.SortFunc(t.peers, comparePeers)
	t.byNet = make([][]int, t.nets.count)
	for i, p := range t.peers {
		t.byNet[p.net] = append(t.byNet[p.net], i)
	}
	t.count(holders)
	return t
}

// holder is a holding, nil for a peer that holds nothing, and where it is.
type holder struct {
	holding *sdk.Holding
	net, op int
}

func (t *table) newPeer(position int, c *sdk.Candidate, h holder, seed uint64) peer {
	p := peer{
		candidate:   position,
		id:          c.GetId(),
		net:         h.net,
		op:          h.op,
		institution: c.GetInstitutional(),
		doubtful:    isDoubtful(c),
		score:       c.GetScore(),
		merit:       meritOf(c),
		near:        c.GetNearness(),
		draw:        mix(seed ^ hashID(c.GetId())),
		free:        c.GetFreeBytes(),
		freeKnown:   c.GetFreeBytes() > 0,
		holds:       make([]bool, len(t.pieces)),
		held:        len(h.holding.GetFragments()),
	}
	for i, piece := range t.pieces {
		p.holds[i] = slices.Contains(h.holding.GetFragments(), piece.GetIndex())
		p.usable = p.usable || p.fits(piece, i, p.free)
	}
	return p
}

// count sets the start: what is held before anything is placed.
func (t *table) count(holders map[string]holder) {
	t.start = counts{
		netShards: make([]int, t.nets.count),
		netPeers:  make([]int, t.nets.count),
		opShards:  make([]int, t.ops.count),
	}
	for _, h := range t.request.GetHoldings() {
		if len(h.GetFragments()) == 0 {
			continue
		}
		at := holders[string(h.GetId())]
		t.start.netShards[at.net] += len(h.GetFragments())
		t.start.opShards[at.op] += len(h.GetFragments())
		t.start.netPeers[at.net]++
		t.start.inUse++
		t.start.instInUse += boolInt(h.GetInstitutional())
		for _, f := range h.GetFragments() {
			t.held = append(t.held, placed{f, at.net})
		}
	}
}
