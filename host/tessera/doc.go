// Package tessera answers: what is a tessera: which files, under which names, in which documents, and
// how does it travel as one stream?
//
// A tessera is a folder of someone's memories, described by two plain documents. The file list names
// every file with its size, time and BLAKE3; the head names the list by its hash and carries the
// owner's signature. Its id is the BLAKE3 of the head. FORMAT.md says all of it byte by byte.
//
// Making one: Scan looks at a folder without reading it, WriteFolder streams it to the node,
// ReadFolder receives it there, Seal signs the documents. Giving it away: Pack writes the one tar
// stream that is a pure function of the documents and the files; Unpack reads and checks it, UnpackTo
// puts it back as a folder that appears by one rename.
package tessera

// The most a tessera may hold. Nothing beyond is made, and nothing beyond is read from anyone.
const (
	// MaxFiles is how many files a tessera holds at most.
	MaxFiles = 100_000
	// MaxFolders is how many empty folders it lists at most.
	MaxFolders = MaxFiles
	// MaxBytes is the largest sum of its files' sizes, 1 GiB.
	MaxBytes = 1 << 30
	// MaxHead is the size of the largest head in bytes.
	MaxHead = 4096
	// MaxList is the size of the largest file list in bytes: 640 a file when all MaxFiles are there,
	// of which a line spends about 150 on everything but the path.
	MaxList = MaxFiles * 640
	// MaxTitle is the longest title in bytes, before percent-encoding.
	MaxTitle = 1024
	// MaxPath is the longest path in bytes, before percent-encoding.
	MaxPath = 4096
	// MaxName is the longest element of a path in bytes: what nearly every file system can write back.
	MaxName = 255
)

// maxManifest is the size of the largest manifest file in bytes.
const maxManifest int64 = MaxHead + int64(signatureLineSize) + 1 + MaxList
