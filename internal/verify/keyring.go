package verify

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Keyring holds every secret of an installation. The index key names records and never changes while a store
// lives; the others rotate: the first one seals and signs, all of them open.
//
// As text it is one "index" line and one or more "key" lines, each with 32 bytes in base64, the newest key first.
type Keyring struct {
	index []byte
	keys  []secret
	met   atomic.Pointer[[]secret] // keys of another ring, see Meet
	over  atomic.Bool              // see GiveWay
}

type secret struct {
	id    string
	bytes []byte
	aead  cipher.AEAD
}

const secretSize = 32

// NewKeyring makes the text of a ring with one key.
func NewKeyring(rand io.Reader) (string, error) {
	raw := make([]byte, 2*secretSize)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("making keys: %w", err)
	}
	return fmt.Sprintf("index %s\nkey %s\n", encode(raw[:secretSize]), encode(raw[secretSize:])), nil
}

// AddKey puts a new key in front of those of a ring's text.
func AddKey(text string, rand io.Reader) (string, error) {
	if _, err := ParseKeyring(text); err != nil {
		return "", err
	}
	raw := make([]byte, secretSize)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	lines := strings.SplitAfter(text, "\n")
	// The word may stand in a remark, too.
	first := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "key ") })
	return strings.Join(slices.Insert(lines, first, "key "+encode(raw)+"\n"), ""), nil
}

// ParseKeyring reads a ring. Its errors never quote a secret.
func ParseKeyring(text string) (*Keyring, error) {
	k := &Keyring{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, value, _ := strings.Cut(line, " ")
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil || len(raw) != secretSize {
			return nil, fmt.Errorf("keys, line %d: expected 32 bytes in base64url after %q; make a ring with: contactgate gate keys new", n, "index or key")
		}
		switch {
		case word == "index" && k.index == nil:
			k.index = raw
		case word == "key":
			if err := k.add(raw); err != nil {
				return nil, fmt.Errorf("keys, line %d: %w", n, err)
			}
		default:
			return nil, fmt.Errorf("keys, line %d: expected one line \"index …\" and lines \"key …\"; make a ring with: contactgate gate keys new", n)
		}
	}
	if k.index == nil || len(k.keys) == 0 {
		return nil, errors.New("keys: a ring has one line \"index …\" and at least one line \"key …\"; make one with: contactgate gate keys new")
	}
	return k, nil
}

func (k *Keyring) add(raw []byte) error {
	if bytes.Count(raw, raw[:1]) == len(raw) {
		return errors.New("this key is the same byte over and over; make a ring with: contactgate gate keys new")
	}
	sum := sha256.Sum256(append([]byte("contactgate key id\x00"), raw...))
	aead, err := chacha20poly1305.NewX(derive(raw, "seal"))
	if err != nil {
		return fmt.Errorf("preparing a key: %w", err)
	}
	k.keys = append(k.keys, secret{id: hex.EncodeToString(sum[:4]), bytes: raw, aead: aead})
	return nil
}

// Fingerprint names the ring without giving anything away. It stays the same when keys rotate.
func (k *Keyring) Fingerprint() string {
	sum := sha256.Sum256(append([]byte("contactgate ring\x00"), k.index...))
	return hex.EncodeToString(sum[:8])
}

// Meet has the ring open what is sealed with the keys of another ring, too, in place of one that it met before. While a
// configuration takes over from the one before, both work on the same records, and the older one has not been told of a
// new key. Rings of different installations do not meet.
func (k *Keyring) Meet(other *Keyring) {
	if keys := other.keys; bytes.Equal(k.index, other.index) {
		k.met.Store(&keys)
	}
}

// GiveWay has the ring seal with the newest key of the ring that it met, if it met one: its configuration has ended, and what is
// still under way there must not bring an older key back into use.
func (k *Keyring) GiveWay() { k.over.Store(true) }

// find gives the key with this ID, of this ring or of one that it met.
func (k *Keyring) find(id string) (secret, bool) {
	keys := k.keys
	if met := k.met.Load(); met != nil {
		keys = slices.Concat(keys, *met)
	}
	i := slices.IndexFunc(keys, func(s secret) bool { return s.id == id })
	if i < 0 {
		return secret{}, false
	}
	return keys[i], true
}

func (k *Keyring) has(id string) bool {
	_, ok := k.find(id)
	return ok
}

// IDs are the names of the keys, the newest first.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, s := range k.keys {
		ids[i] = s.id
	}
	return ids
}

// Derive gives one 32-byte key per key of the ring for a purpose, the newest first.
func (k *Keyring) Derive(purpose string) [][]byte {
	keys := make([][]byte, len(k.keys))
	for i, s := range k.keys {
		keys[i] = derive(s.bytes, purpose)
	}
	return keys
}

// deriveFrom gives the key for a purpose from the key with this ID.
func (k *Keyring) deriveFrom(id, purpose string) ([]byte, bool) {
	s, ok := k.find(id)
	if !ok {
		return nil, false
	}
	return derive(s.bytes, purpose), true
}

// Index gives the key for naming things of one sort. It does not rotate.
func (k *Keyring) Index(purpose string) []byte { return derive(k.index, purpose) }

// seal encrypts a record for its key: moved to another key it does not open.
func (k *Keyring) seal(recordKey string, plain []byte, rand io.Reader) ([]byte, error) {
	s := k.keys[0]
	if met := k.met.Load(); met != nil && k.over.Load() {
		s = (*met)[0]
	}
	id, _ := hex.DecodeString(s.id)
	head := len(id) + chacha20poly1305.NonceSizeX
	out := make([]byte, head, head+len(plain)+s.aead.Overhead())
	copy(out, id)
	if _, err := io.ReadFull(rand, out[len(id):head]); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	return s.aead.Seal(out, out[len(id):head], plain, []byte(recordKey)), nil
}

// open decrypts what seal made, with whichever key of the ring it was.
func (k *Keyring) open(recordKey string, sealed []byte) ([]byte, error) {
	const head = 4 + chacha20poly1305.NonceSizeX
	if len(sealed) < head {
		return nil, errors.New("opening a record: too short")
	}
	id := hex.EncodeToString(sealed[:4])
	s, ok := k.find(id)
	if !ok {
		return nil, fmt.Errorf("opening a record: it was sealed with key %s, which is not in the ring; put that key back", id)
	}
	plain, err := s.aead.Open(nil, sealed[4:head], sealed[head:], []byte(recordKey))
	if err != nil {
		return nil, errors.New("opening a record: it is damaged or belongs elsewhere")
	}
	return plain, nil
}

func derive(raw []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, raw, nil, "contactgate "+purpose, secretSize)
	if err != nil {
		panic("contactgate: hkdf: " + err.Error()) // only for lengths that no constant here has
	}
	return key
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func (k *Keyring) sealedWithNewest(sealed []byte) bool {
	return len(sealed) >= 4 && hex.EncodeToString(sealed[:4]) == k.keys[0].id
}
