package process

// Main does nothing in a WASM module, where it is never called.
func Main() {}
