package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Each driver breaks one promise, as a real driver might, and the suite must notice.
func TestFaultyDrivers(t *testing.T) {
	for _, f := range []struct {
		fault, promise string
		store          tokenstore.Store
	}{
		{"Commit checks marks and spends them later",
			"one of several concurrent batches spends a mark",
			&lateSpender{Store: memory(), spent: map[tokenstore.Key]bool{}}},
		{"Revoke ignores unknown keys",
			"an unknown key can be revoked",
			forgetful{memory()}},
		{"only the tombstones of direct parents count",
			"a tombstone revokes what was made from its key, three hops deep",
			shallow{newTombstones()}},
		{"Revoke revokes the children that it finds",
			"a record that is put while its parent is revoked does not stay live",
			&cascade{Store: memory(), children: map[tokenstore.Key][]tokenstore.Key{},
				revoked: map[tokenstore.Key]bool{}}},
		{"a tombstone expires with its key",
			"a tombstone lives as long as the records that it revokes",
			newTombstones()},
		{"the expiry of a parent ends its children",
			"the expiry of a parent does not revoke a child",
			&mortal{Store: memory()}},
		{"Discard ignores marks",
			"Discard undoes a Commit",
			markless{memory()}},
		{"Discard unspends the marks of other batches",
			"Discard of a refused batch undoes nothing of the winner",
			&overeager{Store: memory(), by: map[tokenstore.Key]tokenstore.Record{}}},
		{"Commit writes one record after another",
			"nothing is written of a batch with a bad part",
			piecemeal{memory()}},
		{"Get reads the clock",
			"Get returns what was put",
			clocked{memory()}},
		{"Commit ignores its context",
			"a call with a canceled context changes nothing",
			uncancelable{memory()}},
		{"Get returns its own slices",
			"slices are copied",
			&sharing{Store: memory(), cache: map[tokenstore.Key]tokenstore.Record{}}},
		{"List returns all records that were put",
			"List returns the live records of an owner",
			&lister{Store: memory()}},
		{"Commit keeps the end of longer data",
			"data of any length is kept, whatever data the key had before",
			&overwriting{Store: memory(), data: map[tokenstore.Key][]byte{}}},
		{"only half of a key counts",
			"keys are compared in all bytes",
			halved{memory()}},
	} {
		t.Run(f.fault, func(t *testing.T) { notices(t, f.promise, f.store) })
	}
}

// notices fails if the suite does not notice that a store breaks a promise.
func notices(t *testing.T, promise string, store tokenstore.Store) {
	for _, p := range promises {
		if p.name == promise {
			require.Error(t, p.check(t.Context(), store), "the suite does not notice the fault")
			return
		}
	}
	require.Fail(t, "there is no promise with this name")
}

func memory() tokenstore.Store { return tokenstore.NewMemory() }

// lateSpender does not lock between checking a mark and spending it.
type lateSpender struct {
	tokenstore.Store
	mu    sync.Mutex
	spent map[tokenstore.Key]bool
}

func (s *lateSpender) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.mu.Lock()
	for _, m := range b.Spend {
		if s.spent[m.Key] {
			s.mu.Unlock()
			return tokenstore.ErrSpent
		}
	}
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	err := s.Store.Commit(ctx, now, tokenstore.Batch{Put: b.Put})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range b.Spend {
		s.spent[m.Key] = err == nil
	}
	return err
}

type forgetful struct{ tokenstore.Store }

func (s forgetful) Revoke(ctx context.Context, now time.Time, k tokenstore.Key,
	until time.Time) error {
	if _, err := s.Get(ctx, now, k); errors.Is(err, tokenstore.ErrUnknown) {
		return nil
	}
	return s.Store.Revoke(ctx, now, k, until)
}

// tombstones keeps tombstones beside the records, and only until the given time.
type tombstones struct {
	tokenstore.Store
	mu    sync.Mutex
	until map[tokenstore.Key]time.Time
}

func newTombstones() *tombstones {
	return &tombstones{Store: memory(), until: map[tokenstore.Key]time.Time{}}
}

func (s *tombstones) Revoke(_ context.Context, _ time.Time, k tokenstore.Key,
	until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[k] = until
	return nil
}

func (s *tombstones) revoked(now time.Time, keys ...tokenstore.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if now.Before(s.until[k]) {
			return true
		}
	}
	return false
}

func (s *tombstones) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for _, r := range b.Put {
		if s.revoked(now, r.Ancestors...) {
			return tokenstore.ErrRevoked
		}
	}
	return s.Store.Commit(ctx, now, b)
}

func (s *tombstones) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	if s.revoked(now, append(r.Ancestors, k)...) {
		return tokenstore.Record{}, tokenstore.ErrRevoked
	}
	return r, err
}

// shallow gives its store parents with other keys, so that the store does not find their ancestors.
type shallow struct{ *tombstones }

func disguise(keys []tokenstore.Key) []tokenstore.Key {
	disguised := slices.Clone(keys)
	for i := range disguised {
		disguised[i][0] ^= 1
	}
	return disguised
}

func (s shallow) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	b.Put = slices.Clone(b.Put)
	for i, r := range b.Put {
		if s.revoked(now, r.Ancestors...) {
			return tokenstore.ErrRevoked
		}
		b.Put[i].Ancestors = disguise(r.Ancestors)
	}
	return s.Store.Commit(ctx, now, b)
}

func (s shallow) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	r.Ancestors = disguise(r.Ancestors)
	if s.revoked(now, append(r.Ancestors, k)...) {
		return tokenstore.Record{}, tokenstore.ErrRevoked
	}
	return r, err
}

// cascade revokes the children of a key one by one, while others may be added.
type cascade struct {
	tokenstore.Store
	mu       sync.Mutex
	children map[tokenstore.Key][]tokenstore.Key
	revoked  map[tokenstore.Key]bool
}

func (s *cascade) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.mu.Lock()
	for _, r := range b.Put {
		for _, p := range r.Ancestors {
			if s.revoked[p] {
				s.mu.Unlock()
				return tokenstore.ErrRevoked
			}
		}
	}
	s.mu.Unlock()
	time.Sleep(2 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range b.Put {
		for _, p := range r.Ancestors {
			s.children[p] = append(s.children[p], r.Key)
		}
		b.Put[i].Ancestors = nil
	}
	return s.Store.Commit(ctx, now, b)
}

func (s *cascade) Revoke(ctx context.Context, now time.Time, k tokenstore.Key,
	until time.Time) error {
	time.Sleep(500 * time.Microsecond) // other goroutines have checked, and not written yet
	s.mu.Lock()
	children := s.children[k]
	s.revoked[k] = true
	s.mu.Unlock()
	for _, c := range children {
		if err := s.Revoke(ctx, now, c, until); err != nil {
			return err
		}
	}
	return s.Store.Revoke(ctx, now, k, until)
}

// mortal takes the expiry of a parent for a revocation.
type mortal struct {
	tokenstore.Store
	put sync.Map
}

func (s *mortal) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for _, r := range b.Put {
		s.put.Store(r.Key, true)
	}
	return s.Store.Commit(ctx, now, b)
}

func (s *mortal) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	for _, a := range r.Ancestors {
		if _, known := s.put.Load(a); known {
			if _, err := s.Store.Get(ctx, now, a); err != nil {
				return tokenstore.Record{}, err
			}
		}
	}
	return r, err
}

type markless struct{ tokenstore.Store }

func (s markless) Discard(ctx context.Context, b tokenstore.Batch) error {
	return s.Store.Discard(ctx, tokenstore.Batch{Put: b.Put})
}

// overeager unspends a mark whichever batch has spent it.
type overeager struct {
	tokenstore.Store
	by map[tokenstore.Key]tokenstore.Record
}

func (s *overeager) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	err := s.Store.Commit(ctx, now, b)
	for _, m := range b.Spend {
		if err == nil {
			s.by[m.Key] = b.Put[0]
		}
	}
	return err
}

func (s *overeager) Discard(ctx context.Context, b tokenstore.Batch) error {
	for _, m := range b.Spend {
		spender := tokenstore.Batch{Put: []tokenstore.Record{s.by[m.Key]},
			Spend: []tokenstore.Mark{m}}
		if err := s.Store.Discard(ctx, spender); err != nil {
			return err
		}
	}
	return s.Store.Discard(ctx, b)
}

type piecemeal struct{ tokenstore.Store }

func (s piecemeal) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for i := range b.Put {
		err := s.Store.Commit(ctx, now, tokenstore.Batch{Put: b.Put[i : i+1]})
		if err != nil {
			return err
		}
	}
	if len(b.Spend) == 0 {
		return nil
	}
	return s.Store.Commit(ctx, now, tokenstore.Batch{Spend: b.Spend})
}

type clocked struct{ tokenstore.Store }

func (s clocked) Get(ctx context.Context, _ time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	return s.Store.Get(ctx, time.Now(), k)
}

type uncancelable struct{ tokenstore.Store }

func (s uncancelable) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	return s.Store.Commit(context.WithoutCancel(ctx), now, b)
}

type sharing struct {
	tokenstore.Store
	cache map[tokenstore.Key]tokenstore.Record
}

func (s *sharing) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	if r, ok := s.cache[k]; ok {
		return r, nil
	}
	r, err := s.Store.Get(ctx, now, k)
	s.cache[k] = r
	return r, err
}

// overwriting writes data over the earlier data of a key without shortening it.
type overwriting struct {
	tokenstore.Store
	data map[tokenstore.Key][]byte
}

func (s *overwriting) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	b.Put = slices.Clone(b.Put)
	for i, r := range b.Put {
		old := s.data[r.Key]
		b.Put[i].Data = append(slices.Clone(r.Data), old[min(len(r.Data), len(old)):]...)
		s.data[r.Key] = b.Put[i].Data
	}
	return s.Store.Commit(ctx, now, b)
}

type lister struct {
	tokenstore.Store
	put []tokenstore.Record
}

func (s *lister) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.put = append(s.put, b.Put...)
	return s.Store.Commit(ctx, now, b)
}

func (s *lister) List(_ context.Context, _ time.Time, owner, after tokenstore.Key, limit int) (
	[]tokenstore.Record, tokenstore.Key, error) {
	var list []tokenstore.Record
	for _, r := range s.put {
		if r.Owner == owner && bytes.Compare(r.Key[:], after[:]) > 0 {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, byKey)
	if len(list) <= limit {
		return list, tokenstore.Key{}, nil
	}
	return list[:limit], list[limit-1].Key, nil
}

type halved struct{ tokenstore.Store }

func (s halved) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for i := range b.Put {
		clear(b.Put[i].Key[16:])
	}
	return s.Store.Commit(ctx, now, b)
}

func (s halved) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	clear(k[16:])
	return s.Store.Get(ctx, now, k)
}
