package host

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// TestContactsAreKept with what a start chooses by: since when they are known, and whether they answer.
func TestContactsAreKept(t *testing.T) {
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	book := contacts{c}
	known := func(n byte) dht.Known {
		return dht.Known{
			Contact: identity.Contact{Key: sdk.NodeKey{n}, Nonce: 3, Addr: netip.MustParseAddrPort("192.0.2.1:4433")},
			Owner:   sdk.OwnerKey{n}, FirstSeen: time.Unix(1000, 0).UTC(), LastSeen: time.Unix(2000, 0).UTC(),
			Asked: 9, Answered: 7, Silent: 1,
		}
	}
	for _, peers := range [][]dht.Known{{known(1), known(2)}, {known(2), known(3)}} {
		if err := book.Save(t.Context(), peers); err != nil {
			t.Fatal(err)
		}
		if got, err := book.Load(t.Context()); err != nil || !reflect.DeepEqual(got, peers) {
			t.Errorf("saved %+v, loaded %+v, %v", peers, got, err)
		}
	}
}
