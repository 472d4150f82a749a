package scratch

import (
	"os"
	"syscall"
)

const (
	inMemory    = "/dev/shm"
	tmpfsMagic  = 0x01021994
	mountNoExec = 8 // ST_NOEXEC
)

// Dir is where tests keep files that may go with the machine: in memory where so many bytes are free there, since a
// database is made of a thousand files, and making those on a disk takes longer than most tests; else the usual place.
func Dir(bytes uint64) string {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(inMemory, &fs) != nil {
		return os.TempDir()
	}
	if fs.Type != tmpfsMagic || fs.Flags&mountNoExec != 0 || fs.Bavail*uint64(fs.Bsize) < bytes { //nolint:gosec // a block's size
		return os.TempDir()
	}
	return inMemory
}
