package reciprocity

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/sdk"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// push is a first fragment of a stranger's tessera, which this node would take.
func push() *sdk.AdmitRequest {
	return &sdk.AdmitRequest{
		Tessera: bytes.Repeat([]byte{1}, sdk.IDSize), Sender: bytes.Repeat([]byte{2}, sdk.IDSize),
		Owner:     bytes.Repeat([]byte{0xab}, sdk.IDSize),
		SizeBytes: 10 * mib, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 256 * mib, PeerLimit: gib, NewcomerBudget: 10 * gib, CustodyBudget: 8 * gib,
		FreeBytes: 40 * gib, MinFreeBytes: gib, FragmentsTotal: 24, PeersKnown: 12,
	}
}

func TestAdmit(t *testing.T) {
	repair := func(r *sdk.AdmitRequest) { r.Purpose, r.SenderProved = sdk.Purpose_CUSTODY, true }
	tests := []struct {
		name    string
		set     func(*sdk.AdmitRequest)
		refused string // "" = accepted
		custody bool
	}{
		{name: "a newcomer's first fragment", set: func(*sdk.AdmitRequest) {}},
		{
			name:    "beyond the allowance",
			set:     func(r *sdk.AdmitRequest) { r.StoredForThem = 290 * mib },
			refused: "owner abababab.. would owe us 300 MiB, the allowance is 256 MiB",
		},
		{name: "at the allowance", set: func(r *sdk.AdmitRequest) { r.StoredForThem = 246 * mib }},
		{
			name:    "one byte beyond",
			set:     func(r *sdk.AdmitRequest) { r.StoredForThem = 246*mib + 1 },
			refused: "owner abababab.. would owe us 256.1 MiB, the allowance is 256 MiB",
		},
		{name: "who gives may take", set: func(r *sdk.AdmitRequest) { r.StoredForThem, r.TheyStoreForUs = 700*mib, 500*mib }},
		{
			name:    "newcomers have had their share",
			set:     func(r *sdk.AdmitRequest) { r.NewcomerGranted = 10 * gib },
			refused: "owner abababab.. never held anything for us, and such owners would have 10.1 GiB here of the 10 GiB set aside for them",
		},
		{name: "that does not touch others", set: func(r *sdk.AdmitRequest) { r.NewcomerGranted, r.TheyStoreForUs = 10*gib, 1 }},
		{
			name:    "one owner's limit",
			set:     func(r *sdk.AdmitRequest) { r.StoredForThem, r.TheyStoreForUs = 1020*mib, 2*gib },
			refused: "owner abababab.. would have 1.1 GiB here, the limit for one owner is 1 GiB",
		},
		{
			name:    "no room",
			set:     func(r *sdk.AdmitRequest) { r.FreeBytes = gib + 10*mib - 1 },
			refused: "no room: 10 MiB offered, 1.1 GiB free, of which 1 GiB stay free",
		},
		{name: "just room", set: func(r *sdk.AdmitRequest) { r.FreeBytes = gib + 10*mib }},
		{
			name: "an institution owes nothing",
			set: func(r *sdk.AdmitRequest) {
				r.Institutional, r.StoredForThem, r.NewcomerGranted, r.DeficitAllowance = true, 900*mib, 10*gib, 0
			},
		},
		{
			name:    "an institution is limited too",
			set:     func(r *sdk.AdmitRequest) { r.Institutional, r.StoredForThem = true, 1020*mib },
			refused: "owner abababab.. would have 1.1 GiB here, the limit for one owner is 1 GiB",
		},
		{
			name:    "a repair for an owner in debt",
			set:     func(r *sdk.AdmitRequest) { repair(r); r.StoredForThem = 500 * mib },
			custody: true,
		},
		{name: "a repair for an owner who is not", set: repair},
		{
			name:    "a repair when newcomers have had their share",
			set:     func(r *sdk.AdmitRequest) { repair(r); r.NewcomerGranted = 10 * gib },
			custody: true,
		},
		{
			name:    "a repair without proof is a push like any other",
			set:     func(r *sdk.AdmitRequest) { r.Purpose, r.StoredForThem = sdk.Purpose_CUSTODY, 500*mib },
			refused: "owner abababab.. would owe us 510 MiB, the allowance is 256 MiB",
		},
		{
			name:    "the custody budget is used up",
			set:     func(r *sdk.AdmitRequest) { repair(r); r.StoredForThem, r.CustodyUsed = 500*mib, 8*gib },
			refused: "repairs for owners in debt would take 8.1 GiB of the 8 GiB set aside for them",
		},
		{
			name:    "repairs do not heap",
			set:     func(r *sdk.AdmitRequest) { repair(r); r.FragmentsHere = 3 },
			refused: "this node holds 3 of the 24 fragments already, a repair may leave 3 on one peer",
		},
		{name: "one fewer", set: func(r *sdk.AdmitRequest) { repair(r); r.FragmentsHere = 2 }},
		{name: "the owner may heap", set: func(r *sdk.AdmitRequest) { r.FragmentsHere = 20 }},
		{name: "no peer known", set: func(r *sdk.AdmitRequest) { repair(r); r.PeersKnown, r.FragmentsHere = 0, 20 }},
		{
			name:    "an absurd size",
			set:     func(r *sdk.AdmitRequest) { r.SizeBytes, r.StoredForThem = math.MaxUint64, 5 },
			refused: "owner abababab.. would owe us 16 EiB, the allowance is 256 MiB",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := push()
			tt.set(r)
			got := FairShare{}.Admit(r)
			if got.Status != sdk.Status_OK || got.Reason == "" || got.Custody != tt.custody {
				t.Fatalf("%+v", got)
			}
			switch {
			case tt.refused == "" && got.Verdict != sdk.AdmitResponse_ACCEPT:
				t.Errorf("refused: %s", got.Reason)
			case tt.refused != "" && (got.Verdict != sdk.AdmitResponse_REFUSE || got.Reason != tt.refused):
				t.Errorf("%v: %q\nwant %q", got.Verdict, got.Reason, tt.refused)
			}
		})
	}
}

func TestMalformedRequests(t *testing.T) {
	for name, spoil := range map[string]func(*sdk.AdmitRequest){
		"tessera": func(r *sdk.AdmitRequest) { r.Tessera = r.Tessera[1:] },
		"sender":  func(r *sdk.AdmitRequest) { r.Sender = nil },
		"owner":   func(r *sdk.AdmitRequest) { r.Owner = append(r.Owner, 0) },
		"purpose": func(r *sdk.AdmitRequest) { r.Purpose = 7 },
	} {
		r := push()
		spoil(r)
		if got := (FairShare{}).Admit(r); got.Status != sdk.Status_INVALID || !strings.Contains(got.Reason, name) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := (FairShare{}).Admit(nil); got.Status != sdk.Status_INVALID {
		t.Errorf("nil request: %v", got)
	}
}

// TestWhatIsNeverAccepted: whatever the figures, the promises of the spec hold.
func TestWhatIsNeverAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := func(name string) uint64 {
			return rapid.OneOf(rapid.Uint64Range(0, 40), rapid.Uint64()).Draw(t, name)
		}
		r := push()
		r.SizeBytes, r.StoredForThem, r.TheyStoreForUs = amount("size"), amount("theirs"), amount("ours")
		r.DeficitAllowance, r.PeerLimit = amount("allowance"), amount("limit")
		r.NewcomerGranted, r.NewcomerBudget = amount("granted"), amount("newcomers")
		r.CustodyUsed, r.CustodyBudget = amount("used"), amount("custody")
		r.FreeBytes, r.MinFreeBytes = amount("free"), amount("min free")
		r.FragmentsHere = uint32(rapid.IntRange(0, 30).Draw(t, "here"))
		r.PeersKnown = uint32(rapid.IntRange(0, 30).Draw(t, "peers"))
		r.Institutional, r.SenderProved = rapid.Bool().Draw(t, "institution"), rapid.Bool().Draw(t, "proved")
		r.Purpose = rapid.SampledFrom([]sdk.Purpose{sdk.Purpose_PUBLISH, sdk.Purpose_CUSTODY}).Draw(t, "purpose")
		got := FairShare{}.Admit(r)
		if got.Status != sdk.Status_OK || got.Reason == "" || got.Verdict == sdk.AdmitResponse_LATER {
			t.Fatalf("%v", got)
		}
		if again := (FairShare{}).Admit(r); !bytes.Equal(mustMarshal(t, got), mustMarshal(t, again)) {
			t.Fatal("the same request got another answer")
		}
		if got.Verdict != sdk.AdmitResponse_ACCEPT {
			return
		}
		if r.FreeBytes < r.SizeBytes || r.FreeBytes-r.SizeBytes < r.MinFreeBytes {
			t.Fatal("accepted into the space that stays free")
		}
		inDebt := r.StoredForThem > r.TheyStoreForUs && r.StoredForThem-r.TheyStoreForUs > r.DeficitAllowance
		if inDebt && !r.Institutional && !got.Custody {
			t.Fatal("accepted beyond the allowance")
		}
		if got.Custody && (r.Purpose != sdk.Purpose_CUSTODY || !r.SenderProved || r.CustodyUsed > r.CustodyBudget) {
			t.Fatal("custody without a repairer's proof, or beyond its budget")
		}
	})
}

func mustMarshal(t *rapid.T, m *sdk.AdmitResponse) []byte {
	b, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
