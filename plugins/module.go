package plugins

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the module is part of every node
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
	module, err := io.ReadAll(io.LimitReader(r, mostModule))
	if err != nil {
		return nil, fmt.Errorf("unpack the default policies: %w", err)
	}
	return module, nil
}
