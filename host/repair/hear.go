package repair

import (
	"context"
	"slices"

	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// Hear asks a holder what it holds now of the owner's tesseras, and whose it is. What it says is given to the
// caller and written nowhere; a tessera whose plan cannot be read is left out.
func (s *Service) Hear(ctx context.Context, holder identity.Contact) (owner sdk.OwnerKey, said []holders.Statement, err error) {
	rows, err := s.own(nil)
	if err != nil {
		return owner, nil, err
	}
	for page := range slices.Chunk(rows, s.page) {
		patients, _, err := s.admit(page)
		if err != nil {
			return owner, nil, err
		}
		if len(patients) == 0 {
			continue
		}
		by, heard, err := s.hear(ctx, holder, patients)
		if err != nil {
			return owner, nil, err
		}
		owner, said = by, append(said, heard...)
	}
	return owner, said, nil
}

// hear is Hear for a page of tesseras.
func (s *Service) hear(ctx context.Context, holder identity.Contact, patients []*patient) (owner sdk.OwnerKey, said []holders.Statement, err error) {
	for rest := patients; len(rest) > 0; {
		by, heard, err := s.attest(ctx, holder, rest[:min(len(rest), perQuestion)])
		if err != nil {
			return owner, nil, err
		}
		owner, said, rest = by, append(said, heard...), rest[len(heard):]
	}
	return owner, said, nil
}
