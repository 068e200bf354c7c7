package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// recordPromises are about putting and getting records.
var recordPromises = []promise{
	{"Get returns what was put", func(s *suite) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for _, data := range [][]byte{nil, {}, {0}, all, bytes.Repeat([]byte("long"), 16<<10)} {
			r := s.record(time.Hour, key(), key())
			r.Owner, r.Data = key(), data
			s.commit(nil, r)
			if got := s.get(r.Key); !same(got, r) {
				s.fail("put %+v, got %+v", r, got)
			}
		}
		s.getNone(tokenstore.ErrUnknown, "a key without record", key(), tokenstore.Key{})
	}},
	{"data of any length is kept, whatever data the key had before", func(s *suite) {
		other := s.record(time.Hour)
		s.commit(nil, other)
		long := make([]byte, 600)
		for i := range long {
			long[i] = byte(1 + i%255)
		}
		for length := range long {
			r := s.record(time.Hour, other.Key)
			r.Owner = key()
			for _, n := range []int{length, length / 2, 0, len(long)} { // all under the same key
				r.Data = long[len(long)-n:]
				s.commit(nil, r)
				s.put(2*time.Hour, r.Key)
				if got := s.get(r.Key); !same(got, r) {
					s.fail("Get differs from a record with %d bytes: it has %d", n, len(got.Data))
				}
				if list := s.list(r.Owner); len(list) != 1 || !same(list[0], r) {
					s.fail("List differs from a record with %d bytes", n)
				}
				s.discard(tokenstore.Batch{Put: []tokenstore.Record{r}})
			}
		}
		if got := s.get(other.Key); !same(got, other) {
			s.fail("the record of another key has changed to %+v", got)
		}
	}},
	{"keys are compared in all bytes", func(s *suite) {
		putAndSpend := func(r tokenstore.Record) {
			s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{r},
				Spend: []tokenstore.Mark{{Key: r.Key, Until: r.Expires}}})
		}
		first := s.record(time.Hour)
		first.Owner, first.Data = key(), []byte("first")
		first.Key[0], first.Owner[0] = 1, 1
		putAndSpend(first)
		for i := range first.Key {
			other := first
			other.Key[i] ^= 0x80
			other.Owner[i] ^= 0x80
			what := fmt.Sprintf("a key that differs in byte %d", i)
			s.getNone(tokenstore.ErrUnknown, what, other.Key)
			other.Data = []byte("other")
			putAndSpend(other)
			if got := s.get(other.Key); string(got.Data) != "other" {
				s.fail("%s has the record %q", what, got.Data)
			}
			if list := s.list(other.Owner); len(list) != 1 || list[0].Key != other.Key {
				s.fail("an owner that differs in byte %d has %d records", i, len(list))
			}
			s.revoke(other.Key, time.Hour)
		}
		if got := s.get(first.Key); string(got.Data) != "first" || len(s.list(first.Owner)) != 1 {
			s.fail("the first record has changed to %q", got.Data)
		}
	}},
	{"slices are copied", func(s *suite) {
		owner := key()
		r := s.record(time.Hour, key())
		r.Owner = owner
		want := r
		want.Data, want.Ancestors = bytes.Clone(r.Data), slices.Clone(r.Ancestors)
		s.commit(nil, r)
		for what, source := range map[string]func() tokenstore.Record{
			"Commit": func() tokenstore.Record { return r },
			"Get":    func() tokenstore.Record { return s.get(r.Key) },
			"List":   func() tokenstore.Record { return s.list(owner)[0] },
		} {
			shared := source()
			shared.Data[0], shared.Ancestors[0] = 'X', key()
			if got := s.get(r.Key); !same(got, want) {
				s.fail("the store shares the slices of a record with the caller of %s", what)
			}
		}
	}},
	{"a record is not returned after its expiry", func(s *suite) {
		r := s.record(time.Minute)
		fraction := s.record(time.Minute + 900*time.Millisecond)
		r.Owner, fraction.Owner = key(), key()
		s.commit(nil, r, fraction)
		s.now = s.now.Add(time.Minute - time.Second)
		if got := s.get(r.Key); !got.Expires.Equal(r.Expires) {
			s.fail("Get returns the expiry %v, want %v", got.Expires, r.Expires)
		}
		s.get(fraction.Key)
		s.now = s.now.Add(time.Second)
		s.getNone(tokenstore.ErrUnknown, "an expired record", r.Key, fraction.Key)
		if len(s.list(r.Owner))+len(s.list(fraction.Owner)) > 0 {
			s.fail("an expired record is listed")
		}
		s.now = s.now.Add(-time.Second)
		s.get(r.Key) // by a machine whose clock is behind
	}},
	{"List returns the live records of an owner", func(s *suite) {
		owner, parent, want := key(), key(), map[tokenstore.Key]bool{}
		for range 5 {
			r := s.record(time.Hour)
			r.Owner = owner
			s.commit(nil, r)
			want[r.Key] = true
		}
		expired, revoked := s.record(time.Second), s.record(time.Hour)
		child, other := s.record(time.Hour, parent), s.record(time.Hour)
		expired.Owner, revoked.Owner, child.Owner, other.Owner = owner, owner, owner, key()
		discarded := s.record(time.Hour)
		discarded.Owner = owner
		s.commit(nil, expired, revoked, child, other, s.record(time.Hour))
		s.commit(nil, discarded)
		s.revoke(revoked.Key, time.Hour)
		s.revoke(parent, time.Hour)
		s.discard(tokenstore.Batch{Put: []tokenstore.Record{discarded}})
		s.after(time.Second)
		for _, r := range s.list(owner) {
			if !want[r.Key] || r.Owner != owner || string(r.Data) != "data" {
				s.fail("a record is not live, not of the owner, or listed twice: %+v", r)
			}
			delete(want, r.Key)
		}
		if len(want) > 0 {
			s.fail("%d records are not listed", len(want))
		}
		if len(s.list(tokenstore.Key{}))+len(s.list(key())) > 0 {
			s.fail("an owner without records has some")
		}
	}},
	{"a call with a canceled context changes nothing", func(s *suite) {
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)},
			Spend: []tokenstore.Mark{s.mark(time.Hour)}}
		committed := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}}
		s.batch(nil, committed)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, getErr := s.store.Get(ctx, s.now, committed.Put[0].Key)
		_, _, listErr := s.store.List(ctx, s.now, key(), tokenstore.Key{}, 1)
		for what, err := range map[string]error{
			"Commit":  s.store.Commit(ctx, s.now, b),
			"Discard": s.store.Discard(ctx, committed),
			"Get":     getErr,
			"List":    listErr,
			"Revoke":  s.store.Revoke(ctx, s.now, committed.Put[0].Key, s.now.Add(time.Hour)),
		} {
			s.must(err, context.Canceled, what+" with a canceled context")
		}
		s.getNone(tokenstore.ErrUnknown, "a record that was not committed", b.Put[0].Key)
		s.get(committed.Put[0].Key)
		s.spend(nil, b.Spend...)
	}},
}
