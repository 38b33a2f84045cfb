package institution_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/institution"
	"github.com/tesseras/tesseras/sdk"
)

// zone is a resolver that knows what a test wrote into it.
type zone struct {
	mu      sync.Mutex // guards below
	records map[string][]string
	down    error
	asked   int
}

// LookupTXT implements institution.Resolver.
func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.down == nil && len(z.records[name]) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true} // as net.Resolver has it
	}
	return z.records[name], z.down
}

func (z *zone) set(records []string, down error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.down = map[string][]string{"_tesseras.library.example.": records}, down
}

func (z *zone) lookups() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func node(n byte) institution.Node {
	return institution.Node{Key: sdk.NodeKey{n}, ID: sdk.NodeID{n}, Owner: sdk.OwnerKey{n}}
}

var library = institution.Claim{Domain: "Library.Example.", Operator: "the library", Pledge: 5}

// bubble runs a test with a Register in virtual time.
func bubble(t *testing.T, c institution.Config, test func(t *testing.T, z *zone, r *institution.Register)) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		r := institution.New(institution.Deps{Resolver: z, Log: slog.New(slog.DiscardHandler), Now: time.Now}, c)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		test(t, z, r)
		stop()
		running.Wait()
	})
}

func TestADomainsWordMakesAnInstitution(t *testing.T) {
	bubble(t, institution.Config{}, func(t *testing.T, z *zone, r *institution.Register) {
		z.set([]string{"other text", institution.Record(node(9).ID, 1), institution.Record(node(1).ID, 1<<40)}, nil)
		r.Claims(node(1), library)
		if _, ok := r.Of(node(1).Key); ok {
			t.Error("a claim was believed before it was looked up")
		}
		synctest.Wait()
		v, ok := r.Of(node(1).Key)
		if want := (institution.Verified{Domain: "library.example", Operator: "the library", Pledge: 1 << 40}); !ok || v != want {
			t.Errorf("got %+v, %t", v, ok)
		}
		if !r.Owner(node(1).Owner) || r.Owner(node(2).Owner) {
			t.Error("the exemption is not that of the institution's owner alone")
		}
	})
}

func TestAForgedClaimIsThatOfANormalNode(t *testing.T) {
	bubble(t, institution.Config{}, func(t *testing.T, z *zone, r *institution.Register) {
		z.set([]string{institution.Record(node(1).ID, 1)}, nil)
		for i, claim := range []institution.Claim{library, {Domain: "elsewhere.example"}, {Domain: "localhost"}, {Domain: "a b.example"}, {}} {
			liar := node(byte(10 + i))
			r.Claims(liar, claim)
			synctest.Wait()
			time.Sleep(time.Minute)
			if _, ok := r.Of(liar.Key); ok || r.Owner(liar.Owner) {
				t.Errorf("the claim %+v was believed", claim)
			}
		}
	})
}

func TestRecordsThatVouchForNobody(t *testing.T) {
	id := node(1).ID
	for _, text := range []string{
		"", "v=tesseras1", "v=tesseras2 node=" + id.String(), "node=" + id.String() + " v=tesseras1",
		"v=tesseras1 node=" + id.String()[:63], "v=tesseras1 node=" + id.String() + " node=" + id.String(),
		"v=tesseras1 node=" + id.String() + " pledge=-1", "v=tesseras1 node=" + id.String() + " pledge=1TiB",
	} {
		z := &zone{}
		z.set([]string{text}, nil)
		if _, err := institution.Lookup(t.Context(), z, "library.example", id); !errors.Is(err, institution.ErrNotVouched) {
			t.Errorf("%q: %v, want ErrNotVouched", text, err)
		}
	}
	z := &zone{}
	z.set([]string{fmt.Sprintf("v=tesseras1 founded=1888 pledge=7 node=%s", id)}, nil)
	if pledge, err := institution.Lookup(t.Context(), z, "library.example", id); err != nil || pledge != 7 {
		t.Errorf("a record with a word of a later version: %d, %v", pledge, err)
	}
}

func TestAWithdrawnRecordEndsIt(t *testing.T) {
	bubble(t, institution.Config{}, func(t *testing.T, z *zone, r *institution.Register) {
		z.set([]string{institution.Record(node(1).ID, 1)}, nil)
		r.Claims(node(1), library)
		synctest.Wait()
		z.set(nil, nil)
		time.Sleep(6*time.Hour + time.Second)
		synctest.Wait()
		if _, ok := r.Of(node(1).Key); ok {
			t.Error("the domain no longer vouches for the node, which is still believed")
		}
	})
}

func TestADomainThatCannotBeAskedIsBelievedForADay(t *testing.T) {
	bubble(t, institution.Config{}, func(t *testing.T, z *zone, r *institution.Register) {
		z.set([]string{institution.Record(node(1).ID, 1)}, nil)
		r.Claims(node(1), library)
		synctest.Wait()
		z.set(nil, errors.New("no route"))
		time.Sleep(23 * time.Hour)
		if _, ok := r.Of(node(1).Key); !ok {
			t.Error("a resolver that fails made a normal node of an institution at once")
		}
		time.Sleep(2 * time.Hour)
		if _, ok := r.Of(node(1).Key); ok {
			t.Error("believed for more than a day without an answer")
		}
		z.set([]string{institution.Record(node(1).ID, 1)}, nil)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if _, ok := r.Of(node(1).Key); !ok {
			t.Error("the domain answers again and is not believed")
		}
	})
}

func TestStrangersCannotMakeItAskWithoutEnd(t *testing.T) {
	bubble(t, institution.Config{Most: 16}, func(t *testing.T, z *zone, r *institution.Register) {
		z.set([]string{institution.Record(node(1).ID, 1)}, nil)
		r.Claims(node(1), library)
		synctest.Wait()
		for i := range 1000 {
			r.Claims(institution.Node{Key: sdk.NodeKey{2, byte(i), byte(i >> 8)}}, institution.Claim{Domain: fmt.Sprintf("d%d.example", i)})
			r.Claims(node(1), library) // said again with every connection
		}
		time.Sleep(time.Minute)
		if asked := z.lookups(); asked > 32 {
			t.Errorf("%d lookups for 1,000 claims, at most 16 are remembered", asked)
		}
		if _, ok := r.Of(node(1).Key); !ok {
			t.Error("a verified institution gave way to claims")
		}
		r.Claims(node(1), institution.Claim{})
		if _, ok := r.Of(node(1).Key); ok {
			t.Error("it no longer says so")
		}
	})
}
