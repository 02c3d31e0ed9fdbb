package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Unfit means that a store can be reached and must not be used as it is.
type Unfit struct{ Problem, Remedy string }

func (u *Unfit) Error() string { return u.Problem + "; " + u.Remedy }

// Note is something that an operator should know of a store that is used: a promise that it does not keep.
type Note struct{ Text, Remedy string }

// RedisRights are the commands that a Redis user needs (ACL SETUSER), besides the keys and the channel.
const RedisRights = "+get +mget +set +getrange +exists +zadd +zrem +zrange +zscore +eval +evalsha +wait +publish +subscribe +unsubscribe " +
	"+ping +hello +auth +select +asking +command +info +config|get +cluster|slots"

// oldestRedis knows all commands that are used (ZRANGE with BYSCORE and BYLEX).
var oldestRedis = [2]int{6, 2}

// examine looks at every master. An *Unfit says that it must not be used; any other error, that it cannot be told now.
func (r *Redis) examine(ctx context.Context) error {
	var notes []Note
	err := r.wired().masters(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx).Result()
		if err != nil {
			return err
		}
		fields := parseInfo(text)
		if unfit := r.config.unfitness(fields); unfit != nil {
			return unfit
		}
		notes = append(notes, durability(fields, setting(ctx, c, "appendfsync"), setting(ctx, c, "save"))...)
		return nil
	})
	if err != nil {
		return r.config.explain(err)
	}
	r.noted.set(notes, r)
	return nil
}

// setting is one line of the server's configuration. Some services do not show it.
func setting(ctx context.Context, c *redis.Client, name string) string {
	all, err := c.ConfigGet(ctx, name).Result()
	if err != nil {
		return "unknown"
	}
	return all[name]
}

// Durability tells which promises this Redis does not keep, as far as was seen when it was last looked at.
func (r *Redis) Durability() []Note {
	r.noted.mu.Lock()
	defer r.noted.mu.Unlock()
	return slices.Clone(r.noted.last)
}

// noted remembers what was said, so that it is said once.
type noted struct {
	mu   sync.Mutex
	last []Note
}

func (n *noted) set(notes []Note, r *Redis) {
	slices.SortFunc(notes, func(a, b Note) int { return strings.Compare(a.Text, b.Text) })
	notes = slices.Compact(notes)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, note := range notes {
		if !slices.Contains(n.last, note) {
			r.config.Log.Warn("Redis: "+note.Text, "remedy", note.Remedy)
		}
	}
	n.last = notes
}

// unfitness says why a server must not be used.
func (c *RedisConfig) unfitness(f info) *Unfit {
	switch {
	case f["redis_mode"] == "sentinel":
		return &Unfit{"this is a Sentinel, not a server that keeps data", "write: store redis sentinel NAME redis://…"}
	case c.Cluster != (f["redis_mode"] == "cluster") && c.Cluster:
		return &Unfit{"this server is no node of a Redis Cluster", "write: store redis redis://…"}
	case c.Cluster != (f["redis_mode"] == "cluster"):
		return &Unfit{"this server is a node of a Redis Cluster", "write: store redis cluster redis://…"}
	case f["role"] == "slave" && c.Master == "" && !c.Cluster:
		return &Unfit{"this server is a replica of " + f["master_host"] + ", so nothing can be written to it", "name its master, or Sentinels: store redis sentinel NAME redis://…"}
	case older(f["redis_version"], oldestRedis):
		return &Unfit{"this is Redis " + f["redis_version"], fmt.Sprintf("use Redis %d.%d or newer", oldestRedis[0], oldestRedis[1])}
	case f["maxmemory_policy"] != "" && f["maxmemory_policy"] != "noeviction":
		return &Unfit{"Redis deletes data when its memory is full (maxmemory-policy " + f["maxmemory_policy"] + "): people would lose what they proved, and limits their counts",
			"set maxmemory-policy noeviction"}
	}
	return nil
}

func older(version string, least [2]int) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA != nil || errB != nil || a < least[0] || a == least[0] && b < least[1]
}

// explain turns what a Redis answers to a wrong configuration into words. Other errors stay as they are: they may pass.
func (c *RedisConfig) explain(err error) error {
	var unfit *Unfit
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unfit):
		return err
	case redis.IsAuthError(err):
		return &Unfit{"Redis does not let us in: " + err.Error(), "look at user and password in the URL, or the words username and password"}
	case redis.IsPermissionError(err):
		return &Unfit{"the Redis user may not do what is needed: " + err.Error(),
			fmt.Sprintf("give it: ~%[1]s:* &%[1]s:* %s", c.Namespace, RedisRights)}
	case errors.As(err, &certificate):
		return &Unfit{"the certificate of Redis is not accepted: " + certificate.Err.Error(), "name the authority that made it with the word ca, or the host as it is in the certificate"}
	case c.Master != "" && errors.Is(err, redis.Nil):
		return &Unfit{fmt.Sprintf("the Sentinels know no master called %q", c.Master), "look at \"sentinel monitor\" in their configuration"}
	case c.Cluster && strings.Contains(err.Error(), "cluster support disabled"):
		return &Unfit{"this server is no node of a Redis Cluster", "write: store redis redis://…"}
	}
	return fmt.Errorf("store: reaching Redis: %w", err)
}

// durability says what a server does not keep. See P3 and P5 of security.md.
func durability(f info, appendfsync, save string) []Note {
	var notes []Note
	keepsFile := f["aof_enabled"] == "1"
	if !keepsFile && save == "" {
		notes = append(notes, Note{"nothing is written to disk: a restart of Redis empties the store", "set appendonly yes"})
	}
	if f.replicas() == 0 && (!keepsFile || appendfsync != "always") {
		notes = append(notes, Note{"no replica is in sync and not every write is on disk (appendonly, appendfsync always): when the server dies, a confirmation that was shown to a person may be lost (P5), and a code may be guessed at more often (P3)",
			"add a replica, or set appendonly yes and appendfsync always"})
	}
	return notes
}
