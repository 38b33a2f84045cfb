package fragment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

func testPlan(t testing.TB) *FragmentPlan {
	t.Helper()
	_, plan := encoded(t, coded(3, 2, 8, 53), randomBytes(20, 53))
	return plan
}

func TestPlanRoundTrip(t *testing.T) {
	for _, p := range []Params{coded(3, 2, 8, 53), ParamsFor(1000), ParamsFor(5 << 20), ParamsFor(300 << 20), coded(200, 55, 1, 9)} {
		plan := signedPlan(t, p, make([]digest.Hash, p.Total()), "holidays \n 100%")
		b := plan.Bytes()
		if len(b) > MaxPlan {
			t.Errorf("a plan of %d bytes", len(b))
		}
		back, err := OpenPlan(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !bytes.Equal(back.Bytes(), b) || back.Params != p || back.Tessera != plan.Tessera {
			t.Errorf("%+v came back as %+v", plan, back)
		}
		head, err := back.Head()
		if err != nil || head.Title != "holidays \n 100%" || head.Owner != newOwner(1).Key() || head.ID() != plan.Tessera {
			t.Errorf("head: %+v, %v", head, err)
		}
	}
}

// TestPlanIsAPureFunction: publishing again gives the same bytes.
func TestPlanIsAPureFunction(t *testing.T) {
	if !bytes.Equal(testPlan(t).Bytes(), testPlan(t).Bytes()) {
		t.Error("two plans of one tessera differ")
	}
}

// TestLargestPlan has the longest head and the most fragments there may be.
func TestLargestPlan(t *testing.T) {
	owner := newOwner(1)
	title := strings.Repeat("é", tessera.MaxTitle/2)
	head, signature := signedHead(owner, title)
	p := coded(200, 55, 1000, MaxPacked)
	plan, err := NewPlan(p, make([]digest.Hash, p.Total()), head, signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Sign(owner); err != nil {
		t.Fatal(err)
	}
	if n := len(plan.Bytes()) + tessera.MaxHead - len(head); n > MaxPlan {
		t.Errorf("%d bytes", n)
	}
}

func TestNewPlanRefuses(t *testing.T) {
	owner := newOwner(1)
	head, signature := signedHead(owner, "")
	p := coded(3, 2, 8, 53)
	hashes := make([]digest.Hash, 5)
	if _, err := NewPlan(p, hashes[:4], head, signature); !errors.Is(err, ErrPlan) {
		t.Errorf("too few fragments: %v", err)
	}
	if _, err := NewPlan(Params{}, nil, head, signature); !errors.Is(err, ErrParams) {
		t.Errorf("no parameters: %v", err)
	}
	if _, err := NewPlan(p, hashes, []byte("not a head"), signature); !errors.Is(err, ErrPlan) {
		t.Errorf("no head: %v", err)
	}
	if _, err := NewPlan(p, hashes, head, signature[1:]); !errors.Is(err, ErrSignature) {
		t.Errorf("short signature: %v", err)
	}
	plan, err := NewPlan(p, hashes, head, signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Sign(newOwner(2)); !errors.Is(err, ErrSignature) {
		t.Errorf("signed by a stranger: %v", err)
	}
	plan.HeadSignature[0] ^= 1
	if err := plan.Sign(owner); !errors.Is(err, ErrSignature) {
		t.Errorf("the head is not signed: %v", err)
	}
}

// TestForgedPlans shows that nothing in a plan can be changed by anyone but the owner.
func TestForgedPlans(t *testing.T) {
	plan := testPlan(t)
	stranger := newOwner(2)
	head, headSignature := signedHead(stranger, "mine now")
	for name, forge := range map[string]func(p *FragmentPlan){
		"a checksum":         func(p *FragmentPlan) { p.Fragments[1][0] ^= 1 },
		"k and m":            func(p *FragmentPlan) { p.Data, p.Parity = 2, 3 },
		"the chunk":          func(p *FragmentPlan) { p.Chunk = 9 },
		"the packed size":    func(p *FragmentPlan) { p.Packed++ },
		"the tier":           func(p *FragmentPlan) { p.Tier = Large },
		"signature":          func(p *FragmentPlan) { p.Signature[63] ^= 1 },
		"head signature":     func(p *FragmentPlan) { p.HeadSignature[0] ^= 1 },
		"signed by stranger": func(p *FragmentPlan) { copy(p.Signature[:], stranger.Sign(p.signed())) },
		"a stranger's head under this id": func(p *FragmentPlan) {
			p.HeadBytes = head
			copy(p.HeadSignature[:], headSignature)
			copy(p.Signature[:], stranger.Sign(p.signed()))
		},
		"another id": func(p *FragmentPlan) {
			p.Tessera = sdk.TesseraID(digest.Of([]byte("another")))
			copy(p.Signature[:], newOwner(1).Sign(p.signed()))
		},
		"one fragment less": func(p *FragmentPlan) { p.Fragments = p.Fragments[:4] },
	} {
		forged := *plan
		forged.Fragments = append([]digest.Hash{}, plan.Fragments...)
		forge(&forged)
		if err := forged.Verify(); !errors.Is(err, ErrPlan) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: Verify says %v", name, err)
		}
		if _, err := OpenPlan(forged.Bytes()); !errors.Is(err, ErrPlan) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: OpenPlan says %v", name, err)
		}
	}
	if err := plan.Verify(); err != nil {
		t.Errorf("the plan itself: %v", err)
	}
}

// TestMalformedPlans changes the text. Each is refused by its form, before any signature is looked at.
func TestMalformedPlans(t *testing.T) {
	text := string(testPlan(t).Bytes())
	change := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the plan has no %q", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, bad := range map[string]string{
		"empty":                  "",
		"only a version":         planVersion,
		"another version":        change("plan 1", "plan 2"),
		"no end of line":         strings.TrimSuffix(text, "\n"),
		"trailing line":          text + "\n",
		"carriage returns":       strings.ReplaceAll(text, "\n", "\r\n"),
		"leading zero":           change("data: 3", "data: 03"),
		"plus sign":              change("data: 3", "data: +3"),
		"negative":               change("parity: 2", "parity: -2"),
		"not a number":           change("parity: 2", "parity: two"),
		"huge number":            change("packed: 53", "packed: 99999999999999999999"),
		"impossible k":           change("data: 3", "data: 0"),
		"wrong shard size":       change("shard: 18", "shard: 19"),
		"wrong k":                change("data: 3", "data: 4"),
		"copies of coded shards": change("copies: 1", "copies: 7"),
		"unknown tier":           change("tier: medium", "tier: huge"),
		"small but coded":        change("tier: medium", "tier: small"),
		"unknown code":           change("code: reed-solomon", "code: fountain"),
		"copies but coded":       change("code: "+codeRS, "code: "+codeCopy),
		"upper-case hash":        strings.Replace(text, "fragment: 0 ", "fragment: 0 A", 1),
		"fragment missing":       change("fragment: 2 ", "fragment: 3 "),
		"no head":                change("head: tesseras head 1\n", ""),
		"line in between":        change("head: title", "note: hello\nhead: title"),
		"space at the end":       change("copies: 1\n", "copies: 1 \n"),
		"no signature":           text[:strings.LastIndex(text, "signature: ")],
		"short signature":        text[:len(text)-3] + "\n",
		"upper-case signature":   text[:len(text)-6] + "ABCDE\n",
		"too large":              text + strings.Repeat("x", MaxPlan),
	} {
		if _, err := ParsePlan([]byte(bad)); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v, want ErrPlan", name, err)
		}
	}
}

func TestEveryByteOfAPlanCounts(t *testing.T) {
	good := testPlan(t).Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := OpenPlan(bad); err == nil {
			t.Errorf("byte %d (%q) may be changed", i, good[i])
		}
		if _, err := OpenPlan(good[:i]); err == nil {
			t.Errorf("the first %d bytes are a plan", i)
		}
	}
}

func TestEnvelope(t *testing.T) {
	p := coded(3, 2, 8, 53)
	shards, plan := encoded(t, p, randomBytes(20, 53))
	e := plan.Envelope(4, bytes.NewReader(shards[4]))
	if e.ID != plan.ID(4) || e.Size != 18 || !bytes.Equal(e.Plan, plan.Bytes()) {
		t.Errorf("%+v", e)
	}
	if got, err := io.ReadAll(e.Content()); err != nil || !bytes.Equal(got, shards[4]) {
		t.Errorf("content: %v", err)
	}
	e.Body = bytes.NewReader(shards[3])
	if _, err := io.ReadAll(e.Content()); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("another shard's bytes: %v", err)
	}
	if got, want := e.ID.String(), fmt.Sprintf("%s/4 of 5", plan.Tessera.Short()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	names := map[FragmentID]bool{}
	for i := range shards {
		names[plan.ID(i)] = true
	}
	if len(names) != 5 {
		t.Errorf("%d ids", len(names))
	}
}

func FuzzParsePlan(f *testing.F) {
	plan := testPlan(f)
	f.Add(plan.Bytes())
	f.Add(signedPlan(f, ParamsFor(1000), make([]digest.Hash, 1), "").Bytes())
	f.Add([]byte(planVersion))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePlan(b)
		if err != nil {
			if !errors.Is(err, ErrPlan) {
				t.Errorf("error %v is not ErrPlan", err)
			}
			return
		}
		if !bytes.Equal(p.Bytes(), b) {
			t.Errorf("two spellings:\n%s\n%s", b, p.Bytes())
		}
		if p.Verify() == nil && p.Tessera != plan.Tessera && p.Tier != Small {
			t.Errorf("a forged plan:\n%s", b)
		}
	})
}
