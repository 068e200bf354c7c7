package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// recordPromises are about what is put and got.
var recordPromises = []promise{
	{"what was put is got", func(s *scene) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for _, data := range [][]byte{nil, {}, {0}, all, bytes.Repeat([]byte("long"), 16<<10)} {
			r := tokenstore.Record{Key: key(), Ancestors: []tokenstore.Key{key(), key()}, Owner: key(), Expires: s.now.Add(time.Hour), Data: data}
			s.commit(nil, r)
			if got := s.get(r.Key); !same(got, r) {
				s.fail("put %+v, got %+v", r, got)
			}
		}
		s.getNone(tokenstore.ErrUnknown, "a key that nobody has put", key(), tokenstore.Key{})
	}},
	{"data of any length are got whole, whatever was there before", func(s *scene) {
		other := s.record(time.Hour)
		s.commit(nil, other)
		long := make([]byte, 600)
		for i := range long {
			long[i] = byte(1 + i%255)
		}
		for length := range long {
			r := s.record(time.Hour, other.Key)
			r.Owner = key()
			for _, n := range []int{length, length / 2, 0, len(long)} { // under one key, one after the other
				r.Data = long[len(long)-n:]
				s.commit(nil, r)
				s.put(2*time.Hour, r.Key)
				if got := s.get(r.Key); !same(got, r) {
					s.fail("put %d bytes, got %d, or others", n, len(got.Data))
				}
				if list := s.list(r.Owner); len(list) != 1 || !same(list[0], r) {
					s.fail("put %d bytes, and others are listed", n)
				}
				s.discard(tokenstore.Batch{Put: []tokenstore.Record{r}})
			}
		}
		if got := s.get(other.Key); !same(got, other) {
			s.fail("the record of another key has become %+v", got)
		}
	}},
	{"keys are compared whole", func(s *scene) {
		first := tokenstore.Record{Key: key(), Owner: key(), Expires: s.now.Add(time.Hour), Data: []byte("first")}
		first.Key[0], first.Owner[0] = 1, 1
		s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{first}, Spend: []tokenstore.Mark{{Key: first.Key, Until: first.Expires}}})
		for i := range first.Key {
			other := first
			other.Key[i] ^= 0x80
			other.Owner[i] ^= 0x80
			s.getNone(tokenstore.ErrUnknown, fmt.Sprintf("a key that differs in byte %d", i), other.Key)
			other.Data = []byte("other")
			s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{other}, Spend: []tokenstore.Mark{{Key: other.Key, Until: first.Expires}}})
			if got := s.get(other.Key); string(got.Data) != "other" {
				s.fail("a key that differs in byte %d has the record %q", i, got.Data)
			}
			if list := s.list(other.Owner); len(list) != 1 || list[0].Key != other.Key {
				s.fail("an owner that differs in byte %d has %d records", i, len(list))
			}
			s.revoke(other.Key, time.Hour)
		}
		if got := s.get(first.Key); string(got.Data) != "first" || len(s.list(first.Owner)) != 1 {
			s.fail("the first record has become %q", got.Data)
		}
	}},
	{"slices are copies", func(s *scene) {
		owner := key()
		r := tokenstore.Record{Key: key(), Ancestors: []tokenstore.Key{key()}, Owner: owner, Expires: s.now.Add(time.Hour), Data: []byte("data")}
		want := r
		want.Data, want.Ancestors = bytes.Clone(r.Data), slices.Clone(r.Ancestors)
		s.commit(nil, r)
		scribble := func(r tokenstore.Record) { r.Data[0], r.Ancestors[0] = 'X', key() }
		for _, who := range []func(){func() { scribble(r) }, func() { scribble(s.get(r.Key)) }, func() { scribble(s.list(owner)[0]) }} {
			who()
			if got := s.get(r.Key); !same(got, want) {
				s.fail("a record was changed from outside")
			}
		}
	}},
	{"a record ends when it expires", func(s *scene) {
		r := s.record(time.Minute)
		fraction := s.record(time.Minute + 900*time.Millisecond)
		r.Owner, fraction.Owner = key(), key()
		s.commit(nil, r, fraction)
		s.now = s.now.Add(time.Minute - time.Second)
		if got := s.get(r.Key); !got.Expires.Equal(r.Expires) {
			s.fail("it expires at %v, and was put until %v", got.Expires, r.Expires)
		}
		s.get(fraction.Key)
		s.now = s.now.Add(time.Second)
		s.getNone(tokenstore.ErrUnknown, "an expired record", r.Key, fraction.Key)
		if len(s.list(r.Owner))+len(s.list(fraction.Owner)) > 0 {
			s.fail("an expired record is listed")
		}
		s.now = s.now.Add(-time.Second)
		s.get(r.Key) // a machine whose clock is behind
	}},
	{"an owner lists what is live", func(s *scene) {
		owner, parent, want := key(), key(), map[tokenstore.Key]bool{}
		for range 5 {
			r := s.record(time.Hour)
			r.Owner = owner
			s.commit(nil, r)
			want[r.Key] = true
		}
		short, revoked, orphan, other := s.record(time.Second), s.record(time.Hour), s.record(time.Hour, parent), s.record(time.Hour)
		short.Owner, revoked.Owner, orphan.Owner, other.Owner = owner, owner, owner, key()
		gone := s.record(time.Hour)
		gone.Owner = owner
		s.commit(nil, short, revoked, orphan, other, s.record(time.Hour))
		s.commit(nil, gone)
		s.revoke(revoked.Key, time.Hour)
		s.revoke(parent, time.Hour)
		s.discard(tokenstore.Batch{Put: []tokenstore.Record{gone}})
		s.after(time.Second)
		for _, r := range s.list(owner) {
			if !want[r.Key] || r.Owner != owner || string(r.Data) != "data" {
				s.fail("a record is listed that is not live, not the owner's or twice there: %+v", r)
			}
			delete(want, r.Key)
		}
		if len(want) > 0 {
			s.fail("%d records are not listed", len(want))
		}
		if len(s.list(tokenstore.Key{}))+len(s.list(key())) > 0 {
			s.fail("nobody owns something")
		}
	}},
	{"a context that is over changes nothing", func(s *scene) {
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}, Spend: []tokenstore.Mark{s.mark(time.Hour)}}
		kept := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}}
		s.batch(nil, kept)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, getting := s.store.Get(ctx, s.now, kept.Put[0].Key)
		_, _, listing := s.store.List(ctx, s.now, key(), tokenstore.Key{}, 1)
		for what, err := range map[string]error{
			"Commit": s.store.Commit(ctx, s.now, b), "Discard": s.store.Discard(ctx, kept), "Get": getting, "List": listing,
			"Revoke": s.store.Revoke(ctx, s.now, kept.Put[0].Key, s.now.Add(time.Hour)),
		} {
			s.must(err, context.Canceled, what+" under a context that is over")
		}
		s.getNone(tokenstore.ErrUnknown, "what was not committed", b.Put[0].Key)
		s.get(kept.Put[0].Key)
		s.spend(nil, b.Spend...)
	}},
}
