package jose

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The times of a Remote. They are fields of it only for the sake of tests.
const (
	maxAge     = 15 * time.Minute // no key set is believed for longer, whatever Cache-Control says
	refreshAge = 10 * time.Minute // from here on a set in use is renewed behind the scenes
	unknownGap = time.Minute      // between fetches on account of a kid that is not in the set
	retryGap   = 5 * time.Second  // between fetches on any other account
	fetchLimit = 5 * time.Second  // for one fetch, body included
)

// Remote is a Source that fetches a JWK set when it is first needed, and again when it has become old or a token names a
// key that is not in it. It has nothing to close: it starts no goroutine but for a fetch, and a fetch ends by itself.
//
// A key that has left the published set is believed for at most 15 minutes after the last fetch that had it. A source
// that fails for longer makes every token unavailable, never good and never bad. The zero Remote refuses every message.
//
// What jwx has for this, jwk.Cache, keeps the last set for ever when its source fails, forgets the reason when the very
// first fetch fails, holds up callers beyond their deadlines and does not know of keys that are missing; jwk.Fetch does
// not look at the status, and lets three slow issuers stop the fetches of a whole process. Hence the few lines here.
type Remote struct {
	url     string
	methods methods
	client  *http.Client
	now     func() time.Time

	maxAge, refreshAge, unknownGap, retryGap, fetchLimit time.Duration

	current atomic.Pointer[fetchedKeys] // nil until a fetch has succeeded

	mu   sync.Mutex
	last *fetch // the fetch that runs or, if ended is set, ran last; nil if there was none
}

// fetchedKeys are what one fetch brought, converted once. Their age counts from before the request was sent, so that
// nothing that happened to the published set later is taken to be in them.
type fetchedKeys struct {
	keys *Keys
	at   time.Time
}

// fetch is one request, which any number of callers wait for.
type fetch struct {
	done  chan struct{} // closed when keys or err is set
	keys  *Keys
	err   error     // always an *unavailable
	ended time.Time // guarded by Remote.mu; zero while it runs
}

// NewRemote fetches nothing yet. The URL must be https, or http to localhost or a loopback address, without user name
// and fragment; redirects are not followed. Algorithms are as for ParseKeys. Of the set at url, keys that cannot be used
// are skipped; two usable keys of one kid, like anything else that is not a JWK set, are a failure of the source.
func NewRemote(url string, algorithms []string) (*Remote, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	ms, err := newMethods(algorithms)
	if err != nil {
		return nil, err
	}
	return &Remote{
		url: url, methods: ms, client: newClient(), now: time.Now,
		maxAge: maxAge, refreshAge: refreshAge, unknownGap: unknownGap, retryGap: retryGap, fetchLimit: fetchLimit,
	}, nil
}

// Verify is Keys.Verify with the set as it is, or was at most 15 minutes ago. It waits for a fetch only if it has no set
// that young, or if m names a key that is not in it and the last fetch is a minute ago; never beyond the deadline of ctx.
// If that fetch brings the key, good; if not, ErrUnknownKey; if it fails, nobody can tell, and IsUnavailable is true. So
// a flood of invented kids costs the source one request a minute, and a key that is published less than a minute before
// its first use may be refused until the minute is over.
func (r *Remote) Verify(ctx context.Context, m *Message) error {
	// Before anything is fetched, as what could never be verified is no reason to.
	if _, ok := r.methods[m.Algorithm]; !ok {
		return errAlgorithm
	}
	keys, err := r.keys(ctx)
	if err != nil {
		return err
	}
	// A kid that is known has its answer, good or bad. Were a wrong signature a reason to fetch, every forgery would be one.
	if err = keys.Verify(m); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	// The gap counts from any fetch, so that the one that has just been waited for above is not followed by another.
	if keys, err = r.start(r.unknownGap).wait(ctx); err != nil {
		return err
	}
	return keys.Verify(m)
}

// keys returns a set that is young enough.
func (r *Remote) keys(ctx context.Context) (*Keys, error) {
	if c := r.current.Load(); c != nil {
		// Two comparisons of one reading; the set is loaded before the clock is read, so its age is not negative.
		age := r.since(c.at)
		if age >= r.refreshAge && age < r.maxAge {
			r.start(r.retryGap) // nobody waits, and a failure is no news before maxAge
		}
		if age < r.maxAge {
			return c.keys, nil
		}
	}
	return r.start(r.retryGap).wait(ctx)
}

// start returns the fetch that runs or, if none does, the last one if it ended less than gap ago, or else a new one. The
// middle case is what spares the source: a failure is remembered with its cause, and answers for as long as gap.
func (r *Remote) start(gap time.Duration) *fetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.last; f != nil && (f.ended.IsZero() || r.since(f.ended) < gap) {
		return f
	}
	f := &fetch{done: make(chan struct{})}
	r.last = f
	go r.run(f)
	return f
}

// run is in a goroutine of its own, with a deadline of its own, so that no caller's impatience becomes another's failure.
func (r *Remote) run(f *fetch) {
	at := r.wall()
	// A failure leaves the current set alone: it ages, and that is what ends it.
	keys, err := r.get()
	if err != nil {
		f.err = &unavailable{err}
	} else {
		f.keys = keys
		r.current.Store(&fetchedKeys{keys, at})
	}
	r.mu.Lock()
	f.ended = r.wall()
	r.mu.Unlock()
	close(f.done)
}

// wait returns what f brought. A caller who gives up gets the reason of ctx.
func (f *fetch) wait(ctx context.Context) (*Keys, error) {
	select {
	case <-f.done: // also if ctx is over as well: the answer is there
		return f.keys, f.err
	default:
	}
	select {
	case <-f.done:
		return f.keys, f.err
	case <-ctx.Done():
		return nil, &unavailable{ctx.Err()}
	}
}

// wall is the time without its monotonic reading, which stands still while a machine sleeps: keys age then, too.
func (r *Remote) wall() time.Time { return r.now().Round(0) }

// since is how long ago t was. A clock that was set back cannot make keys younger: a time in the future is long ago.
func (r *Remote) since(t time.Time) time.Duration {
	if d := r.wall().Sub(t); d >= 0 {
		return d
	}
	return 1<<63 - 1
}
