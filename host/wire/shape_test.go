package wire

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestEveryFieldHasAShape: what the decoder knows and the shape does not would be decoded unbounded.
func TestEveryFieldHasAShape(t *testing.T) {
	for _, k := range kinds {
		if k.make != nil {
			everyFieldHasAShape(t, k.make().ProtoReflect().Descriptor(), *k.shape)
		}
	}
}

func everyFieldHasAShape(t *testing.T, m protoreflect.MessageDescriptor, s shape) {
	t.Helper()
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		at := slices.IndexFunc(s, func(known field) bool { return known.number == protowire.Number(f.Number()) })
		switch {
		case at < 0:
			t.Errorf("%s has no shape", f.FullName())
		case f.Message() != nil:
			everyFieldHasAShape(t, f.Message(), *s[at].inner)
		}
	}
}
