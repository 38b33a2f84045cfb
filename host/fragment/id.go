package fragment

import (
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// FragmentID names one fragment of one tessera. It is a value and can be a map key.
type FragmentID struct {
	Tessera  sdk.TesseraID
	Index    int         // from 0
	Shards   int         // how many fragments the plan has
	Checksum digest.Hash // of the fragment's bytes, and its name on disk
}

func (id FragmentID) String() string {
	return fmt.Sprintf("%s/%d of %d", id.Tessera.Short(), id.Index, id.Shards)
}

// FragmentEnvelope is a fragment with all that its receiver needs to judge and keep it.
type FragmentEnvelope struct {
	ID   FragmentID
	Size int64     // bytes of the fragment
	Plan []byte    // the signed plan, as ParsePlan reads it
	Body io.Reader // the fragment; unchecked: read it through Content
	// Holds, when not 0, is 1 + the index of a fragment of the tessera that the sender holds and will
	// prove to the receiver.
	Holds int
}

// Content reads the body and ends in digest.ErrMismatch instead of io.EOF unless it was exactly the
// fragment. Nobody may commit what was read before io.EOF.
func (e FragmentEnvelope) Content() io.Reader {
	return digest.NewReader(e.Body, e.ID.Checksum, e.Size)
}
