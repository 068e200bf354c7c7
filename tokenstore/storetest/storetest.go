// Package storetest holds a tokenstore.Store to its contract. A driver's own test is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) tokenstore.Store { return open(t) })
//	}
//
// with an open that gives an empty store every time, or one in which nobody else is at work: keys are random. Run it under
// the race detector too. Time is data: the suite lives in a year of its own and does not wait, so a driver that looks at
// a clock fails.
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

// Run runs the whole suite, a subtest for each promise.
func Run(t *testing.T, open func(t *testing.T) tokenstore.Store) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			if err := p.hold(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// promise is one thing that a Store promises.
type promise struct {
	name string
	test func(*scene)
}

var promises = slices.Concat(recordPromises, batchPromises, lineagePromises, markPromises,
	discardPromises, pagePromises, racePromises)

// hold returns where a store breaks the promise; nil if it keeps it.
func (p promise) hold(ctx context.Context, store tokenstore.Store) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			broken, ours := thrown.(brokenPromise)
			if !ours {
				panic(thrown)
			}
			err = broken
		}
	}()
	p.test(&scene{ctx: ctx, store: store, now: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)})
	return nil
}

// brokenPromise is what a scene is left with.
type brokenPromise struct{ error }

// scene is one promise being tested.
type scene struct {
	ctx   context.Context
	store tokenstore.Store
	now   time.Time
}

func (s *scene) fail(format string, args ...any) { panic(brokenPromise{fmt.Errorf(format, args...)}) }

// must fails unless err is as expected; want nil is no error.
func (s *scene) must(err, want error, what string) {
	if !errors.Is(err, want) || want == nil && err != nil {
		s.fail("%s: expected %v, got %v", what, want, err)
	}
}

// after lets time pass, and other business be done meanwhile, in which a store may forget what it need not know.
func (s *scene) after(d time.Duration) {
	s.now = s.now.Add(d)
	for range 64 {
		s.commit(nil, s.record(time.Second))
		_, err := s.store.Get(s.ctx, s.now, key())
		s.must(err, tokenstore.ErrUnknown, "Get of a key that nobody has put")
	}
}

func key() (k tokenstore.Key) {
	rand.Read(k[:])
	return k
}

// record makes one that lives so long, made from parents.
func (s *scene) record(life time.Duration, parents ...tokenstore.Key) tokenstore.Record {
	return tokenstore.Record{Key: key(), Ancestors: parents, Expires: s.now.Add(life), Data: []byte("data")}
}

// put commits a record, and returns its key.
func (s *scene) put(life time.Duration, parents ...tokenstore.Key) tokenstore.Key {
	r := s.record(life, parents...)
	s.commit(nil, r)
	return r.Key
}

func (s *scene) mark(life time.Duration) tokenstore.Mark {
	return tokenstore.Mark{Key: key(), Until: s.now.Add(life)}
}

func (s *scene) commit(want error, records ...tokenstore.Record) {
	s.batch(want, tokenstore.Batch{Put: records})
}

func (s *scene) spend(want error, marks ...tokenstore.Mark) {
	s.batch(want, tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Second)}, Spend: marks})
}

func (s *scene) batch(want error, b tokenstore.Batch) {
	s.must(s.store.Commit(s.ctx, s.now, b), want, "Commit")
}

func (s *scene) get(k tokenstore.Key) tokenstore.Record {
	r, err := s.store.Get(s.ctx, s.now, k)
	s.must(err, nil, "Get")
	return r
}

func (s *scene) getNone(want error, what string, keys ...tokenstore.Key) {
	for _, k := range keys {
		r, err := s.store.Get(s.ctx, s.now, k)
		s.must(err, want, "Get of "+what)
		if r.Key != (tokenstore.Key{}) || r.Data != nil {
			s.fail("Get of %s: a record beside the error", what)
		}
	}
}

func (s *scene) revoke(k tokenstore.Key, life time.Duration) {
	s.must(s.store.Revoke(s.ctx, s.now, k, s.now.Add(life)), nil, "Revoke")
}

func (s *scene) discard(b tokenstore.Batch) {
	s.must(s.store.Discard(s.ctx, b), nil, "Discard")
}

// list reads all pages. They are short, so that nearly every list has several.
func (s *scene) list(owner tokenstore.Key) (list []tokenstore.Record) {
	s.pages(owner, 2, func(page []tokenstore.Record) { list = append(list, page...) })
	return list
}

// same reports whether two records say the same; ancestors are in no order.
func same(a, b tokenstore.Record) bool {
	order := func(keys []tokenstore.Key) []tokenstore.Key {
		return slices.SortedFunc(slices.Values(keys), func(x, y tokenstore.Key) int { return bytes.Compare(x[:], y[:]) })
	}
	return a.Key == b.Key && a.Owner == b.Owner && a.Expires.Equal(b.Expires) && bytes.Equal(a.Data, b.Data) &&
		a.Spent == b.Spent && slices.Equal(order(a.Ancestors), order(b.Ancestors))
}

// crowd runs a function in so many goroutines that begin at the same time, and returns their errors.
func crowd(n int, run func(i int) error) []error {
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
