package jose

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The times of a Remote. They are also fields of Remote, so that tests can change them.
const (
	maxAge     = 15 * time.Minute // a key set is not used for longer, whatever Cache-Control says
	refreshAge = 10 * time.Minute // from this age on, a set in use is renewed in the background
	unknownGap = time.Minute      // between fetches because of an unknown kid
	retryGap   = 5 * time.Second  // between fetches for any other reason
	fetchLimit = 5 * time.Second  // for one fetch, body included
)

// Remote is a Source that fetches a JWK set when it is first needed, and again when the set is old
// or a token names a key that is not in it. It need not be closed: its only goroutines are fetches,
// and every fetch ends by itself.
//
// A key that the issuer has withdrawn is believed for at most 15 minutes after the last fetch that
// had it. If fetches fail for longer, Verify returns an error for which IsUnavailable is true. The
// zero Remote refuses every message.
//
// jwk.Cache of jwx would keep the last set for ever if fetches fail, loses the reason if the first
// fetch fails, blocks callers beyond their deadlines and does not fetch because of an unknown key.
// jwk.Fetch ignores the status, and three slow issuers can stop the fetches of the whole process.
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

// fetchedKeys are the keys of one fetch. Their age counts from before the request was sent, so that
// they are never older than they seem.
type fetchedKeys struct {
	keys *Keys
	at   time.Time
}

// fetch is one request, for which any number of callers may wait.
type fetch struct {
	done  chan struct{} // closed when keys or err is set
	keys  *Keys
	err   error     // always an *unavailable
	ended time.Time // guarded by Remote.mu; zero while the fetch runs
}

// NewRemote returns a Remote that has fetched nothing yet. The URL must be https, or http to
// localhost or a loopback address, without user name and fragment. Redirects are not followed.
// Algorithms are as for ParseKeys. Keys of the set that cannot be used are skipped. Two usable keys
// with the same kid make the fetch fail, as does anything that is not a JWK set.
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
		maxAge: maxAge, refreshAge: refreshAge,
		unknownGap: unknownGap, retryGap: retryGap, fetchLimit: fetchLimit,
	}, nil
}

// Verify is Keys.Verify with a set that is at most 15 minutes old. It waits for a fetch only if it
// has no such set, or if m names a key that is not in the set and the last fetch is at least a
// minute ago. It never waits beyond the deadline of ctx. If the fetch fails, IsUnavailable is true
// for the error. So a flood of invented kids costs the issuer one request a minute, and a key that
// is used within a minute of its publication may be refused until the minute is over.
func (r *Remote) Verify(ctx context.Context, m *Message) error {
	// A token that can never be verified must not cause a fetch.
	if _, ok := r.methods[m.Algorithm]; !ok {
		return errAlgorithm
	}
	keys, err := r.keys(ctx)
	if err != nil {
		return err
	}
	// A wrong signature must not cause a fetch: otherwise every forged token would.
	if err = keys.Verify(m); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	// The gap counts from any fetch, so that a fetch in r.keys is not followed by another one.
	if keys, err = r.start(r.unknownGap).wait(ctx); err != nil {
		return err
	}
	return keys.Verify(m)
}

// keys returns a set that is younger than maxAge.
func (r *Remote) keys(ctx context.Context) (*Keys, error) {
	if c := r.current.Load(); c != nil {
		// The set is loaded before the clock is read, so its age is not negative.
		age := r.since(c.at)
		if age >= r.refreshAge && age < r.maxAge {
			r.start(r.retryGap) // in the background; a failure does not matter before maxAge
		}
		if age < r.maxAge {
			return c.keys, nil
		}
	}
	return r.start(r.retryGap).wait(ctx)
}

// start returns the running fetch. If none runs, it returns the last one if that ended less than
// gap ago, and a new one otherwise. So a failed fetch is not repeated before gap is over.
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

// run has a goroutine and a deadline of its own, so that the end of one caller's context does not
// fail the others.
func (r *Remote) run(f *fetch) {
	at := r.wall()
	// After a failure the current set stays in use until maxAge.
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

// wait returns the result of f, or an *unavailable with the error of ctx if ctx ends first.
func (f *fetch) wait(ctx context.Context) (*Keys, error) {
	select {
	case <-f.done: // even if ctx has ended too
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

// wall returns the time without its monotonic reading, which stops while a machine sleeps.
func (r *Remote) wall() time.Time { return r.now().Round(0) }

// since returns how long ago t was. A time in the future counts as long ago, so that a clock that
// was set back does not make keys younger.
func (r *Remote) since(t time.Time) time.Duration {
	if d := r.wall().Sub(t); d >= 0 {
		return d
	}
	return 1<<63 - 1
}
