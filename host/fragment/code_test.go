package fragment

import (
	"bytes"
	"testing"
)

// TestMatrix reads the library's parity matrix off by encoding unit vectors, and compares it with the
// one line of the format: 1/(r^c), r counted from the number of data shards.
func TestMatrix(t *testing.T) {
	for _, c := range [][2]int{{1, 1}, {2, 1}, {3, 2}, {16, 8}, {48, 24}, {200, 55}, {1, 254}, {254, 1}} {
		data, parity := c[0], c[1]
		code, err := newCode(coded(data, parity, data, 1))
		if err != nil {
			t.Fatal(err)
		}
		chunks := make([][]byte, data+parity) // column c of the data is the c-th unit vector
		for i := range chunks {
			chunks[i] = make([]byte, data)
			if i < data {
				chunks[i][i] = 1
			}
		}
		if err := code.encode(chunks); err != nil {
			t.Fatal(err)
		}
		for r := data; r < data+parity; r++ {
			for c := range data {
				if want := inverse(byte(r) ^ byte(c)); chunks[r][c] != want {
					t.Fatalf("%d+%d: row %d, column %d is %d, want %d", data, parity, r, c, chunks[r][c], want)
				}
			}
		}
	}
}

func TestEveryLossOfASmallCode(t *testing.T) {
	p := coded(5, 4, 16, 5*16*2+33)
	packed := randomBytes(1, int(p.Packed))
	shards, plan := encoded(t, p, packed)
	n := 0
	subsets(p.Total(), p.Data, func(have []int) {
		n++
		var out bytes.Buffer
		if err := Decode(t.Context(), plan, readers(shards, have...), &out); err != nil {
			t.Fatalf("from %v: %v", have, err)
		}
		if !bytes.Equal(out.Bytes(), packed) {
			t.Fatalf("from %v: wrong bytes", have)
		}
	})
	if n != 126 {
		t.Errorf("%d subsets", n)
	}
}
