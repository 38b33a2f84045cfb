// Package catalog answers: what is needed here, and who holds what?
//
// It keeps rows: objects and the references to them, my own tesseras, plans, holders, the ledger,
// intents and peers. The rows say what is needed; the files in the object store say what is there.
// Everything in the catalog can be thrown away and built again from the files beside it.
//
// It is the one home of Badger, which Open opens in one way for everybody. OpenMemory gives the same
// catalog over a tree in memory, for tests and for networks simulated in one process. Row logic is
// written once, above a seam of three methods that both forms fill. The layout of every row is in
// ROWS.md.
//
// Reads happen in View, on a snapshot that later writes do not change. Writes happen in Update: one
// at a time, seeing all that was written before, all or nothing, on stable storage when Update
// returns. One writer at a time also rules out what Badger's own conflict check cannot see, a
// reference row added while somebody else counts the rows.
package catalog
