//go:build !linux

package cluster

import "syscall"

// childAttributes: without a parent-death signal the next start stops what is
// left (leftovers.go).
func childAttributes(account *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: account, Setpgid: true}
}
