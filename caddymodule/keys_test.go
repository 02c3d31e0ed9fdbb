package caddymodule

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/verify"
)

// While a configuration takes over, the one before it reads the cookies that the new one signs with a new key; else it
// would take them away from their browsers. It goes on signing with its own, and nothing is sealed anew until it has gone.
func TestConfigurationsThatOverlap(t *testing.T) {
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := verify.AddKey(ring, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var lives []*runtime
	var all runtimesInUse
	for _, text := range []string{ring, elsewhere, rotated} {
		keys, err := verify.ParseKeyring(text)
		if err != nil {
			t.Fatal(err)
		}
		live := newRuntime(verify.New(verify.Config{Keys: keys}), keys)
		lives = append(lives, live)
		all.join(live)
	}
	before, other, now := lives[0], lives[1], lives[2]
	account := []byte("ann's")
	s := session{ID: make([]byte, sessionIDSize), For: account}
	signed, err := securecookie.EncodeMulti(hostCookie, s, now.codecs...)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := encodeDevice(savedDevice{ID: make([]byte, 16), For: make([]byte, 16), Time: time.Unix(1, 0)}, now.devices)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		live *runtime
		want bool
	}{"the new one": {now, true}, "the one before": {before, true}, "another installation": {other, false}} {
		if _, ok := decodeSession(hostCookie, signed, c.live, account); ok != c.want {
			t.Errorf("%s reads the session: %v", name, ok)
		}
		if _, ok := decodeDevice(trusted, c.live.deviceReaders()); ok != c.want {
			t.Errorf("%s reads the trusted browser: %v", name, ok)
		}
	}
	if len(before.codecs) != 1 || len(before.devices) != 1 {
		t.Error("the one before signs with a key that it was not given")
	}
	for _, live := range lives {
		<-live.reseal // each looks once, when it begins
	}
	if !all.alone(other) || all.alone(now) {
		t.Error("who is alone: only what seals records of the same installation counts")
	}
	all.leave(before)
	if !all.alone(now) {
		t.Error("the one before has left")
	}
	if len(now.reseal) != 1 || len(before.reseal) != 0 {
		t.Error("nobody looks once more whether all is sealed with the newer key")
	}
}
