//go:build !linux

package scratch

import "os"

// Dir is where tests keep files that may go with the machine.
func Dir(uint64) string { return os.TempDir() }
