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

// TestContactsAreKept on disk, for whoever opens the index next, with what a start chooses by: since when they
// are known, and whether they answer.
func TestContactsAreKept(t *testing.T) {
	dir := t.TempDir()
	open := func() (contacts, func()) {
		t.Helper()
		c, err := catalog.Open(dir, catalog.Options{Ballast: -1})
		if err != nil {
			t.Fatal(err)
		}
		return contacts{c}, func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	known := func(n byte) dht.Known {
		return dht.Known{
			Contact: identity.Contact{Key: sdk.NodeKey{n}, Nonce: 3, Addr: netip.MustParseAddrPort("192.0.2.1:4433")},
			Owner:   sdk.OwnerKey{n}, FirstSeen: time.Unix(1000, 0).UTC(), LastSeen: time.Unix(2000, 0).UTC(),
			Asked: 9, Answered: 7, Silent: 1,
		}
	}
	for _, peers := range [][]dht.Known{{known(1), known(2)}, {known(2), known(3)}} {
		book, done := open()
		err := book.Save(t.Context(), peers)
		done()
		if err != nil {
			t.Fatal(err)
		}
		book, done = open()
		if got, err := book.Load(t.Context()); err != nil || !reflect.DeepEqual(got, peers) {
			t.Errorf("saved %+v, loaded %+v, %v", peers, got, err)
		}
		done()
	}
}
