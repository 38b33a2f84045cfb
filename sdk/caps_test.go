package sdk

import (
	"bytes"
	"testing"
)

func TestInstitutionalLimit(t *testing.T) {
	caps := &Caps{InstitutionalPpm: InstitutionalPPM}
	for peers, want := range map[int]int{0: 0, 1: 1, 3: 1, 4: 2, 7: 2, 8: 3, 12: 4, 14: 4, 24: 7, 72: 21, 700: 200} {
		if got := caps.InstitutionalLimit(peers); got != want {
			t.Errorf("of %d peers %d may be institutional, want %d", peers, got, want)
		}
	}
	if got := (&Caps{}).InstitutionalLimit(9); got != 9 {
		t.Errorf("without a cap %d of 9", got)
	}
	if got := (*Caps)(nil).InstitutionalLimit(9); got != 9 {
		t.Errorf("without caps %d of 9", got)
	}
}

// peersIn makes candidates, subnets[i] telling the subnet of the i-th.
func peersIn(subnets ...byte) []*Candidate {
	var out []*Candidate
	for i, s := range subnets {
		out = append(out, &Candidate{Id: bytes.Repeat([]byte{byte(i + 1)}, IDSize), Subnet: []byte{10, 0, s}})
	}
	return out
}

func pieces(n int) []*Piece {
	var out []*Piece
	for i := range n {
		out = append(out, &Piece{Index: uint32(i), SizeBytes: 100, Copies: 1})
	}
	return out
}

func TestReachUnderSubnetCap(t *testing.T) {
	r := &PlaceRequest{Pieces: pieces(24), Candidates: peersIn(1, 1, 1, 2, 2, 2, 3)}
	if got := r.Reach(2, nil); got.Peers != 5 || got.Slots != 5*24 {
		t.Errorf("reach = %+v, want 5 peers", got)
	}
	if got := r.Reach(0, nil); got.Peers != 7 {
		t.Errorf("reach without cap = %+v, want 7 peers", got)
	}
	if got := r.Reach(2, func(i int) bool { return i == 6 }); got.Peers != 4 {
		t.Errorf("reach without the last = %+v, want 4 peers", got)
	}
	r.Pieces = pieces(3)
	if got := r.Reach(0, nil); got.Peers != 3 {
		t.Errorf("three fragments reach %d peers", got.Peers)
	}
}

func TestReachCountsHoldings(t *testing.T) {
	r := &PlaceRequest{
		Pieces:     pieces(2),
		Candidates: peersIn(1, 1, 2),
		Holdings: []*Holding{
			{Id: bytes.Repeat([]byte{9}, IDSize), Subnet: []byte{10, 0, 1}, Fragments: []uint32{5}},
			{Id: bytes.Repeat([]byte{3}, IDSize), Subnet: []byte{10, 0, 2}, Fragments: []uint32{0}},
			{Id: bytes.Repeat([]byte{8}, IDSize), Subnet: []byte{10, 0, 1}},
		},
	}
	// Subnet 1 has one holder and room for one more; the holder in subnet 2 can take fragment 1 only.
	if got, want := r.Reach(2, nil), (Reach{Peers: 3, Slots: 2 + 1}); got != want {
		t.Errorf("reach = %+v, want %+v", got, want)
	}
}

func TestReachUnderInstitutionalCap(t *testing.T) {
	r := &PlaceRequest{
		Pieces:     pieces(24),
		Candidates: peersIn(1, 2, 3, 4, 5, 6, 7, 8),
		Caps:       &Caps{InstitutionalPpm: InstitutionalPPM},
	}
	for _, c := range r.Candidates[2:] {
		c.Institutional = true
	}
	// Two others: with one institution 1 <= ceil(3/3.5), with two 2 <= ceil(4/3.5), three are too many.
	if got := r.Reach(0, nil); got.Peers != 4 {
		t.Errorf("reach = %+v, want 4 peers", got)
	}
}

func TestSubnetCapYieldsOnlyWhenThereIsNoOtherWay(t *testing.T) {
	home := peersIn(1, 1, 1, 1, 1, 1, 1, 1)
	spread := peersIn(1, 2, 3, 4, 5, 6, 7, 7, 7)
	full := peersIn(1, 2, 3, 4, 5, 6, 7, 7, 7)
	for _, c := range full {
		c.FreeBytes = 100
	}
	caps := func(strict bool) *Caps { return &Caps{Replicas: 7, PerSubnet: 2, Strict: strict} }
	tests := []struct {
		name       string
		candidates []*Candidate
		caps       *Caps
		pieces     int
		want       bool
	}{
		{"a home network", home, caps(false), 24, true},
		{"a home network, strict", home, caps(true), 24, false},
		{"no cap", home, &Caps{Replicas: 7}, 24, false},
		{"enough networks", spread, caps(false), 24, false},
		{"few peers, all usable", peersIn(1, 2, 3), caps(false), 24, false},
		{"no room elsewhere", full, caps(false), 9, true},
		{"room enough", full, caps(false), 8, false},
	}
	for _, tt := range tests {
		r := &PlaceRequest{Pieces: pieces(tt.pieces), Candidates: tt.candidates, Caps: tt.caps}
		if got := r.SubnetCapMayYield(); got != tt.want {
			t.Errorf("%s: may yield = %v, want %v", tt.name, got, tt.want)
		}
	}
}
