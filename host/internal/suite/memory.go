package suite

import "runtime/debug"

// CollectLess is for the TestMain of packages whose tests make a lot of garbage: it has the collector come
// once the heap is four times what lives. Processors are scarcer than memory where tests run. A child whose
// memory a test measures does without.
func CollectLess() { debug.SetGCPercent(300) }
