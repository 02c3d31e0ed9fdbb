package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/contactgate/contactgate/policy"
)

// The sorts of records, by the first letter of their key.
const (
	accountPrefix = "a/"
	limitPrefix   = "l/"
	noticePrefix  = "n/"
	storeIDKey    = "m/store"
)

// Moments are text: as numbers they are floating-point ones, which lose a microsecond here and there at every writing.
var encoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	if err != nil {
		panic("contactgate: cbor: " + err.Error()) // constant options
	}
	return mode
}()

// accountKey names the record of a person. It is a keyed hash: a stolen store does not tell who is in it.
func (f *Flow) accountKey(realm, user string) string {
	return accountPrefix + encode(mac(f.index.account, realm, user)[:16])
}

// mac hashes parts, each with its length, so that no two lists of parts look alike.
func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

func (f *Flow) openAccount(key string, sealed []byte) (*policy.Account, error) {
	a := &policy.Account{}
	if err := f.openRecord(key, sealed, a); err != nil {
		return nil, err
	}
	return a, nil
}

func (f *Flow) sealRecord(key string, v any) ([]byte, error) {
	plain, err := encoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	return f.Keys.seal(key, plain, f.Rand)
}

func (f *Flow) openRecord(key string, sealed []byte, v any) error {
	plain, err := f.Keys.open(key, sealed)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err := cbor.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("%w: decoding a record: %w", errUnreadable, err)
	}
	return nil
}

// errUnreadable: the store answered, with something that is not ours.
var errUnreadable = errors.New("unreadable")
