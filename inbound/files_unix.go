//go:build unix

package inbound

import "syscall"

// openFiles is how many files this process may open, or 0 where that is unknown. Go has raised the
// limit to what the system allows (the hard limit) before main runs.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}
