package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// go-redis writes every failed dial to standard error. What matters comes back as an error.
func init() { logging.Disable() }

// How long Redis may take. All of it is below a request's patience of 500 ms for one call (security.md, limits), which
// ends a call earlier.
const (
	dialPatience  = 300 * time.Millisecond
	replyPatience = 400 * time.Millisecond
	// copyPatience is how long a replica may take to confirm a write; the answer has to come within replyPatience.
	copyPatience = 250 * time.Millisecond
)

const (
	// mostTries bounds how often one call is sent, the first time included.
	mostTries = 8
	// firstPause is before the second try; each is twice as long as the one before.
	firstPause = 5 * time.Millisecond
	// mostWires bounds the connections to one server. More requests than that wait for one, which also keeps all of them
	// from falling upon a server that is just back.
	mostWires = 64
)

// wires are all connections of a store.
type wires struct {
	config *RedisConfig
	// One of them is set. In a Cluster the client is asked for the node of a key, and never to run a command of one: it
	// would follow redirects and send anew by rules of its own, and WAIT belongs on the connection of its write.
	single  *redis.Client
	cluster *redis.ClusterClient

	mu        sync.Mutex
	strangers map[string]*redis.Client // nodes that were named in a redirect
}

// server is one Redis server for one call. After ASK it has to be told that we were sent.
type server struct {
	client *redis.Client
	asking bool
}

func newWires(c *RedisConfig) *wires {
	w := &wires{config: c, strangers: map[string]*redis.Client{}}
	switch {
	case c.Cluster:
		w.cluster = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: c.Addresses, Username: c.Username, Password: c.Password, TLSConfig: c.TLS, Dialer: c.Dial,
			Protocol: 2, MaxRetries: -1, MaxRedirects: 3, ContextTimeoutEnabled: true, DisableIdentity: true,
			DialTimeout: dialPatience, DialerRetries: 1, ReadTimeout: replyPatience, WriteTimeout: replyPatience,
			PoolSize: mostWires, PoolTimeout: replyPatience, PipelinePoolSize: -1, ClusterStateReloadInterval: time.Second,
			DisableRoutingPolicies: true, MaintNotificationsConfig: noMaintenance,
		})
	case c.Master != "":
		w.single = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: c.Master, SentinelAddrs: c.Addresses, SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
			Username: c.Username, Password: c.Password, DB: c.Database, TLSConfig: c.TLS, Dialer: c.Dial,
			Protocol: 2, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
			DialTimeout: dialPatience, DialerRetries: 1, ReadTimeout: replyPatience, WriteTimeout: replyPatience,
			PoolSize: mostWires, PoolTimeout: replyPatience, PipelinePoolSize: -1,
		})
	default:
		w.single = w.dial(c.Addresses[0])
	}
	return w
}

// noMaintenance: the notices that it turns off are for one vendor's service, and come in between answers. Sentinel clients
// have none.
var noMaintenance = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func (w *wires) dial(address string) *redis.Client {
	c := w.config
	return redis.NewClient(&redis.Options{
		Addr: address, Username: c.Username, Password: c.Password, DB: c.Database, TLSConfig: c.TLS, Dialer: c.Dial,
		Protocol: 2, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
		DialTimeout: dialPatience, DialerRetries: 1, ReadTimeout: replyPatience, WriteTimeout: replyPatience,
		PoolSize: mostWires, PoolTimeout: replyPatience, PipelinePoolSize: -1, MaintNotificationsConfig: noMaintenance,
	})
}

// of gives the server that has a key, as far as is known: always a master.
func (w *wires) of(ctx context.Context, key string) (*redis.Client, error) {
	if w.cluster == nil {
		return w.single, nil
	}
	return w.cluster.MasterForKey(ctx, key)
}

// named gives the server that a redirect names. A node that is only getting its first slots is not in the Cluster's list
// yet, so these have connections of their own.
func (w *wires) named(address string) *redis.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.strangers[address]
	if c == nil {
		c = w.dial(address)
		w.strangers[address] = c
	}
	return c
}

// masters runs fn with every master, one after the other.
func (w *wires) masters(ctx context.Context, fn func(context.Context, *redis.Client) error) error {
	if w.cluster == nil {
		return fn(ctx, w.single)
	}
	var one sync.Mutex
	return w.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		one.Lock()
		defer one.Unlock()
		return fn(ctx, c)
	})
}

// pipeline is for reads over all shards. The library may send those again.
func (w *wires) pipeline() redis.Pipeliner {
	if w.cluster == nil {
		return w.single.Pipeline()
	}
	return w.cluster.Pipeline()
}

func (w *wires) subscribe(ctx context.Context, channel string) *redis.PubSub {
	if w.cluster == nil {
		return w.single.Subscribe(ctx, channel)
	}
	return w.cluster.Subscribe(ctx, channel)
}

func (w *wires) close(log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	if w.cluster != nil {
		errs = append(errs, w.cluster.Close())
	} else {
		errs = append(errs, w.single.Close())
	}
	for _, c := range w.strangers {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil {
		log.Warn("closing connections to Redis", "error", err)
	}
}

// connect makes the wires, and begins to watch over the servers. It is called with mu held.
func (r *Redis) connect() {
	if r.wires == nil {
		r.wires = newWires(&r.config)
	}
	if r.tend == nil {
		ctx, stop := context.WithCancel(context.Background())
		r.tend = stop
		r.tended.Go(func() { r.tendServers(ctx) })
		r.tended.Go(func() { r.listen(ctx) })
	}
}

// reconnect gives up all connections: the answers that one of them holds are in the wrong order.
func (r *Redis) reconnect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.wires
	if r.closed || old == nil {
		return
	}
	r.wires = newWires(&r.config)
	r.tended.Go(func() { old.close(r.config.Log) })
}

func (r *Redis) wired() *wires {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wires
}

// ask sends one call to the server that has a shard, and again where that is right: after a redirect, and after a refusal
// or a broken connection, with pauses. do must bear to be run again after an error of which mayHaveRun is true.
func (r *Redis) ask(ctx context.Context, shard int, do func(context.Context, server) error) error {
	w := r.wired()
	var to server
	for try := 1; ; try++ {
		err := error(nil)
		if to.client == nil {
			to.client, err = w.of(ctx, r.names[shard].state)
		}
		if err == nil {
			err = r.away.guard(ctx, to.client.Options().Addr, func() error { return do(ctx, to) })
		}
		if err == nil || try == mostTries || ctx.Err() != nil || errors.Is(err, errAway) {
			return err
		}
		if to = w.redirected(ctx, err); to.client != nil {
			continue
		}
		if !passes(err) {
			return err
		}
		if sleep(ctx, firstPause<<(try-1)) != nil {
			return err // the cause tells more than that time is up
		}
	}
}

// redirected reads MOVED and ASK.
func (w *wires) redirected(ctx context.Context, err error) server {
	if w.cluster == nil {
		return server{}
	}
	if address, ok := redis.IsMovedError(err); ok {
		w.cluster.ReloadState(ctx)
		return server{client: w.named(address)}
	}
	if address, ok := redis.IsAskError(err); ok {
		return server{client: w.named(address), asking: true}
	}
	return server{}
}

// passes tells whether an error is one of a moment: a broken connection, or a server that is not, or no longer, or not
// yet, the one to ask.
func passes(err error) bool {
	if isRefusal(err) {
		for _, of := range []func(error) bool{redis.IsTryAgainError, redis.IsClusterDownError, redis.IsLoadingError, redis.IsReadOnlyError,
			redis.IsMasterDownError, redis.IsNoReplicasError, redis.IsMaxClientsError} {
			if of(err) {
				return true
			}
		}
		return false
	}
	return isBroken(err) || errors.Is(err, redis.ErrPoolTimeout)
}

// isRefusal tells that the server has answered, with an error: what it was told to do it has not done.
func isRefusal(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal)
}

// isBroken tells that no answer came, or none that could be read.
func isBroken(err error) bool {
	var netErr net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &netErr) || errors.Is(err, context.DeadlineExceeded)
}

// mayHaveRun tells that a call may have been carried out although it failed. Whatever is not known to have gone wrong
// before it was sent may have.
func mayHaveRun(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return !isRefusal(err) && !errors.Is(err, redis.ErrPoolTimeout) && !errors.Is(err, errAway)
}

// readPair reads two keys of one shard.
func (r *Redis) readPair(ctx context.Context, shard int, a, b string) (first, second string, err error) {
	apart := false
	err = r.ask(ctx, shard, func(ctx context.Context, s server) error {
		cmd := redis.NewSliceCmd(ctx, "mget", a, b)
		err := s.run(ctx, cmd)
		if apart = redis.IsTryAgainError(err); apart {
			return nil
		}
		first, second = text(cmd.Val(), 0), text(cmd.Val(), 1)
		return err
	})
	if err == nil && apart {
		// The slot is moving to another node, and one of them is there already. Alone each is found at once.
		first, err = r.readOne(ctx, shard, a)
		if err == nil {
			second, err = r.readOne(ctx, shard, b)
		}
	}
	return first, second, err
}

func (r *Redis) readOne(ctx context.Context, shard int, key string) (value string, err error) {
	err = r.ask(ctx, shard, func(ctx context.Context, s server) error {
		cmd := redis.NewStringCmd(ctx, "get", key)
		err := s.run(ctx, cmd)
		value = cmd.Val()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	return value, err
}

// text is one answer of MGET, empty when there is none.
func text(answers []any, i int) string {
	if i >= len(answers) {
		return ""
	}
	s, _ := answers[i].(string)
	return s
}

// run sends commands to the server in one go and gives the error of the first.
func (s server) run(ctx context.Context, commands ...redis.Cmder) error {
	if len(commands) == 1 && !s.asking {
		return s.client.Process(ctx, commands[0])
	}
	pipe := s.client.Pipeline()
	if s.asking {
		_ = pipe.Process(ctx, redis.NewStatusCmd(ctx, "asking"))
	}
	for _, c := range commands {
		_ = pipe.Process(ctx, c)
	}
	_, err := pipe.Exec(ctx)
	if first := commands[0].Err(); first != nil {
		return first
	}
	if err != nil && !isRefusal(err) {
		return err
	}
	return nil
}

var writing = redis.NewScript(writeScript)

// runWrite runs the script, sent whole when the server has forgotten it, and waits for a replica on the same connection.
func (r *Redis) runWrite(ctx context.Context, s server, keys []string, args []any) (string, error) {
	script := redis.NewCmd(ctx, scriptWords("evalsha", writing.Hash(), keys, args)...)
	err := r.runCopied(ctx, s, script)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		script = redis.NewCmd(ctx, scriptWords("eval", writeScript, keys, args)...)
		err = r.runCopied(ctx, s, script)
	}
	if err != nil {
		return "", err
	}
	return script.Text()
}

func scriptWords(command, script string, keys []string, args []any) []any {
	words := append(make([]any, 0, 3+len(keys)+len(args)), command, script, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	return append(words, args...)
}

// runCopied runs a command and, when there are replicas, waits until one of them has what it wrote (security.md, rule
// 13): a master that dies right after its answer must not take a confirmation along.
func (r *Redis) runCopied(ctx context.Context, s server, command redis.Cmder) error {
	if !r.copies.expected(ctx, s.client) {
		return s.run(ctx, command)
	}
	return r.waitForCopy(ctx, s, command)
}

func (r *Redis) waitForCopy(ctx context.Context, s server, command redis.Cmder) error {
	patience := copyPatience
	if end, ok := ctx.Deadline(); ok {
		patience = max(min(patience, time.Until(end)-20*time.Millisecond), time.Millisecond)
	}
	wait := redis.NewIntCmd(ctx, "wait", 1, patience.Milliseconds())
	if err := s.run(ctx, command, wait); err != nil {
		return err
	}
	if wait.Err() == nil && wait.Val() == 0 {
		if answer, ok := command.(*redis.Cmd); ok && answer.Val() != "done" {
			return nil // nothing was written
		}
		return errNoCopy
	}
	return wait.Err()
}

// errAway: a server has not answered of late.
var errAway = errors.New("store: Redis does not answer; it is tried again all the time")

const (
	// awayAfter is how many calls in a row have to fail before a server counts as away.
	awayAfter = 3
	// probeEvery is how often one call is let through to it then. The others fail at once, so that requests do not queue
	// up for a server that hangs, nor fall upon one that is just starting.
	probeEvery = 200 * time.Millisecond
)

// breakers are one for each server.
type breakers struct {
	mu  sync.Mutex
	all map[string]*breaker
}

type breaker struct {
	mu       sync.Mutex
	failures int
	probe    time.Time
}

// guard runs a call to a server, unless that is away.
func (b *breakers) guard(ctx context.Context, address string, call func() error) error {
	one := b.of(address)
	if !one.admits(time.Now()) {
		return errAway
	}
	began := time.Now()
	err := call()
	one.note(ctx, err, time.Since(began))
	return err
}

func (b *breakers) of(address string) *breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[address]
	if one == nil {
		one = new(breaker)
		if b.all == nil {
			b.all = map[string]*breaker{}
		}
		b.all[address] = one
	}
	return one
}

func (b *breaker) admits(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < awayAfter {
		return true
	}
	if now.Before(b.probe) {
		return false
	}
	b.probe = now.Add(probeEvery)
	return true
}

// note learns from a call. One that ended because its caller went away, or had no time left, says nothing.
func (b *breaker) note(ctx context.Context, err error, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil || isRefusal(err) || errors.Is(err, errNoCopy):
		b.failures = 0
	case errors.Is(ctx.Err(), context.Canceled) || !isBroken(err) || ctx.Err() != nil && took < replyPatience/2:
	default:
		if b.failures++; b.failures == awayAfter {
			b.probe = time.Now().Add(probeEvery)
		}
	}
}

// newName is unlike any other.
func newName() string {
	raw := make([]byte, epochSize/4*3)
	_, _ = rand.Read(raw) // it does not fail (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// epochOf is the epoch in a state, empty when there is none.
func epochOf(state string) string {
	if len(state) <= epochSize || strings.HasSuffix(state, "?") {
		return ""
	}
	return state[:epochSize]
}
