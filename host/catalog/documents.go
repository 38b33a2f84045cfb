package catalog

import (
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// The documents beside the index, as BadDocument names them.
const (
	DocManifest   = "manifest"
	DocPlan       = "plan"
	DocTombstone  = "tombstone"
	DocReferences = "references" // of what came from the layout before this one
	DocJournal    = "journal"    // of no tessera
)

// BadDocument says that a document beside the index is missing, or does not say what it should.
type BadDocument struct {
	Tessera sdk.TesseraID // zero for the journal
	Kind    string        // which document
	Found   time.Time
	Problem string
}

// maxProblem bounds the text kept of a problem, in bytes.
const maxProblem = 1 << 10

func badKey(t sdk.TesseraID, kind string) enc {
	return tesseraKey(kindBadDocument, t).raw([]byte(kind))
}

// PutBadDocument writes the row. The first one of a document stays.
func (tx *Tx) PutBadDocument(d BadDocument) error {
	_, err := one(tx, badKey(d.Tessera, d.Kind), decodeBadDocument)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	problem := strings.ToValidUTF8(d.Problem[:min(len(d.Problem), maxProblem)], "")
	return tx.set(badKey(d.Tessera, d.Kind), newValue().time(d.Found).text(problem))
}

// BadDocuments gives all documents that are known to be damaged, in order of their tesseras.
func (tx *Tx) BadDocuments() iter.Seq2[BadDocument, error] {
	return list(tx, []byte{kindBadDocument}, nil, decodeBadDocument)
}

// DropBadDocument tells that a document is whole again, or needed no more. One that has no row is no error.
func (tx *Tx) DropBadDocument(t sdk.TesseraID, kind string) error { return tx.del(badKey(t, kind)) }

func decodeBadDocument(r row) (d BadDocument, err error) {
	k := openKey("document", r.key[1:])
	d.Tessera, d.Kind = k.tessera(), string(k.rest())
	v := openValue("document", r.value)
	d.Found, d.Problem = v.time(), v.text()
	return d, errors.Join(k.done(), v.done())
}
