package catalog

// kv is an ordered map from bytes to bytes. Keys and values handed in or out are nobody's to change
// afterwards.
type kv interface {
	// snapshot gives a view of all that was applied so far, and of nothing later.
	snapshot() snapshot
	// apply makes all changes or none. When it returns nil they are on stable storage.
	apply(changes []change) error
	close() error
}

// snapshot is safe for one goroutine.
type snapshot interface {
	// get gives the value of a key, or ErrNotFound.
	get(key []byte) ([]byte, error)
	// page gives, in key order, up to limit rows whose key starts with prefix and is not below from.
	page(prefix, from []byte, limit int) ([]row, error)
	release()
}

type row struct{ key, value []byte }

// change sets a key, or deletes it.
type change struct {
	key, value []byte
	del        bool
}
