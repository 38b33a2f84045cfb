package placement

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// assignments lists the picks by fragment, each with its alternates and its reason.
func (r *round) assignments() []*sdk.Assignment {
	unused, used := r.byUse()
	out := make([]*sdk.Assignment, len(r.picks))
	for k, p := range r.picks {
		out[k] = &sdk.Assignment{
			Fragment:   r.pieces[p.piece].GetIndex(),
			Candidate:  uint32(r.peers[p.peer].candidate),
			Alternates: r.alternates(k, unused, used),
			Reason:     r.whyChosen(p.peer),
		}
	}
	return out
}

// summary says in a sentence what was decided.
func (r *round) summary() string {
	text := amount(len(r.picks), "fragment") + " placed, " + amount(r.inUse, "peer") + " in use"
	if left := r.copiesLeft(); left > 0 {
		text += "; " + amount(left, "fragment") + " found no peer"
	}
	if replicas := int(r.caps.GetReplicas()); r.inUse < replicas {
		text += "; " + amount(replicas-r.inUse, "peer") + " fewer than the " + strconv.Itoa(replicas) + " asked for"
	}
	if r.yielded() {
		text += "; the limit of " + amount(int(r.caps.GetPerSubnet()), "peer") + " a network gave way, there was no other way"
	}
	return text
}

func (r *round) copiesLeft() (n int) {
	for _, left := range r.left {
		n += left
	}
	return n
}

// nobody says why nothing could be placed, counting the reasons in the order they are met.
func (r *round) nobody() string {
	if len(r.peers) == 0 {
		return "no peer is known that could take a fragment"
	}
	var kinds []obstacle
	var counts []int
	for i := range r.peers {
		kind := r.obstacleOf(i)
		at := slices.Index(kinds, kind)
		if at < 0 {
			kinds, counts, at = append(kinds, kind), append(counts, 0), len(kinds)
		}
		counts[at]++
	}
	text := "none of " + amount(len(r.peers), "peer") + " can take a fragment:"
	for at, kind := range kinds {
		if at > 0 {
			text += ","
		}
		text += " " + strconv.Itoa(counts[at]) + " " + kind.plural()
	}
	return text
}

// whyChosen says what speaks for a peer, given how everything turned out.
func (r *round) whyChosen(i int) string {
	p := &r.peers[i]
	text := "the only fragment on this peer"
	if r.load[i] > 1 {
		text = "one of " + strconv.Itoa(r.load[i]) + " fragments on this peer"
	}
	if n := r.netPeers[p.net]; n > 1 {
		text += ", one of " + strconv.Itoa(n) + " peers in " + r.network(i)
	} else {
		text += ", alone in its network"
	}
	if p.doubtful {
		return text + ", though it fails most proofs: there are not enough others"
	}
	return text + ", " + amount(int(p.near), "bit") + " near"
}

// obstacle is what kept a peer out.
type obstacle int

const (
	noObstacle obstacle = iota
	holdsAll
	full
	fails
	subnetCap
	institutionalCap
)

func (o obstacle) plural() string {
	switch o {
	case holdsAll:
		return "hold every fragment asked for"
	case full:
		return "full"
	case fails:
		return "failing most proofs"
	case subnetCap:
		return "in networks at their limit"
	case institutionalCap:
		return "institutions beyond their share"
	}
	return "passed over"
}

// obstacleOf tells what keeps a peer that got nothing from taking a fragment.
func (r *round) obstacleOf(i int) obstacle {
	p := &r.peers[i]
	switch {
	case !p.usable && !slices.Contains(p.holds, false):
		return holdsAll
	case !p.usable:
		return full
	case p.doubtful && !r.doubtful:
		return fails
	case r.load[i] > 0:
		return noObstacle
	case r.perSubnet > 0 && r.netPeers[p.net] >= r.perSubnet:
		return subnetCap
	case p.institution && r.instInUse >= min(r.institutions, r.caps.InstitutionalLimit(r.inUse+1)):
		return institutionalCap
	}
	return noObstacle
}

// notes names for every peer that got nothing why it was passed over, by position.
func (r *round) notes() []*sdk.PeerNote {
	got := make([]bool, len(r.peers))
	last := -1 // the least preferred peer that was newly taken into use
	for _, p := range r.picks {
		got[p.peer] = true
		if r.peers[p.peer].held == 0 {
			last = max(last, p.peer)
		}
	}
	var out []*sdk.PeerNote
	for i := range r.peers {
		if !got[i] {
			out = append(out, &sdk.PeerNote{Candidate: uint32(r.peers[i].candidate), Reason: r.whyPassedOver(i, last)})
		}
	}
	slices.SortFunc(out, func(a, b *sdk.PeerNote) int { return cmp.Compare(a.Candidate, b.Candidate) })
	return out
}

func (r *round) whyPassedOver(i, last int) string {
	p := &r.peers[i]
	switch r.obstacleOf(i) {
	case holdsAll:
		return "it holds every fragment asked for already"
	case full:
		return "full: " + sdk.SizeText(p.free) + " free, a fragment is " + sdk.SizeText(r.smallest(i))
	case fails:
		return "fails most proofs: " + strconv.Itoa(int(r.candidate(i).GetProofSuccessPpm()/10_000)) + " of 100 succeed"
	case subnetCap:
		return "subnet cap: " + r.network(i) + " has " + amount(r.netPeers[p.net], "peer") + " of this tessera, the most allowed"
	case institutionalCap:
		return "institutional cap: " + strconv.Itoa(r.instInUse) + " of the " + amount(r.inUse, "peer") + " of this tessera are institutions, the most allowed"
	case noObstacle:
	}
	if r.load[i] > 0 {
		return "it holds " + amount(p.held, "fragment") + " already, others held fewer"
	}
	if last < 0 {
		return "there was nothing left to place"
	}
	return r.whyWorse(p, &r.peers[last])
}

// whyWorse compares a peer that nothing forbade with the least of those that were taken.
func (r *round) whyWorse(p, taken *peer) string {
	switch {
	case r.netShards[p.net] > 0 && p.net != taken.net:
		return "its network holds " + amount(r.netShards[p.net], "fragment") + " already, the peers taken spread wider"
	case p.institution && r.plain[p.net] > 0:
		return "an institution waits while its network has other peers to offer"
	case r.opShards[p.op] > 0 && p.op != taken.op:
		return "its operator holds " + amount(r.opShards[p.op], "fragment") + " already, the peers taken spread wider"
	}
	if p.score < taken.score {
		return "guards score it " + strconv.Itoa(int(p.score)) + ", the peers taken higher"
	}
	switch p.merit.behind(taken.merit) {
	case balance:
		return "low balance: " + balanceText(r.candidateOf(p).GetBalanceBytes()) + ", the peers taken do more for us"
	case proofs:
		return "its proofs succeed less often than those of the peers taken"
	case uptime:
		return "it is up less than the peers taken"
	case space:
		return "its free space is unknown, that of the peers taken is not"
	case age:
		return "known for less time than the peers taken"
	}
	if p.near < taken.near {
		return "farther from the tessera than the peers taken: " + amount(int(p.near), "bit") + " near"
	}
	return "as good as the peers taken, but lost the draw by hash"
}

func (r *round) candidateOf(p *peer) *sdk.Candidate { return r.request.GetCandidates()[p.candidate] }

func (r *round) candidate(i int) *sdk.Candidate { return r.candidateOf(&r.peers[i]) }

func (r *round) network(i int) string { return sdk.SubnetText(r.candidate(i).GetSubnet()) }

// smallest is the size of the smallest piece the peer does not hold.
func (r *round) smallest(i int) uint64 {
	size, found := uint64(0), false
	for number, piece := range r.pieces {
		if !r.peers[i].holds[number] && (!found || piece.GetSizeBytes() < size) {
			size, found = piece.GetSizeBytes(), true
		}
	}
	return size
}

// balanceText writes who owes whom.
func balanceText(bytes int64) string {
	if bytes < 0 {
		return "its owner owes us " + sdk.SizeText(-uint64(bytes))
	}
	return "its owner stores " + sdk.SizeText(uint64(bytes)) + " more for us than we for it"
}

// amount writes a number with its noun.
func amount(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
