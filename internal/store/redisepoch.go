package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A Redis can be emptied while we use it: by FLUSHALL, by a master that starts without its file, by the loss of a node of
// a Cluster. All people would look new then, and get a new grace. So every shard carries the epoch of the store, a random
// name that is given once: every read asks for it along with the record, and every write is refused without it. There is
// no moment in which an emptied store is taken for the old one, and it costs no round trip.

// ErrPart means that some of the store is still there, and some is gone.
var ErrPart = errors.New("a part of the store is gone")

// Adopter is a Store that stops, with ErrOther, as soon as it is another one than it was.
type Adopter interface {
	// Peek is Get, whichever store it is now.
	Peek(ctx context.Context, key string) (Record, error)
	// Adopt goes on with the store as it is now. When it has lost a part (ErrPart) only with force.
	Adopt(ctx context.Context, force bool) error
}

// Peek implements Adopter.
func (r *Redis) Peek(ctx context.Context, key string) (Record, error) {
	release, err := r.borrow()
	if err != nil {
		return Record{}, err
	}
	defer release()
	shard := shardOf(key)
	raw, err := r.readOne(ctx, shard, r.names[shard].recordName(key))
	if err != nil {
		return Record{}, fmt.Errorf("store: reading from Redis: %w", err)
	}
	record, _, err := decodeMarked(key, raw)
	return visible(record, r.config.Now()), err
}

// Adopt implements Adopter.
func (r *Redis) Adopt(ctx context.Context, force bool) error {
	release, err := r.borrow()
	if err != nil {
		return err
	}
	defer release()
	err = r.examine(ctx)
	epoch := ""
	if err == nil {
		epoch, err = r.begin(ctx, force)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.epoch, r.other, r.problem, r.failed = true, epoch, false, nil, failure{}
	return nil
}

// borrow is acquire for what may be done with any store.
func (r *Redis) borrow() (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	r.connect()
	r.users++
	return r.release, nil
}

// begin finds the epoch of the store, and gives a new one its own.
//
// Nodes may do this at the same moment, and one may die in between. The first shard decides: whoever sets its state first
// names the epoch, with a "?" behind it; everybody then sets those of the others that are missing; when all are there the
// "?" goes, and from then on a missing one means a loss.
func (r *Redis) begin(ctx context.Context, force bool) (string, error) {
	for range 5 {
		states, silent := r.states(ctx)
		err := errors.Join(silent[:]...)
		if err != nil {
			return "", fmt.Errorf("store: looking at the store in Redis: %w", err)
		}
		epoch, missing := judge(states)
		switch {
		case r.reading && (epoch == "" || states[0] == epoch+"?"):
			return "", errors.New("store: there is no store in this Redis under this namespace")
		case epoch == "":
			err = r.setStates(ctx, []int{0}, newName()+"?", true)
		case states[0] == epoch+"?":
			err = r.setStates(ctx, missing, epoch+"0", true)
			if err == nil {
				err = r.endBeginning(ctx, epoch)
			}
		case len(missing) == 0:
			return epoch, nil
		case !force:
			return "", fmt.Errorf("%w: %d of its %d", ErrPart, len(missing), shardCount)
		default:
			r.config.Log.Warn("parts of the store are begun anew", "parts", len(missing))
			err = r.setStates(ctx, missing, epoch+"0", false)
		}
		if err != nil {
			return "", fmt.Errorf("store: beginning a store in Redis: %w", err)
		}
	}
	return "", errors.New("store: others begin this store anew all the time; look for what empties this Redis")
}

// judge finds the epoch, and the shards that do not have it. The first shard's is it, or, if that is gone, any.
func judge(states [shardCount]string) (epoch string, missing []int) {
	for _, s := range states {
		if epoch == "" && len(s) > epochSize {
			epoch = s[:epochSize]
		}
	}
	for i, s := range states {
		if len(s) <= epochSize || s[:epochSize] != epoch {
			missing = append(missing, i)
		}
	}
	return epoch, missing
}

// states reads what every shard says of itself, or why it says nothing: a part of a Cluster may be away.
func (r *Redis) states(ctx context.Context) (states [shardCount]string, silent [shardCount]error) {
	pipe := r.wired().pipeline()
	var asked [shardCount]*redis.StringCmd
	for i := range asked {
		asked[i] = pipe.Get(ctx, r.names[i].state)
	}
	_, _ = pipe.Exec(ctx) // each answer has its own error
	for i, cmd := range asked {
		states[i] = cmd.Val()
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			silent[i] = err
		}
	}
	return states, silent
}

// setStates begins shards. It may do so again: nothing changes for one that is begun.
func (r *Redis) setStates(ctx context.Context, shards []int, state string, ifMissing bool) error {
	pipe := r.wired().pipeline()
	for _, i := range shards {
		if ifMissing {
			pipe.SetNX(ctx, r.names[i].state, state, 0)
		} else {
			pipe.Set(ctx, r.names[i].state, state, 0)
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

func (r *Redis) endBeginning(ctx context.Context, epoch string) error {
	return r.ask(ctx, 0, func(ctx context.Context, s server) error {
		return s.run(ctx, redis.NewCmd(ctx, scriptWords("eval", readyScript, []string{r.names[0].state}, []any{epoch})...))
	})
}

// pinned is the epoch that this process works with.
func (r *Redis) pinned() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// seenOther stops the work with a store that is not the one with this epoch any more. Whoever watches forgets all.
func (r *Redis) seenOther(epoch string) {
	r.mu.Lock()
	news := !r.other && r.epoch == epoch
	if news {
		r.other = true
	}
	r.mu.Unlock()
	if news {
		r.watchers.tell("", r.config.Log)
	}
}
