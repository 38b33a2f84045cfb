package suite

import "golang.org/x/sys/unix"

// memoryDir is where Linux has a file system in memory that everybody may use.
const memoryDir = "/dev/shm"

// freeMemory is how many bytes are free there, 0 where it is no file system in memory.
func freeMemory() int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(memoryDir, &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}
