package catalog

import (
	"bytes"
	"errors"
	"iter"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Intent says that a piece of work too long for one transaction was begun, so that it can be ended or
// undone after a crash. There is one of a kind for a tessera.
type Intent struct {
	Tessera sdk.TesseraID
	Kind    string // whose it is and what, for instance "archive.delete"
	Started time.Time
	Data    []byte // whatever the kind needs
}

func intentKey(t sdk.TesseraID, kind string) enc {
	return tesseraKey(kindIntent, t).raw([]byte(kind))
}

// PutIntent writes the row, replacing the one of the same tessera and kind.
func (tx *Tx) PutIntent(i Intent) error {
	return tx.set(intentKey(i.Tessera, i.Kind), newValue().time(i.Started).bytes(i.Data))
}

// Intent gives the row of a tessera and kind, or ErrNotFound.
func (tx *Tx) Intent(t sdk.TesseraID, kind string) (Intent, error) {
	return one(tx, intentKey(t, kind), decodeIntent)
}

// Intents gives all intents of all kinds.
func (tx *Tx) Intents() iter.Seq2[Intent, error] {
	return list(tx, []byte{kindIntent}, nil, decodeIntent)
}

// DropIntent tells that the work is done or undone. One that has no row is no error.
func (tx *Tx) DropIntent(t sdk.TesseraID, kind string) error { return tx.del(intentKey(t, kind)) }

func decodeIntent(r row) (i Intent, err error) {
	k := openKey("intent", r.key[1:])
	i.Tessera, i.Kind = k.tessera(), string(k.rest())
	v := openValue("intent", r.value)
	i.Started, i.Data = v.time(), bytes.Clone(v.bytes())
	return i, errors.Join(k.done(), v.done())
}
