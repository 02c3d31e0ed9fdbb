package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// tendEvery is how often the servers are looked at: how many replicas there are, and whether changes were missed.
	tendEvery = time.Second
	// examineEvery is how often settings are looked at, and what has expired is swept, in rounds of tendEvery.
	examineEvery = 5
	// silence is how long the channel for changes may say nothing before it is asked whether it is still there.
	silence = 2 * time.Second
)

// tendServers watches over the servers until the store is closed.
func (r *Redis) tendServers(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !r.working() {
			continue // calls open it, or an operator adopts it
		}
		r.tendOnce(ctx, round)
	}
}

func (r *Redis) working() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready && !r.other
}

// tendOnce is one round. What fails is tried in the next one: callers have the same trouble, and say so.
func (r *Redis) tendOnce(ctx context.Context, round int) {
	ctx, cancel := context.WithTimeout(ctx, tendEvery)
	defer cancel()
	r.tendChanges(ctx)
	r.tendRole(r.wired().masters(ctx, r.copies.count))
	if round%examineEvery == examineEvery-1 {
		err := r.examine(ctx)
		var unfit *Unfit
		if err == nil || errors.As(err, &unfit) {
			r.setProblem(unfit)
		}
		if !r.reading {
			_ = r.sweep(ctx)
		}
	}
}

// InUse counts the processes that listen for changes: gates that run on this store.
func (r *Redis) InUse(ctx context.Context) (int, error) {
	release, err := r.borrow()
	if err != nil {
		return 0, err
	}
	defer release()
	total := 0
	err = r.wired().masters(ctx, func(ctx context.Context, c *redis.Client) error {
		n, err := c.PubSubNumSub(ctx, r.channel()).Result()
		total += int(n[r.channel()])
		return err
	})
	return total, err
}

// errDemoted: the server that we write to has become a replica.
var errDemoted = errors.New("store: this Redis is a replica now")

// tendRole keeps anybody from reading what a replica has: it may be old. Connections that were there before a failover
// could still lead to one. Nodes of a Cluster send us on by themselves.
func (r *Redis) tendRole(err error) {
	demoted := errors.Is(err, errDemoted) && !r.config.Cluster
	switch {
	case demoted:
		r.setProblem(&Unfit{"this Redis has become a replica", "make it, or another one, a master; that is looked for every second"})
		r.reconnect() // Sentinels know a new master
	case r.demoted && err == nil:
		r.setProblem(nil)
	}
	r.demoted = demoted || r.demoted && err != nil
}

func (r *Redis) setProblem(unfit *Unfit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = nil
	if unfit != nil {
		r.problem = unfit
	}
}

// changes counts along with the shards, so that it is known when the channel has lost something. It may: a Cluster passes
// messages on from node to node and drops them when a link is down, and a subscription that hangs looks like one on which
// nothing happens.
type changes struct {
	mu sync.Mutex
	// fresh: the channel was not listened to all the time since the last look at a shard. known: there was one.
	fresh, known [shardCount]bool
	// heard is the number of the last change of each shard that was heard of.
	heard [shardCount]int64
	// wasHeard and was are heard and the true number at the last look. What was true then must have been heard by now.
	wasHeard, was [shardCount]int64
}

// tendChanges looks whether the store is still the same, and whether changes were missed: if so, whoever watches is told
// to believe nothing any more.
func (r *Redis) tendChanges(ctx context.Context) {
	states, silent := r.states(ctx)
	epoch := r.pinned()
	var counts [shardCount]int64
	for i, state := range states {
		switch {
		case silent[i] != nil:
			counts[i] = notTold
		case epochOf(state) != epoch:
			r.seenOther(epoch)
			return
		default:
			counts[i], _ = strconv.ParseInt(state[epochSize:], 10, 64)
		}
	}
	if r.changes.missed(counts) {
		r.watchers.tell("", r.config.Log)
	}
}

// notTold stands for the number of a shard that did not answer.
const notTold = -1

// missed compares what was heard with what is true.
func (c *changes) missed(counts [shardCount]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	missed := false
	for i, n := range counts {
		if n == notTold {
			continue
		}
		// A number below one that was heard: a master died and took changes along that had been told.
		if c.heard[i] < c.was[i] || n < c.wasHeard[i] || (c.fresh[i] || !c.known[i]) && c.heard[i] != n {
			missed = true
			c.heard[i] = n
		}
		c.was[i], c.wasHeard[i] = n, c.heard[i]
		c.fresh[i], c.known[i] = false, true
	}
	return missed
}

// note takes one message of the channel.
func (c *changes) note(shard int, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// With a gap heard stays behind, until missed finds out.
	if n == c.heard[shard]+1 {
		c.heard[shard] = n
	}
}

func (c *changes) deaf() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.fresh {
		c.fresh[i] = true
	}
}

// listen hears of the changes of other processes as long as somebody watches.
func (r *Redis) listen(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-r.watched:
	}
	for ctx.Err() == nil {
		r.listenOnce(ctx)
		r.changes.deaf()
		_ = sleep(ctx, retryRedis)
	}
}

// listenOnce is one subscription, until it breaks.
func (r *Redis) listenOnce(ctx context.Context) {
	channel := r.wired().subscribe(ctx, r.channel())
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() }) // a read knows no context
	defer func() {
		if stop() {
			_ = channel.Close()
		}
	}()
	for pinged := false; ; {
		message, err := channel.ReceiveTimeout(ctx, silence)
		switch {
		case err == nil:
			pinged = false
			r.hear(message)
		case isTimeout(err) && !pinged && channel.Ping(ctx) == nil:
			pinged = true
		default:
			return
		}
	}
}

func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}

// hear takes what a subscription says: that it has begun, or "NUMBER NODE KEY".
func (r *Redis) hear(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		r.changes.deaf() // until now
	case *redis.Message:
		number, rest, _ := strings.Cut(m.Payload, " ")
		node, key, ok := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || !ok || key == "" {
			return
		}
		r.changes.note(shardOf(key), n)
		if node != r.node {
			r.watchers.tell(key, r.config.Log)
		}
	}
}

// copies knows how many replicas each master has that keep up with it.
type copies struct {
	mu    sync.Mutex
	known map[string]int
}

// lagging is how many seconds a replica may be silent. It reports every second.
const lagging = 2

// expected tells whether a write to this server has to wait for a replica. An unknown server, the new master after a
// failover, is asked; one that does not tell has some.
func (c *copies) expected(ctx context.Context, client *redis.Client) bool {
	if n, ok := c.of(client); ok {
		return n > 0
	}
	if c.count(ctx, client) != nil {
		return true
	}
	n, _ := c.of(client)
	return n > 0
}

func (c *copies) of(client *redis.Client) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.known[client.Options().Addr]
	return n, ok
}

func (c *copies) count(ctx context.Context, client *redis.Client) error {
	text, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	fields := parseInfo(text)
	if fields["role"] == "slave" {
		return errDemoted
	}
	n := fields.replicas()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]int{}
	}
	c.known[client.Options().Addr] = n
	return nil
}

// info is what INFO says.
type info map[string]string

func parseInfo(text string) info {
	fields := info{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// replicas counts those that are in sync: "slave0:ip=…,state=online,offset=…,lag=0".
func (f info) replicas() int {
	n := 0
	for name, value := range f {
		number, ok := strings.CutPrefix(name, "slave")
		if _, err := strconv.Atoi(number); !ok || err != nil {
			continue
		}
		lag, online, begun := lagging+1, false, true
		for word := range strings.SplitSeq(value, ",") {
			if s, ok := strings.CutPrefix(word, "lag="); ok {
				lag, _ = strconv.Atoi(s)
			}
			online = online || word == "state=online"
			begun = begun && word != "offset=0" // it has been copied to, and may be silent for a second now
		}
		if online && begun && lag <= lagging {
			n++
		}
	}
	return n
}
