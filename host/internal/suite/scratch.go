package suite

import "os"

// enough is how many bytes must be free in memory for temporary folders to lie there: twice what they ever take, most of
// it ballast of indexes.
const enough = 12 << 30

// Scratch is for the TestMain of packages whose tests run whole nodes: it puts the temporary folders of this process
// and of its children into memory, where the machine has plenty to spare. What such a test waits for is mostly a disk
// that writes down files of a second's life. remove removes the folder that all are in.
//
// A large run stays on the disk, and so does one whose TMPDIR is set. What is about disks (crashes of the store, rot,
// full file systems) is tested in the rooms of the store, which do without.
func Scratch() (remove func()) {
	if Nightly() || os.Getenv("TMPDIR") != "" || freeMemory() < enough {
		return func() {}
	}
	dir, err := os.MkdirTemp(memoryDir, "tesseras-")
	if err != nil {
		return func() {}
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		panic(err) // the name is a constant
	}
	return func() { _ = os.RemoveAll(dir) } // an error changes no result
}
