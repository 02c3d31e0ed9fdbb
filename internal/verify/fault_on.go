//go:build faults

package verify

import (
	"os"
	"syscall"
)

// reached kills the process, as kill -9 does, at the point that CONTACTGATE_FAULT names, so that tests of the real
// binary can show what survives. It is only in builds with -tags faults.
func reached(point string) {
	if os.Getenv("CONTACTGATE_FAULT") == point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
