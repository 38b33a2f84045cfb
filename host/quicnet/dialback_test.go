package quicnet_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// TestDialBack: a peer tells whether strangers get through, dials nobody else, and not for ever.
func TestDialBack(t *testing.T) {
	t.Parallel()
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	tried, reached, err := a.DialBack(t.Context(), b.Self())
	if err != nil || !reached || tried != a.Addr() {
		t.Errorf("%s, %v, %v", tried, reached, err)
	}
	liar := node(t, quicnet.Config{Advertise: netip.MustParseAddrPort("198.51.100.9:9")})
	tried, reached, err = liar.DialBack(t.Context(), b.Self())
	if err != nil || reached || tried.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("one that says it is elsewhere: dialled at %s, %v, %v", tried, reached, err)
	}
	other := node(t, quicnet.Config{Advertise: b.Addr()}) // somebody else listens there
	if _, reached, err = other.DialBack(t.Context(), node(t, quicnet.Config{}).Self()); err != nil || reached {
		t.Errorf("another node answers at the port: %v, %v", reached, err)
	}
	var mu sync.Mutex
	busy := 0
	var asking sync.WaitGroup
	for range 40 {
		asking.Go(func() {
			if _, _, err := liar.DialBack(t.Context(), b.Self()); wire.CodeOf(err) == wire.Code_BUSY {
				mu.Lock()
				defer mu.Unlock()
				busy++
			} else if err != nil && !errors.Is(err, quicnet.ErrGone) {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if busy == 0 {
		t.Error("forty dials at once for one who asks")
	}
}
