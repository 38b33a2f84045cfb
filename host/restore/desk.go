package restore

import (
	"strconv"
	"sync"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/sdk"
)

// desk hands out spools, each to one user at a time. The first user of a tessera gets the one that
// lasts, in which the next goes on; who comes while it is in use gets another, for once.
type desk struct {
	mu    sync.Mutex // guards inUse
	inUse map[string]bool
}

// spoolOf is the folder of a tessera's lasting spool.
func spoolOf(id sdk.TesseraID) string { return "spool/restore-" + id.String() }

func (d *desk) take(id sdk.TesseraID) (folder string, lasting bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	folder, lasting = spoolOf(id), true
	for n := 1; d.inUse[folder]; n++ {
		folder, lasting = spoolOf(id)+"."+strconv.Itoa(n), false
	}
	d.inUse[folder] = true
	return folder, lasting
}

func (d *desk) giveBack(folder string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inUse, folder)
}

// openSpool opens a spool for a tessera and gives the function that ends its use; what is left in it
// then stays only in the lasting one.
func (s *Service) openSpool(id sdk.TesseraID) (*fragment.Spool, func() error, error) {
	folder, lasting := s.desk.take(id)
	spool, err := fragment.OpenSpool(s.fs, folder)
	if err != nil {
		s.desk.giveBack(folder)
		return nil, nil, err
	}
	leave := sync.OnceValue(func() (err error) {
		if !lasting {
			err = spool.Remove()
		}
		s.desk.giveBack(folder)
		return err
	})
	return spool, leave, nil
}
