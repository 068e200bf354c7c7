package storetest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Each driver gets the pages of List wrong in another way.
func TestFaultyPages(t *testing.T) {
	const (
		once       = "pages are in the order of the keys and have every record once"
		anyKey     = "a page may begin after any key"
		limits     = "a page is full, and not longer than its limit and MaxPage"
		ended      = "expired and revoked records do not end a list"
		between    = "records may be put and end between two pages"
		concurrent = "records may be put and end while a page is read"
	)
	for _, f := range []struct {
		fault, promise string
		store          tokenstore.Store
	}{
		{"a page begins with the last record of the page before", once, inclusive{memory()}},
		{"the order is descending", once, backward{memory()}},
		{"only the first half of after counts", once, prefixed{memory()}},
		{"after is ignored", once, stuck{memory()}},
		{"after must have a record", anyKey, anchored{memory()}},
		{"limit is ignored", limits, whole{memory()}},
		{"MaxPage is ignored", limits, generous{memory()}},
		{"a limit below 1 means 1", limits, lenient{memory()}},
		{"an empty page is the last", ended, hasty{memory()}},
		{"pages are counted with OFFSET", between,
			&counting{Store: memory(), before: map[tokenstore.Key]int{}}},
		{"all pages are read with the first", between, &remembering{Store: memory()}},
		{"records are counted, and then skipped", concurrent, skipping{memory()}},
	} {
		t.Run(f.fault, func(t *testing.T) { notices(t, f.promise, f.store) })
	}
}

func byKey(a, b tokenstore.Record) int { return bytes.Compare(a.Key[:], b.Key[:]) }

// everything returns the records of all pages.
func everything(ctx context.Context, store tokenstore.Store, now time.Time, owner tokenstore.Key) (
	list []tokenstore.Record, err error) {
	var after tokenstore.Key
	for {
		page, next, err := store.List(ctx, now, owner, after, tokenstore.MaxPage)
		list = append(list, page...)
		if err != nil || next == (tokenstore.Key{}) {
			return list, err
		}
		after = next
	}
}

// from returns the page of a list that begins at an index.
func from(list []tokenstore.Record, begin, limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	list = list[min(begin, len(list)):]
	if limit = min(limit, tokenstore.MaxPage); len(list) <= limit {
		return list, tokenstore.Key{}, nil
	}
	return list[:limit], list[limit-1].Key, nil
}

type inclusive struct{ tokenstore.Store }

func (s inclusive) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	for i := len(after) - 1; i >= 0 && after != (tokenstore.Key{}); i-- { // subtracts one
		if after[i]--; after[i] != 0xff {
			break
		}
	}
	return s.Store.List(ctx, now, owner, after, limit)
}

type backward struct{ tokenstore.Store }

func (s backward) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	page, next, err := s.Store.List(ctx, now, owner, after, limit)
	slices.Reverse(page)
	return page, next, err
}

type prefixed struct{ tokenstore.Store }

func (s prefixed) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	if after != (tokenstore.Key{}) {
		copy(after[16:], lastKey[:])
	}
	return s.Store.List(ctx, now, owner, after, limit)
}

type stuck struct{ tokenstore.Store }

func (s stuck) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	return s.Store.List(ctx, now, owner, tokenstore.Key{}, limit)
}

type anchored struct{ tokenstore.Store }

func (s anchored) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	list, err := everything(ctx, s.Store, now, owner)
	if err != nil || limit < 1 {
		return s.Store.List(ctx, now, owner, after, limit)
	}
	at := slices.IndexFunc(list, func(r tokenstore.Record) bool { return r.Key == after })
	if at < 0 && after != (tokenstore.Key{}) {
		return nil, tokenstore.Key{}, nil
	}
	return from(list, at+1, limit)
}

type whole struct{ tokenstore.Store }

func (s whole) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	if limit < 1 {
		return s.Store.List(ctx, now, owner, after, limit)
	}
	list, err := everything(ctx, s.Store, now, owner)
	return list, tokenstore.Key{}, err
}

type generous struct{ tokenstore.Store }

func (s generous) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	page, next, err := s.Store.List(ctx, now, owner, after, limit)
	if err != nil || limit <= tokenstore.MaxPage || next == (tokenstore.Key{}) {
		return page, next, err
	}
	more, next, err := s.List(ctx, now, owner, next, limit-tokenstore.MaxPage)
	return append(page, more...), next, err
}

type lenient struct{ tokenstore.Store }

func (s lenient) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	return s.Store.List(ctx, now, owner, after, max(1, limit))
}

type hasty struct{ tokenstore.Store }

func (s hasty) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	page, next, err := s.Store.List(ctx, now, owner, after, limit)
	if len(page) == 0 {
		next = tokenstore.Key{}
	}
	return page, next, err
}

// counting reads with ORDER BY key LIMIT ? OFFSET ?.
type counting struct {
	tokenstore.Store
	before map[tokenstore.Key]int
}

func (s *counting) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	list, err := everything(ctx, s.Store, now, owner)
	if err != nil || limit < 1 {
		return s.Store.List(ctx, now, owner, after, limit)
	}
	page, next, err := from(list, s.before[after], limit)
	s.before[next] = s.before[after] + len(page)
	delete(s.before, tokenstore.Key{})
	return page, next, err
}

type remembering struct {
	tokenstore.Store
	list []tokenstore.Record
}

func (s *remembering) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	if after == (tokenstore.Key{}) {
		list, err := everything(ctx, s.Store, now, owner)
		if err != nil {
			return nil, tokenstore.Key{}, err
		}
		s.list = list
	}
	return from(s.list, position(s.list, after), limit)
}

// position returns how many records of a sorted list are not after a key.
func position(list []tokenstore.Record, after tokenstore.Key) int {
	n, _ := slices.BinarySearchFunc(list, after, func(r tokenstore.Record, k tokenstore.Key) int {
		if bytes.Compare(r.Key[:], k[:]) <= 0 {
			return -1
		}
		return 1
	})
	return n
}

type skipping struct{ tokenstore.Store }

func (s skipping) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	list, err := everything(ctx, s.Store, now, owner)
	if err != nil || limit < 1 {
		return s.Store.List(ctx, now, owner, after, limit)
	}
	begin := position(list, after)
	time.Sleep(100 * time.Microsecond)
	if list, err = everything(ctx, s.Store, now, owner); err != nil {
		return nil, tokenstore.Key{}, err
	}
	return from(list, begin, limit)
}
