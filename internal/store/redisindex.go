package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Scan implements Store. Every shard has its keys in order; the first of all are found by merging.
func (r *Redis) Scan(ctx context.Context, prefix, after string, limit int) ([]Item, error) {
	release, err := r.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var items []Item
	for len(items) < limit {
		keys, err := r.keysAfter(ctx, prefix, after, limit-len(items))
		if err == nil {
			items, err = r.appendRecords(ctx, items, keys)
		}
		if err != nil {
			return nil, fmt.Errorf("store: listing records in Redis: %w", err)
		}
		if len(keys) == 0 {
			break
		}
		after = keys[len(keys)-1]
	}
	return items, nil
}

// keysAfter gives the first keys with a prefix behind a key. Some may belong to records that have expired, and the empty one
// to none (see writeScript).
func (r *Redis) keysAfter(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	from := "[" + prefix
	if after >= prefix {
		from = "(" + after
	}
	chunk := limit/shardCount*2 + 8
	ask := map[int]string{}
	for i := range shardCount {
		ask[i] = from
	}
	var keys []string
	last := map[int]string{} // of shards that may have more
	for len(ask) > 0 {
		more, err := r.lexRanges(ctx, ask, endOf(prefix), chunk)
		if err != nil {
			return nil, err
		}
		clear(last)
		for i, list := range more {
			keys = append(keys, list...)
			if len(list) == chunk {
				last[i] = list[chunk-1]
			}
		}
		slices.Sort(keys)
		keys = keys[:min(len(keys), limit)]
		clear(ask)
		for i, key := range last {
			// What it has not told comes behind key, and may belong before the end of what we have.
			if len(keys) < limit || key < keys[limit-1] {
				ask[i] = "(" + key
			}
		}
	}
	return keys, nil
}

// endOf is behind all keys with a prefix, for ZRANGE.
func endOf(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return "(" + prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "+"
}

func (r *Redis) lexRanges(ctx context.Context, from map[int]string, to string, count int) (map[int][]string, error) {
	pipe := r.wired().pipeline()
	asked := map[int]*redis.StringSliceCmd{}
	for i, start := range from {
		asked[i] = pipe.ZRangeArgs(ctx, redis.ZRangeArgs{Key: r.names[i].keys, Start: start, Stop: to, ByLex: true, Count: int64(count)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	lists := map[int][]string{}
	for i, cmd := range asked {
		lists[i] = cmd.Val()
	}
	return lists, nil
}

func (r *Redis) appendRecords(ctx context.Context, items []Item, keys []string) ([]Item, error) {
	if len(keys) == 0 {
		return items, nil
	}
	epoch, now := r.pinned(), r.config.Now()
	pipe := r.wired().pipeline()
	asked := make([]*redis.SliceCmd, len(keys))
	for i, key := range keys {
		n := &r.names[shardOf(key)]
		asked[i] = pipe.MGet(ctx, n.recordName(key), n.state)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for i, key := range keys {
		if epochOf(text(asked[i].Val(), 1)) != epoch {
			r.seenOther(epoch)
			return nil, ErrOther
		}
		record, _, err := decodeMarked(key, text(asked[i].Val(), 0))
		if err != nil {
			return nil, err
		}
		if record = visible(record, now); record.Value != nil {
			items = append(items, Item{key, record})
		}
	}
	return items, nil
}

// Due implements Store. A record that has expired may be listed until it is swept.
func (r *Redis) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	release, err := r.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	pipe := r.wired().pipeline()
	var asked [shardCount]*redis.ZSliceCmd
	for i := range asked {
		asked[i] = pipe.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: r.names[i].due, Start: "-inf", Stop: millis(now), ByScore: true, Count: int64(limit)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("store: asking Redis what is due: %w", err)
	}
	var all []redis.Z
	for _, cmd := range asked {
		all = append(all, cmd.Val()...)
	}
	slices.SortFunc(all, func(a, b redis.Z) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), strings.Compare(fmt.Sprint(a.Member), fmt.Sprint(b.Member)))
	})
	var keys []string
	for _, z := range all[:min(len(all), limit)] {
		keys = append(keys, fmt.Sprint(z.Member))
	}
	return keys, nil
}

// sweepLimitRedis bounds what is swept from one shard in one go.
const sweepLimitRedis = 100

// sweep takes records that Redis has let expire out of the indexes. Redis deletes them by itself, but tells nobody in a
// way that could be relied on.
func (r *Redis) sweep(ctx context.Context) error {
	pipe := r.wired().pipeline()
	var asked [shardCount]*redis.StringSliceCmd
	for i := range asked {
		asked[i] = pipe.ZRangeArgs(ctx, redis.ZRangeArgs{Key: r.names[i].ends, Start: "-inf", Stop: millis(r.config.Now().Add(-expireLag)), ByScore: true, Count: sweepLimitRedis})
	}
	_, err := pipe.Exec(ctx)
	for _, cmd := range asked {
		for _, key := range cmd.Val() {
			err = errors.Join(err, r.forget(ctx, key))
		}
	}
	return err
}

// forget takes a record that is not there out of the indexes.
func (r *Redis) forget(ctx context.Context, key string) error {
	shard := shardOf(key)
	n := &r.names[shard]
	words := scriptWords("eval", sweepScript, []string{n.recordName(key), n.keys, n.due, n.ends}, []any{key})
	return r.ask(ctx, shard, func(ctx context.Context, s server) error { return s.run(ctx, redis.NewCmd(ctx, words...)) })
}
