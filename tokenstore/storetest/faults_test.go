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

// Drivers that get one thing wrong, each as somebody might write it. The suite must notice, by the promise named.
func TestFaultyDrivers(t *testing.T) {
	for _, f := range []struct {
		fault, promise string
		open           func() tokenstore.Store
	}{
		{"it looks at marks and then spends them", "of all who spend a mark, one wins", func() tokenstore.Store { return &lateSpender{Store: memory(), spent: map[tokenstore.Key]bool{}} }},
		{"it does not remember a tombstone of what it does not know", "what is not known can be revoked", func() tokenstore.Store { return forgetful{memory()} }},
		{"it looks at direct parents only", "a tombstone ends all that was made, three hops deep", func() tokenstore.Store { return shallow{newTombs()} }},
		{"it revokes the children that it finds", "nothing that is issued while its parent is being revoked stays active", func() tokenstore.Store {
			return &cascade{Store: memory(), children: map[tokenstore.Key][]tokenstore.Key{}, dead: map[tokenstore.Key]bool{}}
		}},
		{"a tombstone dies with the parent", "a tombstone lives as long as what it must end", func() tokenstore.Store { return newTombs() }},
		{"a parent's end ends the child", "the end of a parent by time ends nothing", func() tokenstore.Store { return &mortal{Store: memory()} }},
		{"it undoes records and no marks", "a discarded batch has never been", func() tokenstore.Store { return markless{memory()} }},
		{"it undoes the marks of others", "a batch that lost discards nothing of the winner", func() tokenstore.Store {
			return &overeager{Store: memory(), by: map[tokenstore.Key]tokenstore.Record{}}
		}},
		{"it writes one record after the other", "one bad part spoils a batch", func() tokenstore.Store { return piecemeal{memory()} }},
		{"it looks at the clock", "what was put is got", func() tokenstore.Store { return clocked{memory()} }},
		{"it does not look at the context", "a context that is over changes nothing", func() tokenstore.Store { return deaf{memory()} }},
		{"it hands out what it keeps", "slices are copies", func() tokenstore.Store {
			return &sharing{Store: memory(), kept: map[tokenstore.Key]tokenstore.Record{}}
		}},
		{"it lists whatever was put", "an owner lists what is live", func() tokenstore.Store { return &lister{Store: memory()} }},
		{"it leaves the end of what was longer", "data of any length are got whole, whatever was there before", func() tokenstore.Store {
			return &smeared{Store: memory(), room: map[tokenstore.Key][]byte{}}
		}},
		{"it hashes keys to half", "keys are compared whole", func() tokenstore.Store { return halved{memory()} }},
	} {
		t.Run(f.fault, func(t *testing.T) { notices(t, f.promise, f.open()) })
	}
}

// notices fails where a store keeps a promise.
func notices(t *testing.T, promise string, store tokenstore.Store) {
	for _, p := range promises {
		if p.name == promise {
			require.Error(t, p.hold(t.Context(), store), "the suite does not notice")
			return
		}
	}
	require.Fail(t, "there is no such promise")
}

func memory() tokenstore.Store { return tokenstore.NewMemory() }

// lateSpender leaves a gap between look and leap.
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

func (s forgetful) Revoke(ctx context.Context, now time.Time, k tokenstore.Key, until time.Time) error {
	if _, err := s.Get(ctx, now, k); errors.Is(err, tokenstore.ErrUnknown) {
		return nil
	}
	return s.Store.Revoke(ctx, now, k, until)
}

// tombs keeps tombstones beside the records, each as long as was said and no longer.
type tombs struct {
	tokenstore.Store
	mu    sync.Mutex
	until map[tokenstore.Key]time.Time
}

func newTombs() *tombs { return &tombs{Store: memory(), until: map[tokenstore.Key]time.Time{}} }

func (s *tombs) Revoke(_ context.Context, _ time.Time, k tokenstore.Key, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[k] = until
	return nil
}

func (s *tombs) revoked(now time.Time, keys ...tokenstore.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if now.Before(s.until[k]) {
			return true
		}
	}
	return false
}

func (s *tombs) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for _, r := range b.Put {
		if s.revoked(now, r.Ancestors...) {
			return tokenstore.ErrRevoked
		}
	}
	return s.Store.Commit(ctx, now, b)
}

func (s *tombs) Get(ctx context.Context, now time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	if s.revoked(now, append(r.Ancestors, k)...) {
		return tokenstore.Record{}, tokenstore.ErrRevoked
	}
	return r, err
}

// shallow keeps parents under names that its store does not know, so that nobody finds theirs.
type shallow struct{ *tombs }

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

func (s shallow) Get(ctx context.Context, now time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	r.Ancestors = disguise(r.Ancestors)
	if s.revoked(now, append(r.Ancestors, k)...) {
		return tokenstore.Record{}, tokenstore.ErrRevoked
	}
	return r, err
}

// cascade walks down the tree, while that grows.
type cascade struct {
	tokenstore.Store
	mu       sync.Mutex
	children map[tokenstore.Key][]tokenstore.Key
	dead     map[tokenstore.Key]bool
}

func (s *cascade) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.mu.Lock()
	for _, r := range b.Put {
		for _, p := range r.Ancestors {
			if s.dead[p] {
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

func (s *cascade) Revoke(ctx context.Context, now time.Time, k tokenstore.Key, until time.Time) error {
	time.Sleep(500 * time.Microsecond) // others have looked by now, and not written yet
	s.mu.Lock()
	children := s.children[k]
	s.dead[k] = true
	s.mu.Unlock()
	for _, c := range children {
		if err := s.Revoke(ctx, now, c, until); err != nil {
			return err
		}
	}
	return s.Store.Revoke(ctx, now, k, until)
}

// mortal takes the end of a parent for a revocation.
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

func (s *mortal) Get(ctx context.Context, now time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	r, err := s.Store.Get(ctx, now, k)
	for _, a := range r.Ancestors {
		if _, ours := s.put.Load(a); ours {
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

// overeager unspends whatever is spent.
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
		if err := s.Store.Discard(ctx, tokenstore.Batch{Put: []tokenstore.Record{s.by[m.Key]}, Spend: []tokenstore.Mark{m}}); err != nil {
			return err
		}
	}
	return s.Store.Discard(ctx, b)
}

type piecemeal struct{ tokenstore.Store }

func (s piecemeal) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	for i := range b.Put {
		if err := s.Store.Commit(ctx, now, tokenstore.Batch{Put: b.Put[i : i+1]}); err != nil {
			return err
		}
	}
	if len(b.Spend) == 0 {
		return nil
	}
	return s.Store.Commit(ctx, now, tokenstore.Batch{Spend: b.Spend})
}

type clocked struct{ tokenstore.Store }

func (s clocked) Get(ctx context.Context, _ time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	return s.Store.Get(ctx, time.Now(), k)
}

type deaf struct{ tokenstore.Store }

func (s deaf) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	return s.Store.Commit(context.WithoutCancel(ctx), now, b)
}

type sharing struct {
	tokenstore.Store
	kept map[tokenstore.Key]tokenstore.Record
}

func (s *sharing) Get(ctx context.Context, now time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	if r, ok := s.kept[k]; ok {
		return r, nil
	}
	r, err := s.Store.Get(ctx, now, k)
	s.kept[k] = r
	return r, err
}

// smeared writes over what was there.
type smeared struct {
	tokenstore.Store
	room map[tokenstore.Key][]byte
}

func (s *smeared) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	b.Put = slices.Clone(b.Put)
	for i, r := range b.Put {
		kept := s.room[r.Key]
		b.Put[i].Data = append(slices.Clone(r.Data), kept[min(len(r.Data), len(kept)):]...)
		s.room[r.Key] = b.Put[i].Data
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

func (s halved) Get(ctx context.Context, now time.Time, k tokenstore.Key) (tokenstore.Record, error) {
	clear(k[16:])
	return s.Store.Get(ctx, now, k)
}
