// Package scratch says where tests keep their files.
package scratch
