package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSlotsAreThoseOfARedisCluster(t *testing.T) {
	// From the specification of Redis Cluster, and CLUSTER KEYSLOT.
	for tag, slot := range map[string]int{"123456789": 12739, "foo": 12182, "bar": 5061} {
		if got := slotOf(tag); got != slot {
			t.Errorf("%q is in slot %d, want %d", tag, got, slot)
		}
	}
}

// Nodes that share the slots evenly share the records evenly.
func TestShardsLieEvenlyOverTheSlots(t *testing.T) {
	for i, tag := range shardTags {
		if at := slotOf(tag) / (slotCount / shardCount); at != i {
			t.Errorf("shard %d is where shard %d should be", i, at)
		}
	}
}

// TestKeysStayInTheirShard: where a record is must be the same in every version.
func TestKeysStayInTheirShard(t *testing.T) {
	names := namesOf("contactgate")
	for key, name := range map[string]string{
		"m/store":                  "contactgate:{20}/m/store",
		"a/AAAAAAAAAAAAAAAAAAAAAA": "contactgate:{11}/a/AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if got := names[shardOf(key)].recordName(key); got != name {
			t.Errorf("%q is %q, want %q", key, got, name)
		}
	}
}

func TestRecordOfAnotherKeyIsNotTakenForOurs(t *testing.T) {
	raw := string(encodeMarked(newMark(), "a/1", Record{Value: []byte("v")}))
	if _, _, err := decodeMarked("a/1", raw); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/2", "a/", "a", "a/11", "b"} {
		if _, _, err := decodeMarked(key, raw); !errors.Is(err, errMisplaced) {
			t.Errorf("%q: %v", key, err)
		}
	}
	if _, _, err := decodeMarked("a/1", raw[:len(raw)-1]+"w"); !errors.Is(err, ErrDamaged) {
		t.Errorf("another value: %v", err)
	}
	for n := 1; n < len(raw); n++ {
		r, _, err := decodeMarked("a/1", raw[:n])
		if err == nil && n != markSize+keyLengthSize+3 { // there it is a deleted one
			t.Errorf("the first %d bytes are %+v", n, r)
		}
	}
}

func TestDeletedRecordKeepsItsMark(t *testing.T) {
	m := newMark()
	r, got, err := decodeMarked("k", string(encodeMarked(m, "k", Record{})))
	if err != nil || got != m || r.Value != nil {
		t.Errorf("%+v, %q, %v", r, got, err)
	}
}

func TestMissedChangesAreFoundByCounting(t *testing.T) {
	var c changes
	counts := [shardCount]int64{3: 7}
	look := func(what string, want bool) {
		t.Helper()
		if got := c.missed(counts); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	look("the first look, with changes before it", true)
	look("nothing happened", false)
	c.note(3, 8)
	counts[3] = 8
	look("one change, heard of", false)
	counts[3] = 9
	look("one that may be on its way", false)
	c.note(3, 9)
	look("it came", false)
	counts[3] = 10
	look("another one", false)
	look("it did not come within a round", true)
	look("and is known now", false)
	c.note(3, 11)
	look("heard of before the number was read", false)
	look("a number that went back: a master died with a change that was told", true)
	c.note(3, 12)
	c.note(3, 13) // 11 is the next
	counts[3] = 13
	look("a gap", false)
	look("a gap, a round later", true)
	counts[3] = 14
	c.deaf()
	look("nobody listened", true)
	counts[3] = notTold
	look("a part that is away", false)
	counts[3] = 14
	look("it is back, and nothing happened", false)
	counts[3], counts[9] = 15, 1
	c.note(9, 1)
	look("two shards", false)
	c.note(3, 15)
	look("both heard of", false)
}

func TestRedisThatMustNotBeUsed(t *testing.T) {
	good := func() info {
		return parseInfo("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n")
	}
	for name, tt := range map[string]struct {
		change  func(f info, c *RedisConfig)
		problem string // empty: it is fine
		remedy  string
	}{
		"as it should be":              {func(info, *RedisConfig) {}, "", ""},
		"the oldest":                   {func(f info, _ *RedisConfig) { f["redis_version"] = "6.2.0" }, "", ""},
		"too old":                      {func(f info, _ *RedisConfig) { f["redis_version"] = "6.0.16" }, "Redis 6.0.16", "6.2 or newer"},
		"much newer":                   {func(f info, _ *RedisConfig) { f["redis_version"] = "10.0.1" }, "", ""},
		"no version":                   {func(f info, _ *RedisConfig) { f["redis_version"] = "" }, "this is Redis", "6.2"},
		"evicts anything":              {func(f info, _ *RedisConfig) { f["maxmemory_policy"] = "allkeys-lru" }, "allkeys-lru", "noeviction"},
		"evicts what expires":          {func(f info, _ *RedisConfig) { f["maxmemory_policy"] = "volatile-ttl" }, "volatile-ttl", "noeviction"},
		"a replica":                    {func(f info, _ *RedisConfig) { f["role"], f["master_host"] = "slave", "10.0.0.7" }, "replica of 10.0.0.7", "name its master"},
		"a replica, Sentinels know":    {func(f info, c *RedisConfig) { f["role"], c.Master = "slave", "accounts" }, "", ""},
		"a Sentinel":                   {func(f info, _ *RedisConfig) { f["redis_mode"] = "sentinel" }, "Sentinel", "store redis sentinel"},
		"a node of a Cluster":          {func(f info, _ *RedisConfig) { f["redis_mode"] = "cluster" }, "node of a Redis Cluster", "store redis cluster"},
		"a node, and it is known":      {func(f info, c *RedisConfig) { f["redis_mode"], c.Cluster = "cluster", true }, "", ""},
		"a lone server for a Cluster":  {func(_ info, c *RedisConfig) { c.Cluster = true }, "no node", "store redis redis://"},
		"Valkey, which says who it is": {func(f info, _ *RedisConfig) { f["redis_version"], f["server_name"] = "7.2.4", "valkey" }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, c := good(), &RedisConfig{}
			tt.change(f, c)
			u := c.unfitness(f)
			switch {
			case tt.problem == "" && u != nil:
				t.Errorf("refused: %v", u)
			case tt.problem != "" && (u == nil || !strings.Contains(u.Problem, tt.problem) || !strings.Contains(u.Remedy, tt.remedy)):
				t.Errorf("got %v", u)
			}
		})
	}
}

func TestWhatRedisDoesNotKeepIsSaid(t *testing.T) {
	const inSync, hanging = "ip=10.0.0.2,port=6379,state=online,offset=14,lag=1", "ip=10.0.0.2,port=6379,state=online,offset=14,lag=9"
	for name, tt := range map[string]struct {
		aof, fsync, save, replica string
		want                      []string
	}{
		"in memory only":           {"0", "everysec", "", "", []string{"nothing is written to disk", "(P5)"}},
		"snapshots":                {"0", "everysec", "3600 1", "", []string{"(P5)"}},
		"a file, now and then":     {"1", "everysec", "", "", []string{"(P5)"}},
		"a file, always":           {"1", "always", "", "", nil},
		"always, but no file":      {"0", "always", "3600 1", "", []string{"(P5)"}},
		"a replica":                {"1", "everysec", "", inSync, nil},
		"a replica in memory":      {"0", "everysec", "", inSync, []string{"nothing is written to disk"}},
		"a replica that begins":    {"1", "everysec", "", "ip=10.0.0.2,port=6379,state=online,offset=0,lag=0", []string{"(P5)"}},
		"a replica that hangs":     {"1", "everysec", "", hanging, []string{"(P5)"}},
		"a service that is silent": {"1", "unknown", "unknown", "", []string{"(P5)"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := info{"aof_enabled": tt.aof}
			if tt.replica != "" {
				f["slave0"] = tt.replica
			}
			notes := durability(f, tt.fsync, tt.save)
			if len(notes) != len(tt.want) {
				t.Fatalf("got %q", notes)
			}
			for i, want := range tt.want {
				if !strings.Contains(notes[i].Text, want) || notes[i].Remedy == "" {
					t.Errorf("%q does not say %q", notes[i], want)
				}
			}
		})
	}
}

// A server that does not answer is not asked by everybody, and is used again as soon as one was answered.
func TestServerThatIsAwayIsProbedNotFlooded(t *testing.T) {
	var b breakers
	broken := errors.New("dial tcp: connection refused")
	calls := 0
	call := func(err error) error {
		return b.guard(t.Context(), "a:1", func() error { calls++; return err })
	}
	lost := &lostError{broken}
	for range awayAfter {
		if err := call(lost); !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	for range 1000 {
		if err := call(lost); !errors.Is(err, errAway) {
			t.Fatal(err)
		}
	}
	if calls != awayAfter {
		t.Errorf("%d calls went to a server that is away", calls)
	}
	if err := b.guard(t.Context(), "b:1", func() error { return nil }); err != nil {
		t.Errorf("another server: %v", err)
	}
	b.of("a:1").probe = time.Now()
	if err := call(nil); err != nil {
		t.Errorf("the probe: %v", err)
	}
	if err := call(nil); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

type lostError struct{ error }

func (e *lostError) Timeout() bool   { return true }
func (e *lostError) Temporary() bool { return true }
func (e *lostError) Unwrap() error   { return e.error }
