package delivery

import (
	"net"
	"testing"
)

// The name localhost leads to another machine on some networks; then no plaintext may go there.
func TestLocalIsThisMachineOnly(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:25": true, "127.8.8.8:25": true, "[::1]:25": true, "[::ffff:127.0.0.1]:25": true,
		"10.0.0.1:25": false, "[2001:db8::1]:25": false, "[::ffff:10.0.0.1]:25": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isLocal(a); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
