//go:build !linux

package redistest

import "syscall"

// A test that is killed leaves its servers behind here.
func endsWithUs() *syscall.SysProcAttr { return nil }
