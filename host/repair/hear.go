package repair

import (
	"context"
	"errors"

	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// Hear asks a holder what it holds now of the owner's tesseras, and whose it is. What it says is given to the
// caller and written nowhere; a tessera whose plan cannot be read is left out.
func (s *Service) Hear(ctx context.Context, holder identity.Contact) (owner sdk.OwnerKey, said []holders.Statement, err error) {
	w, err := s.admit(nil)
	if err != nil {
		return owner, nil, err
	}
	for rest := w.patients; len(rest) > 0; {
		part := rest[:min(len(rest), perQuestion)]
		by, held, covered, err := s.attest(ctx, holder, tesserasOf(part))
		if err == nil && covered == 0 {
			err = errCoversNothing
		}
		if err != nil {
			return owner, nil, err
		}
		owner, said, rest = by, append(said, statements(part[:covered], held)...), rest[covered:]
	}
	return owner, said, nil
}

// errCoversNothing tells that an attestation is about none of the tesseras that were asked for.
var errCoversNothing = errors.New("an answer that covers nothing")
