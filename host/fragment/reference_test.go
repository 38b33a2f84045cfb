package fragment

// This file is the format a second time, as plainly as it can be said: no tables, no stripes in
// flight, no library. The codec is compared with it.

// multiply is multiplication in GF(256) with the polynomial x^8+x^4+x^3+x^2+1, by hand.
func multiply(a, b byte) byte {
	var product uint16
	for i := range 8 {
		if b>>i&1 == 1 {
			product ^= uint16(a) << i
		}
	}
	for bit := 15; bit > 7; bit-- {
		if product>>bit&1 == 1 {
			product ^= 0x11d << (bit - 8)
		}
	}
	return byte(product)
}

// inverse is found by trying.
func inverse(a byte) byte {
	for b := range 256 {
		if multiply(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	panic("zero has no inverse")
}

// plainShards cuts packed into shards.
func plainShards(data, parity, chunk int, packed []byte) [][]byte {
	shards := make([][]byte, data+parity)
	for len(packed) > 0 {
		stripe := packed[:min(len(packed), data*chunk)]
		packed = packed[len(stripe):]
		size := (len(stripe) + data - 1) / data
		padded := append(append([]byte{}, stripe...), make([]byte, data*size-len(stripe))...)
		for c := range data {
			shards[c] = append(shards[c], padded[c*size:(c+1)*size]...)
		}
		for r := data; r < data+parity; r++ {
			sum := make([]byte, size)
			for c := range data {
				factor := inverse(byte(r) ^ byte(c))
				for i := range sum {
					sum[i] ^= multiply(factor, padded[c*size+i])
				}
			}
			shards[r] = append(shards[r], sum...)
		}
	}
	return shards
}
