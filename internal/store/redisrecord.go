package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// shardCount is into how many parts the keys are divided. All keys of a part have one hash tag and so one slot of a
// Cluster: a record and what the indexes say of it change in one script, are copied to a replica in one piece, and move
// to another node together. One tag per account would leave the indexes in other slots, and a crash in between would
// leave a message that no worker finds. Scan and Due ask all parts at once, so there should not be many.
const shardCount = 64

const slotCount = 16384

// shardTags are hash tags whose slots lie evenly over a Cluster's, so that nodes with as many slots have as many shards.
var shardTags = func() (tags [shardCount]string) {
	for n, found := 0, 0; found < shardCount; n++ {
		tag := strconv.Itoa(n)
		if i := slotOf(tag) * shardCount / slotCount; tags[i] == "" {
			tags[i] = tag
			found++
		}
	}
	return tags
}()

// slotOf is the slot of a hash tag in any Redis Cluster: CRC16 (XMODEM), modulo 16384.
func slotOf(tag string) int {
	var crc uint16
	for _, c := range []byte(tag) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slotCount
}

// shardOf is the part that a key belongs to. It must never change: records would not be found any more.
func shardOf(key string) int { return int(crc32.Checksum([]byte(key), castagnoli) % shardCount) }

// shardNames are the Redis keys of one part.
type shardNames struct {
	// records comes before the key of every record.
	records string
	// state holds the epoch of the store and the number of changes of this part: "EPOCH123". See redisEpoch.
	state string
	// keys are all keys of the part, for Scan; due, by when a worker should look; ends, by when they expire.
	keys, due, ends string
}

func namesOf(namespace string) (all [shardCount]shardNames) {
	for i, tag := range shardTags {
		// Records are many, so what is in front of each is short.
		p := namespace + ":{" + tag + "}"
		all[i] = shardNames{records: p, state: p + ":state", keys: p + ":keys", due: p + ":due", ends: p + ":ends"}
	}
	return all
}

// recordName cannot be one of the other names, whatever the key is: those go on with a colon.
func (n *shardNames) recordName(key string) string { return n.records + "/" + key }

// mark is new with every writing of a record. By it a write tells whether the record is still what was read, and whether
// a write of its own, whose answer was lost, has happened.
type mark string

const markSize = 16

func newMark() mark {
	raw := make([]byte, markSize)
	_, _ = rand.Read(raw) // it does not fail (crypto/rand)
	return mark(raw)
}

// A record in Redis: mark, length of the key, key, and what a record in a file is (boltrecord.go). A deleted one ends
// after the key and stays for a while: the mark of the writing that deleted it has to be somewhere.
const keyLengthSize = 2

var (
	errMisplaced = errors.New("store: Redis answered with the record of another key; the connection is given up")
	errTruncated = errors.New("a record is too short")
)

func encodeMarked(m mark, key string, r Record) []byte {
	raw := make([]byte, 0, markSize+keyLengthSize+len(key)+headerSize+len(r.Value))
	raw = append(raw, m...)
	raw = binary.BigEndian.AppendUint16(raw, uint16(len(key))) // checkKey: at most 4096
	raw = append(raw, key...)
	if r.Value == nil {
		return raw
	}
	return append(raw, encode(key, r)...)
}

// decodeMarked gives a record that shares no memory with raw. An empty raw is no record, and has no mark.
func decodeMarked(key, raw string) (Record, mark, error) {
	if raw == "" {
		return Record{}, "", nil
	}
	if len(raw) < markSize+keyLengthSize {
		return Record{}, "", fmt.Errorf("%w: %w", ErrDamaged, errTruncated)
	}
	m, rest := mark(raw[:markSize]), raw[markSize:]
	length := int(binary.BigEndian.Uint16([]byte(rest[:keyLengthSize])))
	rest = rest[keyLengthSize:]
	if !strings.HasPrefix(rest, key) || length != len(key) {
		return Record{}, "", errMisplaced
	}
	if len(rest) == len(key) {
		return Record{}, m, nil
	}
	r, err := decode(key, []byte(rest[len(key):]))
	if err != nil {
		return Record{}, "", fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, m, nil
}

const (
	// deletedFor is how long a deleted record is remembered: far beyond any retry of its writing.
	deletedFor = time.Minute
	// expireLag is how long Redis keeps a record beyond its end. Nobody sees it any more (visible), but the clocks of
	// nodes and Redis differ, and one whose clock is late must not lose a count before its end.
	expireLag = 10 * time.Minute
	// longest is what Redis is told to count down. A record that ends later, in the year 9999 say, is kept until then by
	// nobody but itself.
	longest = 100 * 365 * 24 * time.Hour
)

// epochSize is the length of an epoch, and where the number of changes begins in a state.
const epochSize = 16

// writeScript replaces a record, unless it or the store is another one by now. Run again with the same new mark it does
// the same once more, and says so: that makes it safe to send again when an answer was lost, and it is a write each time,
// for which WAIT can wait.
//
// A record that is not there although the index has it was not deleted by us, and had no end: Redis has evicted it, or
// somebody has deleted it by hand. Its person would look new, and get a new grace; so it is not written as a new one. The
// index always holds the empty name, which no record has: where it is gone, the part of the store is as good as gone, too.
//
// All its keys are of one shard. Nothing is written before everything was checked, and the first write is the one that a
// full Redis refuses, so there are no half changes.
const writeScript = `
local record, state, keys, due, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local epoch, old, new, value, ttl, member, dueAt, endsAt, channel, node = unpack(ARGV)
local now = redis.call('GET', state)
if not now or string.sub(now, 1, 16) ~= epoch then return 'other store' end
local mark = redis.call('GETRANGE', record, 0, 15)
if mark ~= old and mark ~= new then return 'changed' end
local kept = string.byte(value, 17) * 256 + string.byte(value, 18) + 18 < #value
if mark == '' and kept then
  if now ~= epoch .. '0' and redis.call('EXISTS', keys) == 0 then
    redis.call('DEL', state)
    return 'other store'
  end
  if redis.call('ZSCORE', keys, member) and not redis.call('ZSCORE', ends, member) then return 'gone' end
end
if ttl == '' then redis.call('SET', record, value) else redis.call('SET', record, value, 'PX', ttl) end
if now == epoch .. '0' then redis.call('ZADD', keys, 0, '') end
if kept then redis.call('ZADD', keys, 0, member) else redis.call('ZREM', keys, member) end
if dueAt ~= '' then redis.call('ZADD', due, dueAt, member) else redis.call('ZREM', due, member) end
if endsAt ~= '' then redis.call('ZADD', ends, endsAt, member) else redis.call('ZREM', ends, member) end
local count = string.format('%.0f', tonumber(string.sub(now, 17)) + 1)
redis.call('SET', state, epoch .. count)
redis.call('PUBLISH', channel, count .. ' ' .. node .. ' ' .. member)
return 'done'
`

// sweepScript takes a record that is not there out of the indexes: Redis has let it expire, or it is given up.
const sweepScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('ZREM', KEYS[4], ARGV[1])
`

// readyScript ends the beginning of a new store: see Redis.begin.
const readyScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. '?' then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. '0')
return 1
`

// millis is a moment as a score of an index. It is cut, so that nothing is listed late.
func millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
