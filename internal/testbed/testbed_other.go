//go:build !linux

package testbed

import (
	"context"
	"net"
)

func memory() string { return "" }

// guard holds the port within this process only.
func guard(string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
}
