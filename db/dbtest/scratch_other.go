//go:build !linux

package dbtest

import "os"

// Scratch is where tests keep files that may go with the machine.
func Scratch(uint64) string { return os.TempDir() }
