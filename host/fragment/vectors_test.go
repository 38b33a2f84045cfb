package fragment

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
)

// The golden vectors are for decoders in other languages too: testdata/<name>.txt has the packed bytes
// and every shard, testdata/<name>.plan is the signed plan of them. -update writes them anew, from the
// plain implementation of the format, not from the codec.
var update = flag.Bool("update", false, "write the golden files")

var vectors = []struct {
	name   string
	params Params
	packed string
}{
	{"3+2", coded(3, 2, 8, 53), "Two full stripes of twenty-four bytes, then five more"},
	{"2+1-partial", coded(2, 1, 4, 11), "Eleven byte"},
	{"2+1-exact", coded(2, 1, 4, 16), "Sixteen bytes..."},
	{"3+2-one-byte", coded(3, 2, 8, 1), "!"},
	{"4+0-no-parity", coded(4, 0, 3, 20), "Only striped, 20 by."},
	{"16+8", coded(16, 8, 4, 137), strings.Repeat("sixteen and eight, ", 7) + "137."},
	{"small", ParamsFor(38), "A small tessera is its own fragment.\x00\xff"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			if int64(len(v.packed)) != v.params.Packed {
				t.Fatalf("%d bytes", len(v.packed))
			}
			want := plainShards(v.params.Data, v.params.Parity, v.params.Chunk, []byte(v.packed))
			shards, plan := encoded(t, v.params, []byte(v.packed))
			for i := range want {
				if !bytes.Equal(shards[i], want[i]) {
					t.Errorf("shard %d: %x, want %x", i, shards[i], want[i])
				}
			}
			plan = signedPlan(t, v.params, plan.Fragments, "vector "+v.name)
			golden(t, v.name+".txt", []byte(vectorText(v.params, v.packed, want)))
			golden(t, v.name+".plan", plan.Bytes())
			if _, err := OpenPlan(plan.Bytes()); err != nil {
				t.Error(err)
			}
		})
	}
}

// vectorText spells a vector.
func vectorText(p Params, packed string, shards [][]byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "data: %d\nparity: %d\nchunk: %d\npacked: %x\n", p.Data, p.Parity, p.Chunk, packed)
	for i, s := range shards {
		fmt.Fprintf(&b, "shard: %d %x\n", i, s)
	}
	return b.String()
}

func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	name = "testdata/" + name
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s holds\n%s\nand should hold\n%s", name, got, want)
	}
}

// TestFormatTellsTheTruth finds the worked vector, line by line, in FORMAT.md.
func TestFormatTellsTheTruth(t *testing.T) {
	format, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"3+2.txt", "3+2.plan"} {
		vector, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(vector) {
			if !bytes.Contains(format, line) {
				t.Errorf("FORMAT.md lacks the line of %s: %s", name, line)
			}
		}
	}
	for _, want := range []string{codeRS, fmt.Sprint(MaxPlan >> 10), fmt.Sprint(DefaultChunk)} {
		if !bytes.Contains(format, []byte(want)) {
			t.Errorf("FORMAT.md does not speak of %s", want)
		}
	}
}

// TestVectorsDecode reads the files alone, as another implementation would, and decodes every vector
// from its last shards.
func TestVectorsDecode(t *testing.T) {
	for _, v := range vectors {
		text, err := os.ReadFile("testdata/" + v.name + ".plan")
		if err != nil {
			t.Fatal(err)
		}
		plan, err := OpenPlan(text)
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		packed, shards := readVector(t, v.name)
		for i, s := range shards {
			if digest.Of(s) != plan.Fragments[i] {
				t.Errorf("%s: shard %d has another hash than in the plan", v.name, i)
			}
		}
		var out bytes.Buffer
		have := firstInts(plan.Total())[plan.Parity:]
		if err := Decode(t.Context(), plan, readers(shards, have...), &out); err != nil || !bytes.Equal(out.Bytes(), packed) {
			t.Errorf("%s: %q, %v", v.name, out.Bytes(), err)
		}
	}
}

func readVector(t *testing.T, name string) (packed []byte, shards [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		b, _ := hex.DecodeString(words[len(words)-1])
		switch words[0] {
		case "packed:":
			packed = b
		case "shard:":
			shards = append(shards, b)
		}
	}
	return packed, shards
}
