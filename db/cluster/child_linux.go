package cluster

import "syscall"

// childAttributes: see spawn for why there is a parent-death signal.
func childAttributes(account *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: account, Setpgid: true, Pdeathsig: sigFast}
}
