package plugins

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the module is part of every node
	"encoding/binary"
	"fmt"
	"io"
)

//go:embed module/default.wasm.gz
var packed []byte

// mostModule bounds what is unpacked, in bytes.
const mostModule = 16 << 20

// DefaultModule is the set of Default as one WASM module: what every node starts with. It is built
// from the same source, bit for bit (see plugins/module).
func DefaultModule() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the default policies: %w", err)
	}
	size := binary.LittleEndian.Uint32(packed[len(packed)-4:]) // as the format has it, see RFC 1952
	module := bytes.NewBuffer(make([]byte, 0, min(size, mostModule)+bytes.MinRead))
	if _, err := module.ReadFrom(io.LimitReader(r, mostModule)); err != nil {
		return nil, fmt.Errorf("unpack the default policies: %w", err)
	}
	return module.Bytes(), nil
}
