package catalog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Tessera is one of my own tesseras. It is visible, to list and everybody else, while it has this row.
type Tessera struct {
	ID      sdk.TesseraID
	Title   string
	Created time.Time
	Files   int
	Bytes   int64 // sum of the files
	Packed  int64 // as the packed tar stream
	// WantPublished is the owner's wish that peers hold it; maintenance works for it until it is unset.
	WantPublished bool
	// Published tells that it was at its target once.
	Published bool
}

// PutTessera writes the row, replacing the one of the same id.
func (tx *Tx) PutTessera(t Tessera) error {
	return tx.set(tesseraKey(kindTessera, t.ID), newValue().
		text(t.Title).time(t.Created).uint(uint64(t.Files)).uint(uint64(t.Bytes)).uint(uint64(t.Packed)).
		flag(t.WantPublished).flag(t.Published))
}

// Tessera gives the row of one of my tesseras, or ErrNotFound.
func (tx *Tx) Tessera(id sdk.TesseraID) (Tessera, error) {
	return one(tx, tesseraKey(kindTessera, id), decodeTessera)
}

// Tesseras gives all of mine, in order of their ids.
func (tx *Tx) Tesseras() iter.Seq2[Tessera, error] {
	return list(tx, []byte{kindTessera}, nil, decodeTessera)
}

// TesseraByPrefix finds the one tessera of mine whose id starts with these hexadecimal digits. The
// errors are ErrNotFound and ErrAmbiguous.
func (tx *Tx) TesseraByPrefix(prefix string) (found Tessera, err error) {
	from, ok := idFloor(prefix)
	if !ok {
		return Tessera{}, fmt.Errorf("%.70q: %w", prefix, ErrNotFound)
	}
	n := 0
	for t, err := range list(tx, []byte{kindTessera}, tesseraKey(kindTessera, from), decodeTessera) {
		if err != nil {
			return Tessera{}, err
		}
		if n == 2 || t.ID.String()[:len(prefix)] != prefix {
			break
		}
		found, n = t, n+1
	}
	switch n {
	case 0:
		return Tessera{}, fmt.Errorf("%s: %w", prefix, ErrNotFound)
	case 1:
		return found, nil
	}
	return Tessera{}, fmt.Errorf("%s: %w", prefix, ErrAmbiguous)
}

// idFloor is the smallest id that starts with these lower-case digits.
func idFloor(prefix string) (id sdk.TesseraID, ok bool) {
	full := append([]byte(prefix), bytes.Repeat([]byte{'0'}, max(0, 2*sdk.IDSize-len(prefix)))...)
	b, err := hex.DecodeString(string(full))
	if err != nil || len(b) != len(id) || hex.EncodeToString(b)[:len(prefix)] != prefix {
		return id, false
	}
	copy(id[:], b)
	return id, true
}

// DropTessera makes a tessera of mine invisible, and forgets what was wrong with its manifest. Its
// references are not touched. One that has no row is no error.
func (tx *Tx) DropTessera(id sdk.TesseraID) error {
	if err := tx.DropBadDocument(id, DocManifest); err != nil {
		return err
	}
	return tx.del(tesseraKey(kindTessera, id))
}

func decodeTessera(r row) (t Tessera, err error) {
	k := openKey("tessera", r.key[1:])
	t.ID = k.tessera()
	v := openValue("tessera", r.value)
	t.Title, t.Created, t.Files = v.text(), v.time(), int(v.uint())
	t.Bytes, t.Packed = int64(v.uint()), int64(v.uint())
	t.WantPublished, t.Published = v.flag(), v.flag()
	return t, errors.Join(k.done(), v.done())
}
