package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// lastKey is greater than every other key.
var lastKey = tokenstore.Key(bytes.Repeat([]byte{0xff}, len(tokenstore.Key{})))

// lateKey returns a random key that is greater than those of key.
func lateKey() tokenstore.Key {
	k := key()
	copy(k[:8], lastKey[:8])
	return k
}

// pagePromises are about the pages of List.
var pagePromises = []promise{
	{"pages are in the order of the keys and have every record once", func(s *suite) {
		owner := key()
		want := s.own(owner, 20)
		for i := range 10 { // keys that begin alike
			r := s.record(time.Hour)
			r.Owner, r.Key = owner, want[0].Key
			r.Key[31] ^= byte(1 + i)
			s.commit(nil, r)
			want = append(want, r)
		}
		s.own(key(), 5)
		for _, limit := range []int{1, 3, 29, 30, 31, 100} {
			var got []tokenstore.Record
			s.pages(owner, limit, func(page []tokenstore.Record) { got = append(got, page...) })
			s.must(once(got, want), nil, fmt.Sprintf("pages of %d", limit))
			if len(got) != len(want) {
				s.fail("pages of %d have %d records, want %d", limit, len(got), len(want))
			}
		}
	}},
	{"a page may begin after any key", func(s *suite) {
		owner := key()
		list := s.own(owner, 10)
		slices.SortFunc(list, func(a, b tokenstore.Record) int {
			return bytes.Compare(a.Key[:], b.Key[:])
		})
		begins := func(after tokenstore.Key, rest []tokenstore.Record) {
			page, _, err := s.page(owner, after, 100)
			s.must(err, nil, "List")
			s.must(once(page, rest), nil, "a page after any key")
			if len(page) != len(rest) {
				s.fail("%d records after a key, want %d", len(page), len(rest))
			}
		}
		begins(tokenstore.Key{}, list)
		begins(lastKey, nil)
		for i, r := range list {
			begins(r.Key, list[i+1:])
			s.discard(tokenstore.Batch{Put: []tokenstore.Record{r}})
			begins(r.Key, list[i+1:])
		}
	}},
	{"a page is full, and not longer than its limit and MaxPage", func(s *suite) {
		owner := key()
		want := s.own(owner, tokenstore.MaxPage+10)
		const most = tokenstore.MaxPage
		for _, limit := range []int{1, 10, most, most + 1, math.MaxInt} {
			page, _, err := s.page(owner, tokenstore.Key{}, limit)
			s.must(err, nil, "List")
			if len(page) != min(limit, most) {
				s.fail("a page with the limit %d has %d records, want %d", limit, len(page),
					min(limit, most))
			}
		}
		s.must(once(s.list(owner), want), nil, "List")
		for _, limit := range []int{0, -1, math.MinInt} {
			_, _, err := s.store.List(s.ctx, s.now, owner, tokenstore.Key{}, limit)
			if err == nil {
				s.fail("the limit %d is not an error", limit)
			}
		}
	}},
	{"expired and revoked records do not end a list", func(s *suite) {
		owner, parent := key(), key()
		for range 10 {
			expired, child := s.record(time.Second), s.record(time.Hour, parent)
			revoked := s.record(time.Hour)
			expired.Owner, child.Owner, revoked.Owner = owner, owner, owner
			s.commit(nil, expired, child, revoked)
			s.revoke(revoked.Key, time.Hour)
		}
		s.revoke(parent, time.Hour)
		s.now = s.now.Add(time.Second)
		live := s.record(time.Hour)
		live.Owner, live.Key = owner, lateKey()
		s.commit(nil, live)
		for _, limit := range []int{1, 2, 30} {
			var got []tokenstore.Record
			s.pages(owner, limit, func(page []tokenstore.Record) { got = append(got, page...) })
			s.must(once(got, []tokenstore.Record{live}), nil, "List of one live record")
		}
	}},
	{"records may be put and end between two pages", func(s *suite) {
		for _, limit := range []int{1, 2, 7} {
			s.readWhileChanging(limit)
		}
	}},
	{"records may be put and end while a page is read", func(s *suite) {
		owner := key()
		stable := s.own(owner, 30)
		read := make(chan struct{})
		for _, err := range concurrently(4, func(i int) error {
			if i > 0 {
				return s.comeAndGo(owner, read)
			}
			defer close(read)
			for range 20 {
				var got []tokenstore.Record
				err := s.readPages(owner, 7, func(page []tokenstore.Record) {
					got = append(got, page...)
				})
				if err = errors.Join(err, once(got, stable)); err != nil {
					return err
				}
			}
			return nil
		}) {
			s.must(err, nil, "Commit, List and Discard at the same time")
		}
	}},
}

// comeAndGo commits and discards records of an owner until a channel is closed.
func (s *suite) comeAndGo(owner tokenstore.Key, until <-chan struct{}) error {
	for {
		select {
		case <-until:
			return nil
		default:
		}
		r := s.record(time.Hour)
		r.Owner = owner
		b := tokenstore.Batch{Put: []tokenstore.Record{r}}
		if err := s.store.Commit(s.ctx, s.now, b); err != nil {
			return err
		}
		if err := s.store.Discard(s.ctx, b); err != nil {
			return err
		}
	}
}

// readWhileChanging puts and ends records after every page.
func (s *suite) readWhileChanging(limit int) {
	owner := key()
	begin := s.own(owner, 30)
	stable := slices.Clone(begin)
	ended := map[tokenstore.Key]bool{}
	end := func(k tokenstore.Key) {
		if len(ended)%2 == 0 {
			s.revoke(k, time.Hour)
		} else {
			s.discard(tokenstore.Batch{Put: []tokenstore.Record{{Key: k}}})
		}
		ended[k] = true
		stable = slices.DeleteFunc(stable, func(r tokenstore.Record) bool { return r.Key == k })
	}
	var got []tokenstore.Record
	turn := 0
	s.pages(owner, limit, func(page []tokenstore.Record) {
		for _, r := range page {
			if ended[r.Key] {
				s.fail("a page has a record that ended before the page was read")
			}
		}
		got = append(got, page...)
		if turn++; turn > 20 {
			return
		}
		if len(page) > 0 { // the record after which the next page begins
			end(page[len(page)-1].Key)
		}
		if turn%2 == 0 {
			end(begin[turn].Key)
		}
		s.own(owner, 2)
	})
	s.must(once(got, stable), nil, fmt.Sprintf("pages of %d while records change", limit))
}

// own commits n records of an owner, each in a batch of its own.
func (s *suite) own(owner tokenstore.Key, n int) (list []tokenstore.Record) {
	for range n {
		r := s.record(time.Hour)
		r.Owner = owner
		s.commit(nil, r)
		list = append(list, r)
	}
	return list
}

// pages calls see with all pages of an owner.
func (s *suite) pages(owner tokenstore.Key, limit int, see func([]tokenstore.Record)) {
	s.must(s.readPages(owner, limit, see), nil, "List")
}

func (s *suite) readPages(owner tokenstore.Key, limit int, see func([]tokenstore.Record)) error {
	var after tokenstore.Key
	for {
		page, next, err := s.page(owner, after, limit)
		if err != nil {
			return err
		}
		see(page)
		if next == (tokenstore.Key{}) {
			return nil
		}
		after = next
	}
}

// page returns one page, and an error if it breaks a promise about every page.
func (s *suite) page(owner, after tokenstore.Key, limit int) (
	[]tokenstore.Record, tokenstore.Key, error) {
	page, next, err := s.store.List(s.ctx, s.now, owner, after, limit)
	if err != nil {
		return nil, tokenstore.Key{}, err
	}
	if len(page) > limit || len(page) > tokenstore.MaxPage {
		return nil, next, fmt.Errorf("a page with the limit %d has %d records", limit, len(page))
	}
	at := after
	for _, r := range page {
		if bytes.Compare(r.Key[:], at[:]) <= 0 {
			return nil, next, errors.New("a key of a page is not greater than the one before")
		}
		at = r.Key
	}
	if next != (tokenstore.Key{}) && (next == after || bytes.Compare(next[:], at[:]) < 0) {
		return nil, next, errors.New("next is equal to after, or less than the last key")
	}
	return page, next, nil
}

// once returns an error unless each record of want is in got, and no record is in got twice.
func once(got, want []tokenstore.Record) error {
	found := map[tokenstore.Key]tokenstore.Record{}
	for _, r := range got {
		if _, twice := found[r.Key]; twice {
			return errors.New("a record is listed twice")
		}
		found[r.Key] = r
	}
	for _, r := range want {
		if !same(found[r.Key], r) {
			return errors.New("a record is not listed, or differs from what was put")
		}
	}
	return nil
}
