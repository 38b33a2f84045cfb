package host_test

import (
	"io"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestWhatAnExportFindsIsWrittenDown flips a file of a published tessera: the export says what helps, from
// then on the status knows of it, and a repair makes it good.
func TestWhatAnExportFindsIsWrittenDown(t *testing.T) {
	t.Parallel()
	_, owner := newVillage(t, 7)
	original := folder(t, small)
	made := create(t, owner, original)
	owner.publish(made.ID)
	spoil(t, owner.objects()[0], flip)
	packed, err := owner.Pack(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = packed.Write(io.Discard)
	if localapi.CodeOf(err) != localapi.CodeFailed || !strings.HasPrefix(localapi.HintOf(err), "tes repair run "+made.ID.Short()) {
		t.Errorf("export: %v, hint %q", err, localapi.HintOf(err))
	}
	if st := owner.status(made.ID); st.Health != "corrupt_local" || len(st.Damage) != 1 {
		t.Errorf("status %+v", st)
	}
	if r := owner.repair(made.ID); r.CorruptHealed != 1 {
		t.Errorf("repair %+v", r)
	}
	if st := owner.status(made.ID); st.Health == "corrupt_local" {
		t.Errorf("status after the repair %+v", st)
	}
}
