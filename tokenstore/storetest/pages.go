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

// lateKey is greater than other random keys.
func lateKey() tokenstore.Key {
	k := key()
	copy(k[:8], lastKey[:8])
	return k
}

// pagePromises are about lists that are read a page at a time.
var pagePromises = []promise{
	{"pages are in the order of keys and have every record once", func(s *scene) {
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
				s.fail("pages of %d: %d records, the owner has %d", limit, len(got), len(want))
			}
		}
	}},
	{"a page begins after any key", func(s *scene) {
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
				s.fail("%d records after a key, there are %d", len(page), len(rest))
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
	{"a page has as many records as it may have, and no more", func(s *scene) {
		owner := key()
		want := s.own(owner, tokenstore.MaxPage+10)
		const most = tokenstore.MaxPage
		for _, limit := range []int{1, 10, most, most + 1, math.MaxInt} {
			page, _, err := s.page(owner, tokenstore.Key{}, limit)
			s.must(err, nil, "List")
			if len(page) != min(limit, most) {
				s.fail("a page of %d has %d records, and more are live", limit, len(page))
			}
		}
		s.must(once(s.list(owner), want), nil, "List")
		for _, limit := range []int{0, -1, math.MinInt} {
			_, _, err := s.store.List(s.ctx, s.now, owner, tokenstore.Key{}, limit)
			if err == nil {
				s.fail("a page of %d records is no error", limit)
			}
		}
	}},
	{"what has ended does not end a list", func(s *scene) {
		owner, parent := key(), key()
		for range 10 {
			expired, orphan := s.record(time.Second), s.record(time.Hour, parent)
			revoked := s.record(time.Hour)
			expired.Owner, orphan.Owner, revoked.Owner = owner, owner, owner
			s.commit(nil, expired, orphan, revoked)
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
			s.must(once(got, []tokenstore.Record{live}), nil, "the one that is live")
		}
	}},
	{"records may come and go while a list is read", func(s *scene) {
		for _, limit := range []int{1, 2, 7} {
			s.readWhileChanging(limit)
		}
	}},
	{"records may come and go at the same time as a page is read", func(s *scene) {
		owner := key()
		stable := s.own(owner, 30)
		read := make(chan struct{})
		for _, err := range crowd(4, func(i int) error {
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

// comeAndGo puts records of an owner and discards them, until a channel is closed.
func (s *scene) comeAndGo(owner tokenstore.Key, until <-chan struct{}) error {
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

// readWhileChanging ends and puts records after every page.
func (s *scene) readWhileChanging(limit int) {
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
				s.fail("a record is listed that had ended before the page was read")
			}
		}
		got = append(got, page...)
		if turn++; turn > 20 {
			return
		}
		if len(page) > 0 { // what the next page begins after
			end(page[len(page)-1].Key)
		}
		if turn%2 == 0 {
			end(begin[turn].Key)
		}
		s.own(owner, 2)
	})
	s.must(once(got, stable), nil, fmt.Sprintf("pages of %d while records come and go", limit))
}

// own commits records of an owner, each in a batch of its own.
func (s *scene) own(owner tokenstore.Key, n int) (list []tokenstore.Record) {
	for range n {
		r := s.record(time.Hour)
		r.Owner = owner
		s.commit(nil, r)
		list = append(list, r)
	}
	return list
}

// pages reads all pages of an owner.
func (s *scene) pages(owner tokenstore.Key, limit int, see func([]tokenstore.Record)) {
	s.must(s.readPages(owner, limit, see), nil, "List")
}

func (s *scene) readPages(owner tokenstore.Key, limit int, see func([]tokenstore.Record)) error {
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

// page reads one page, and returns an error where it is not what every page is.
func (s *scene) page(owner, after tokenstore.Key, limit int) (
	[]tokenstore.Record, tokenstore.Key, error) {
	page, next, err := s.store.List(s.ctx, s.now, owner, after, limit)
	if err != nil {
		return nil, tokenstore.Key{}, err
	}
	if len(page) > limit || len(page) > tokenstore.MaxPage {
		return nil, next, fmt.Errorf("a page of %d has %d records", limit, len(page))
	}
	at := after
	for _, r := range page {
		if bytes.Compare(r.Key[:], at[:]) <= 0 {
			return nil, next, errors.New("a record whose key is not greater than the one before")
		}
		at = r.Key
	}
	if next != (tokenstore.Key{}) && (next == after || bytes.Compare(next[:], at[:]) < 0) {
		return nil, next, errors.New("the next page begins before the end of this one")
	}
	return page, next, nil
}

// once reports whether every one of want is among the records, and none is there twice.
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
			return errors.New("a record is not listed, or not as it was put")
		}
	}
	return nil
}
