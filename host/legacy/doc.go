// Package legacy answers: what is left of the layout before this one, and how does it come over?
//
// The old layout had a file for each file of a memory, blobs/<tessera>/<memory>/<file>, and one for each
// fragment, fragments/<tessera>/<index>.shard, and shared nothing. Open brings them into the object store
// and the index, and notes in a document for each tessera what came (see References): where there is
// neither manifest nor plan, nothing else on the disk says so.
//
// # How nothing gets lost on the way
//
// Tessera by tessera the files are copied as objects, synced and read back; then the document is written;
// then the rows that say the objects are needed. Only when all tesseras are over are the old files
// removed, each after a look whether the document names it and its object is there. Until then the old
// tree is as it was. Whoever is interrupted anywhere begins again: what is over already is found to be
// the same. What cannot be read, or has no place in the old layout, stays where it is and is told of; so
// does what belongs to a tessera whose document cannot be read.
//
// What is over, and lies in the store alone, is the business of those who look after every object: if it
// rots, or its document does, a node opens all the same.
package legacy

// The names of the old layout.
const (
	BlobsFolder     = "blobs"
	FragmentsFolder = "fragments"
	ShardExtension  = ".shard"
)
