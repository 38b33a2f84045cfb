// Package fragment answers: which tier and plan does a tessera get, and how do its bytes become shards
// and back?
//
// It is the one home of Reed-Solomon and the hot path of a node. Everything streams: memory is a few
// stripes of chunks whatever the size of the tessera (Params.Memory), and the shards lie in a Spool
// on disk. The erasure code itself notices nothing: one flipped bit among its inputs gives wrong
// outputs and no error. So every shard is hashed before it is decoded (VerifyShard, Spool) and every
// shard that is computed is hashed after, against the signed plan.
//
// The formats of plan and shards are written down in FORMAT.md for decoders in other languages.
package fragment
