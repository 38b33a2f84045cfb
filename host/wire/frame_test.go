package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/wire"
)

func TestEveryKindTravels(t *testing.T) {
	seen := map[wire.Kind]bool{}
	for _, m := range samples(t) {
		k := wire.KindOf(m)
		seen[k] = true
		var buf bytes.Buffer
		if err := wire.WriteFrame(&buf, m); err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if wire.Kind(buf.Bytes()[0]) != k || int(binary.BigEndian.Uint32(buf.Bytes()[1:])) != buf.Len()-wire.HeaderSize {
			t.Errorf("%s: header % x", k, buf.Bytes()[:wire.HeaderSize])
		}
		got, err := wire.ReadFrame(iotest.OneByteReader(&buf))
		if err != nil || !proto.Equal(got, m) {
			t.Errorf("%s: %v, %v", k, got, err)
		}
	}
	for n := range 256 {
		k := wire.Kind(n)
		if k.Known() != seen[k] || (k.Ceiling() > 0) != seen[k] || strings.HasPrefix(k.String(), "kind ") == seen[k] {
			t.Errorf("kind %d: known %v, sampled %v, %s", n, k.Known(), seen[k], k)
		}
	}
	if wire.KindOf(&wire.Contact{}) != 0 {
		t.Error("a part of messages has a kind of its own")
	}
}

// TestSamplesHaveEveryField keeps the samples honest: what is not set is not tested.
func TestSamplesHaveEveryField(t *testing.T) {
	for _, m := range samples(t) {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if !m.ProtoReflect().Has(fields.Get(i)) {
				t.Errorf("%s.%s is not set", wire.KindOf(m), fields.Get(i).Name())
			}
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	for _, m := range samples(t) {
		body, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		newer := append([]byte{}, body...)
		newer = protowire.AppendTag(newer, 1000, protowire.BytesType)
		newer = protowire.AppendBytes(newer, []byte("from the future"))
		newer = protowire.AppendTag(newer, 1001, protowire.VarintType)
		newer = protowire.AppendVarint(newer, 5)
		newer = protowire.AppendTag(newer, 1002, protowire.StartGroupType)
		newer = protowire.AppendTag(newer, 1, protowire.Fixed32Type)
		newer = protowire.AppendFixed32(newer, 5)
		newer = protowire.AppendTag(newer, 1002, protowire.EndGroupType)
		got, err := wire.Decode(wire.KindOf(m), newer)
		if err != nil || !proto.Equal(got, m) {
			t.Errorf("%s: %v, %v", wire.KindOf(m), got, err)
		}
	}
}

// endOfWorld fails the test when it is read from.
type endOfWorld struct{ t *testing.T }

func (r endOfWorld) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

func TestCeilingsAreCheckedBeforeTheBody(t *testing.T) {
	for n := range 256 {
		k := wire.Kind(n)
		header := []byte{byte(k), 0, 0, 0, 0}
		binary.BigEndian.PutUint32(header[1:], uint32(k.Ceiling())+1)
		_, err := wire.ReadFrame(io.MultiReader(bytes.NewReader(header), endOfWorld{t}))
		want := wire.ErrTooLarge
		if !k.Known() {
			want = wire.ErrUnknownKind
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", k, err)
		}
		if _, err := wire.Decode(k, make([]byte, k.Ceiling()+1)); !errors.Is(err, want) {
			t.Errorf("decode %s: %v", k, err)
		}
	}
}

func TestWriterKeepsToTheRules(t *testing.T) {
	for name, c := range map[string]struct {
		m    wire.Message
		want error
	}{
		"a plan that is too long":    {&wire.Replicate{Plan: make([]byte, wire.MaxPlan+1)}, wire.ErrMalformed},
		"too many pointers":          {&wire.StorePointers{Pointers: make([]*wire.SignedPointer, 65)}, wire.ErrMalformed},
		"no id":                      {&wire.FetchPlan{}, wire.ErrMalformed},
		"a text that is too long":    {&wire.Error{Code: 1, Text: strings.Repeat("x", 600)}, wire.ErrMalformed},
		"a message of no kind":       {&wire.Contact{}, wire.ErrUnknownKind},
		"above the ceiling as whole": {&wire.Error{Code: 1, Text: strings.Repeat("x", 2000)}, wire.ErrTooLarge},
	} {
		var buf bytes.Buffer
		if err := wire.WriteFrame(&buf, c.m); !errors.Is(err, c.want) || buf.Len() != 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, buf.Len())
		}
	}
}

func TestEndsOfFrames(t *testing.T) {
	var whole bytes.Buffer
	if err := wire.WriteFrame(&whole, &wire.FetchPlan{Tessera: make([]byte, 32)}); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := wire.ReadFrame(bytes.NewReader(whole.Bytes()[:n])); !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// field encodes one bytes field.
func field(n protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), content)
}

func varint(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func TestShapes(t *testing.T) {
	id := make([]byte, 32)
	many := func(n int, one []byte) []byte { return bytes.Repeat(one, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		kind wire.Kind
		body []byte
		ok   bool
	}{
		"an id":                      {wire.KindFetchPlan, field(1, id), true},
		"no id":                      {wire.KindFetchPlan, nil, false},
		"an empty id":                {wire.KindFetchPlan, field(1, nil), false},
		"an id of 31 bytes":          {wire.KindFetchPlan, field(1, id[:31]), false},
		"two ids":                    {wire.KindFetchPlan, join(field(1, id), field(1, id)), false},
		"an id that is a number":     {wire.KindFetchPlan, varint(1, 5), false},
		"truncated":                  {wire.KindFetchPlan, field(1, id)[:20], false},
		"a broken tag":               {wire.KindFetchPlan, join(field(1, id), []byte{0xff}), false},
		"field number 0":             {wire.KindFetchPlan, join(field(1, id), []byte{0}), false},
		"an open group":              {wire.KindFetchPlan, join(field(1, id), []byte{0x0b}), false},
		"1,024 tesseras":             {wire.KindAttestRequest, join(field(1, id), many(1024, field(2, id))), true},
		"1,025 tesseras":             {wire.KindAttestRequest, join(field(1, id), many(1025, field(2, id))), false},
		"an empty tessera":           {wire.KindAttestRequest, join(field(1, id), field(2, nil)), false},
		"20 contacts":                {wire.KindNodes, many(20, field(1, field(1, id))), true},
		"21 contacts":                {wire.KindNodes, many(21, field(1, field(1, id))), false},
		"a contact without a key":    {wire.KindNodes, field(1, varint(2, 1)), false},
		"an address of 17 bytes":     {wire.KindNodes, field(1, join(field(1, id), field(3, field(1, id[:17])))), false},
		"a number that is bytes":     {wire.KindFragmentHeader, field(1, id), false},
		"not UTF-8":                  {wire.KindError, join(varint(1, 1), field(2, []byte{0xff})), false},
		"an error without a code":    {wire.KindError, field(2, []byte("x")), false},
		"an unknown code":            {wire.KindError, varint(1, 4711), true},
		"versions, packed":           {wire.KindHello, hello(field(3, many(16, []byte{1}))), true},
		"17 versions, packed":        {wire.KindHello, hello(field(3, many(17, []byte{1}))), false},
		"versions, not packed":       {wire.KindHello, hello(many(16, varint(3, 1))), true},
		"17 versions, not packed":    {wire.KindHello, hello(many(17, varint(3, 1))), false},
		"versions that break off":    {wire.KindHello, hello(field(3, []byte{0x80})), false},
		"versions that are fixed":    {wire.KindHello, hello([]byte{0x1d, 0, 0, 0, 0}), false},
		"no versions":                {wire.KindHello, hello(nil), false},
		"a plan of 64 KiB":           {wire.KindPlanResponse, field(1, make([]byte, 64<<10)), true},
		"a plan of 64 KiB and 1":     {wire.KindPlanResponse, field(1, make([]byte, 64<<10+1)), false},
		"a tombstone of 4 KiB and 1": {wire.KindForget, field(1, make([]byte, 4<<10+1)), false},
	} {
		_, err := wire.Decode(c.kind, c.body)
		if c.ok && err != nil || !c.ok && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hello is a Hello with the versions given.
func hello(versions []byte) []byte {
	return bytes.Join([][]byte{field(1, make([]byte, 32)), field(2, make([]byte, 64)), versions}, nil)
}

func TestRefusals(t *testing.T) {
	r := wire.Refuse(wire.Code_NO_SPACE, "%d bytes free", 3).Later(90 * time.Second)
	m, err := wire.Decode(wire.KindError, encode(t, r.Message()))
	if err != nil {
		t.Fatal(err)
	}
	back := m.(*wire.Error).Refusal()
	if *back != *r || back.Error() != "refused: no space: 3 bytes free" {
		t.Errorf("%+v, %q", back, back.Error())
	}
	ugly := wire.Refuse(wire.Code_DENIED, "a\x1b[31m\nb\xff%s", strings.Repeat("é", 600))
	if text := ugly.Message().GetText(); len(text) > wire.MaxErrorText || !strings.HasPrefix(text, "a [31m b?éé") {
		t.Errorf("%q", text)
	}
	encode(t, ugly.Message())
	for err, want := range map[error]wire.Code{
		r:                              wire.Code_NO_SPACE,
		errors.Join(io.EOF, r):         wire.Code_NO_SPACE,
		wire.ErrUnknownKind:            wire.Code_UNSUPPORTED,
		wire.ErrTooLarge:               wire.Code_TOO_LARGE,
		wire.ErrMalformed:              wire.Code_MALFORMED,
		errors.New("open /secret: no"): wire.Code_INTERNAL,
	} {
		if got := wire.RefusalFor(err); got.Code != want || strings.Contains(got.Text, "secret") {
			t.Errorf("%v: %v", err, got)
		}
	}
	if wire.CodeOf(nil) != wire.Code_OK || wire.CodeOf(io.EOF) != wire.Code_OK || wire.CodeOf(errors.Join(r)) != wire.Code_NO_SPACE {
		t.Error("CodeOf")
	}
	if (&wire.Error{}).Refusal().Code == wire.Code_OK || wire.Refuse(wire.Code_OK, "").Message().GetCode() == wire.Code_OK {
		t.Error("code 0 is never sent nor believed")
	}
	if after := (&wire.Error{Code: 1, RetryAfterMs: 1 << 63}).Refusal().RetryAfter; after != 24*time.Hour {
		t.Errorf("retry after %s", after)
	}
}

func encode(t *testing.T, m wire.Message) []byte {
	t.Helper()
	b, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
