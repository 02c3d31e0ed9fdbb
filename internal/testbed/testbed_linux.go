package testbed

import (
	"context"
	"net"
	"syscall"
)

// memory is a folder in memory; empty where the system has too little room for that.
func memory() string {
	const folder = "/dev/shm"
	var room syscall.Statfs_t
	if err := syscall.Statfs(folder, &room); err != nil || room.Bavail*uint64(room.Bsize) < 1<<30 {
		return ""
	}
	return folder
}

// guard holds a name that only one process has: a Unix socket without a file, which ends with its process.
func guard(port string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "unix", "@contactgate-test-port-"+port)
}
