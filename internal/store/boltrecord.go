package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// maxKey leaves room for the time in front of a key in an index (bbolt allows 32768 bytes) and is far
// beyond any account name.
const maxKey = 4096

// moment is a time in the order of its bytes: seconds, then nanoseconds. UnixNano would end in 2262, and an
// operator who means "never" writes 9999.
type moment [12]byte

func momentOf(t time.Time) (m moment) {
	if t.IsZero() {
		return m
	}
	// The sign bit is turned so that times before 1970 sort first.
	binary.BigEndian.PutUint64(m[:8], uint64(t.Unix())^(1<<63))
	binary.BigEndian.PutUint32(m[8:], uint32(t.Nanosecond()))
	return m
}

func (m moment) time() time.Time {
	if m == (moment{}) {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(m[:8])^(1<<63)), int64(binary.BigEndian.Uint32(m[8:]))).UTC()
}

// A record on the disk: checksum, expires, due, value. The checksum covers the key as well, so that a page
// with flipped bits, or somebody else's page, is an error and not a person's state.
const headerSize = 4 + 2*len(moment{})

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(key string, r Record) []byte {
	expires, due := momentOf(r.Expires), momentOf(r.Due)
	raw := make([]byte, 4, headerSize+len(r.Value))
	raw = append(raw, expires[:]...)
	raw = append(raw, due[:]...)
	raw = append(raw, r.Value...)
	binary.BigEndian.PutUint32(raw, checksum(key, raw[4:]))
	return raw
}

func checksum(key string, body []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, body)
}

var errChecksum = errors.New("a record does not match its checksum")

// decode gives a record that shares no memory with raw. A nil raw is the zero Record.
func decode(key string, raw []byte) (Record, error) {
	if raw == nil {
		return Record{}, nil
	}
	if len(raw) < headerSize || binary.BigEndian.Uint32(raw) != checksum(key, raw[4:]) {
		return Record{}, errChecksum
	}
	var expires, due moment
	copy(expires[:], raw[4:])
	copy(due[:], raw[4+len(expires):])
	value := make([]byte, len(raw)-headerSize) // never nil: an empty value is a record too
	copy(value, raw[headerSize:])
	return Record{Value: value, Expires: expires.time(), Due: due.time()}, nil
}

// visible is the record as anybody may see it: gone from the moment at which it expires.
func visible(r Record, now time.Time) Record {
	if !r.Expires.IsZero() && !now.Before(r.Expires) {
		return Record{}
	}
	return r
}

func same(a, b Record) bool {
	return (a.Value == nil) == (b.Value == nil) && bytes.Equal(a.Value, b.Value) &&
		a.Expires.Equal(b.Expires) && a.Due.Equal(b.Due)
}

// indexKey puts the time first, so that a walk from the start of an index meets the oldest first.
func indexKey(t time.Time, key string) []byte {
	m := momentOf(t)
	return append(m[:], key...)
}

// splitIndexKey answers false for what is no key of an index.
func splitIndexKey(k []byte) (at time.Time, key string, ok bool) {
	var m moment
	if len(k) <= len(m) {
		return time.Time{}, "", false
	}
	copy(m[:], k)
	return m.time(), string(k[len(m):]), true
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return errors.New("store: a key has 1 to 4096 bytes")
	}
	return nil
}
