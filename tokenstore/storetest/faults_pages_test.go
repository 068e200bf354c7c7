package storetest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Drivers that get the pages of a list wrong.
func TestFaultyPages(t *testing.T) {
	const (
		once     = "pages are in the order of keys and have every record once"
		anywhere = "a page begins after any key"
		limited  = "a page has as many records as it may have, and no more"
		dead     = "what has ended does not end a list"
		changing = "records may come and go while a list is read"
		meantime = "records may come and go at the same time as a page is read"
	)
	for _, f := range []struct {
		fault, promise string
		store          tokenstore.Store
	}{
		{"it lists the last record of a page again", once, inclusive{memory()}},
		{"it lists in some order", once, backward{memory()}},
		{"it compares where keys begin", once, prefixed{memory()}},
		{"it does not move on", once, stuck{memory()}},
		{"it looks for the record that a page begins after", anywhere, anchored{memory()}},
		{"it gives all at once", limited, whole{memory()}},
		{"it gives as many as it is asked for", limited, generous{memory()}},
		{"it gives one record where none may be", limited, lenient{memory()}},
		{"an empty page is the last", dead, hasty{memory()}},
		{"it counts the records that were listed before", changing,
			&counting{Store: memory(), before: map[tokenstore.Key]int{}}},
		{"it reads once, and gives the pages of that", changing, &remembering{Store: memory()}},
		{"it counts, and then skips as many", meantime, skipping{memory()}},
	} {
		t.Run(f.fault, func(t *testing.T) { notices(t, f.promise, f.store) })
	}
}

func byKey(a, b tokenstore.Record) int { return bytes.Compare(a.Key[:], b.Key[:]) }

// everything reads all pages at once.
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

// from cuts a page out of a list, by position.
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
	for i := len(after) - 1; i >= 0 && after != (tokenstore.Key{}); i-- { // one less
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

// counting is ORDER BY key LIMIT ? OFFSET ?.
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

// position is how many records are not after a key.
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
