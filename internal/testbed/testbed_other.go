//go:build !linux

package testbed

import "net"

func memory() string { return "" }

// guard holds the port within this process only.
func guard(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
