// Package storetest checks that a tokenstore.Store keeps its contract. The test of a driver is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) tokenstore.Store { return open(t) })
//	}
//
// Each call of open returns an empty store, or a store that no other test uses at the same time,
// because all keys are random. Run the test with the race detector too. The suite does not wait: it
// passes times of the year 2001 to the store, so a driver that reads a clock fails.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Run runs the whole suite, with a subtest for each promise of the contract.
func Run(t *testing.T, open func(t *testing.T) tokenstore.Store) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			if err := p.check(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// promise is one promise of the contract, and the test of it.
type promise struct {
	name string
	test func(*suite)
}

var promises = slices.Concat(recordPromises, batchPromises, lineagePromises, markPromises,
	discardPromises, pagePromises, racePromises)

// check returns an error if a store breaks the promise.
func (p promise) check(ctx context.Context, store tokenstore.Store) (err error) {
	defer func() {
		if value := recover(); value != nil {
			failed, ok := value.(failure)
			if !ok {
				panic(value)
			}
			err = failed
		}
	}()
	p.test(&suite{ctx: ctx, store: store, now: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)})
	return nil
}

// failure is the panic value with which fail ends a test.
type failure struct{ error }

// suite is the test of one promise with one store.
type suite struct {
	ctx   context.Context
	store tokenstore.Store
	now   time.Time
}

// fail ends the test.
func (s *suite) fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// must fails unless err is want, which may be nil.
func (s *suite) must(err, want error, what string) {
	if !errors.Is(err, want) || want == nil && err != nil {
		s.fail("%s: expected %v, got %v", what, want, err)
	}
}

// after advances the time, and makes calls during which the store may forget what it need not know.
func (s *suite) after(d time.Duration) {
	s.now = s.now.Add(d)
	for range 64 {
		s.commit(nil, s.record(time.Second))
		_, err := s.store.Get(s.ctx, s.now, key())
		s.must(err, tokenstore.ErrUnknown, "Get of a key without record")
	}
}

// key returns a random key.
func key() (k tokenstore.Key) {
	rand.Read(k[:])
	return k
}

// record returns a record with a lifetime and parents.
func (s *suite) record(life time.Duration, parents ...tokenstore.Key) tokenstore.Record {
	return tokenstore.Record{Key: key(), Ancestors: parents, Expires: s.now.Add(life),
		Data: []byte("data")}
}

// put commits a record and returns its key.
func (s *suite) put(life time.Duration, parents ...tokenstore.Key) tokenstore.Key {
	r := s.record(life, parents...)
	s.commit(nil, r)
	return r.Key
}

// mark returns a mark with a lifetime.
func (s *suite) mark(life time.Duration) tokenstore.Mark {
	return tokenstore.Mark{Key: key(), Until: s.now.Add(life)}
}

// commit commits records, and expects the error want.
func (s *suite) commit(want error, records ...tokenstore.Record) {
	s.batch(want, tokenstore.Batch{Put: records})
}

// spend spends marks in a batch with a record, and expects the error want.
func (s *suite) spend(want error, marks ...tokenstore.Mark) {
	s.batch(want, tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Second)}, Spend: marks})
}

// batch commits a batch, and expects the error want.
func (s *suite) batch(want error, b tokenstore.Batch) {
	s.must(s.store.Commit(s.ctx, s.now, b), want, "Commit")
}

func (s *suite) get(k tokenstore.Key) tokenstore.Record {
	r, err := s.store.Get(s.ctx, s.now, k)
	s.must(err, nil, "Get")
	return r
}

// getNone gets keys, and expects the error want for each.
func (s *suite) getNone(want error, what string, keys ...tokenstore.Key) {
	for _, k := range keys {
		r, err := s.store.Get(s.ctx, s.now, k)
		s.must(err, want, "Get of "+what)
		if r.Key != (tokenstore.Key{}) || r.Data != nil {
			s.fail("Get of %s returned a record beside its error", what)
		}
	}
}

func (s *suite) revoke(k tokenstore.Key, life time.Duration) {
	s.must(s.store.Revoke(s.ctx, s.now, k, s.now.Add(life)), nil, "Revoke")
}

func (s *suite) discard(b tokenstore.Batch) {
	s.must(s.store.Discard(s.ctx, b), nil, "Discard")
}

// list returns the records of all pages. The pages are short, so that most lists have several.
func (s *suite) list(owner tokenstore.Key) (list []tokenstore.Record) {
	s.pages(owner, 2, func(page []tokenstore.Record) { list = append(list, page...) })
	return list
}

// same reports whether two records are equal. The order of the ancestors does not count.
func same(a, b tokenstore.Record) bool {
	sorted := func(keys []tokenstore.Key) []tokenstore.Key {
		return slices.SortedFunc(slices.Values(keys), func(x, y tokenstore.Key) int {
			return bytes.Compare(x[:], y[:])
		})
	}
	return a.Key == b.Key && a.Owner == b.Owner && a.Spent == b.Spent &&
		a.Expires.Equal(b.Expires) && bytes.Equal(a.Data, b.Data) &&
		slices.Equal(sorted(a.Ancestors), sorted(b.Ancestors))
}

// concurrently calls run in n goroutines that begin at the same time, and returns their errors.
func concurrently(n int, run func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-begin
			errs[i] = run(i)
		})
	}
	close(begin)
	group.Wait()
	return errs
}
