package storetest

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// batchPromises are that a batch is written as a whole or not at all.
var batchPromises = []promise{
	{"a key can be put only once", func(s *suite) {
		r := s.record(time.Hour)
		s.commit(nil, r)
		again := r
		again.Data = []byte("another")
		s.commit(tokenstore.ErrExists, again)
		if got := s.get(r.Key); !same(got, r) {
			s.fail("the second record has replaced the first")
		}
	}},
	{"nothing is written of a batch with a bad part", func(s *suite) {
		taken, revoked, spent := s.put(time.Hour), key(), s.mark(time.Hour)
		s.revoke(revoked, time.Hour)
		s.spend(nil, spent)
		tooMany := s.record(time.Hour)
		for range tokenstore.MaxAncestors + 1 {
			tooMany.Ancestors = append(tooMany.Ancestors, key())
		}
		zeroParent := s.record(time.Hour, tokenstore.Key{})
		expires := s.now.Add(time.Hour)
		for what, bad := range map[string]tokenstore.Batch{
			"a key with a record":     {Put: []tokenstore.Record{{Key: taken, Expires: expires}}},
			"a revoked parent":        {Put: []tokenstore.Record{s.record(time.Hour, revoked)}},
			"a revoked key":           {Put: []tokenstore.Record{{Key: revoked, Expires: expires}}},
			"too many ancestors":      {Put: []tokenstore.Record{tooMany}},
			"a spent mark":            {Spend: []tokenstore.Mark{spent}},
			"a mark of a revoked key": {Spend: []tokenstore.Mark{{Key: revoked, Until: expires}}},
			"a record without key":    {Put: []tokenstore.Record{{Expires: expires}}},
			"an expired record":       {Put: []tokenstore.Record{s.record(0)}},
			"an expired mark":         {Spend: []tokenstore.Mark{s.mark(0)}},
			"a zero ancestor":         {Put: []tokenstore.Record{zeroParent}},
		} {
			s.commitWithBadPart(what, bad)
		}
	}},
	{"a malformed batch is an error", func(s *suite) {
		r, m := s.record(time.Hour), s.mark(time.Hour)
		child, own := s.record(time.Hour, r.Key), r
		own.Ancestors = []tokenstore.Key{r.Key}
		for what, b := range map[string]tokenstore.Batch{
			"an empty batch":                  {},
			"a key that is put twice":         {Put: []tokenstore.Record{r, r}},
			"a key that is spent twice":       {Spend: []tokenstore.Mark{m, m}},
			"a parent from the same batch":    {Put: []tokenstore.Record{r, child}},
			"a child before its parent":       {Put: []tokenstore.Record{child, r}},
			"a record that is its own parent": {Put: []tokenstore.Record{own}},
		} {
			if s.store.Commit(s.ctx, s.now, b) == nil {
				s.fail("Commit accepts %s", what)
			}
		}
		s.getNone(tokenstore.ErrUnknown, "a record that was not committed", r.Key, child.Key)
		s.spend(nil, m)
	}},
}

// commitWithBadPart commits a batch with good parts before and after a bad one, and checks that
// nothing of it was written.
func (s *suite) commitWithBadPart(what string, bad tokenstore.Batch) {
	first, last, parent := s.record(time.Second), s.record(time.Second), s.put(2*time.Second)
	first.Ancestors, first.Owner = []tokenstore.Key{parent}, key()
	one, two := s.mark(time.Hour), s.mark(time.Hour)
	b := tokenstore.Batch{
		Put:   append(append([]tokenstore.Record{first}, bad.Put...), last),
		Spend: append(append([]tokenstore.Mark{one}, bad.Spend...), two),
	}
	if s.store.Commit(s.ctx, s.now, b) == nil {
		s.fail("Commit accepts %s", what)
	}
	s.getNone(tokenstore.ErrUnknown, "a part of a batch with "+what, first.Key, last.Key)
	if len(s.list(first.Owner)) > 0 {
		s.fail("a part of a batch with %s is listed", what)
	}
	s.spend(nil, one, two)
	s.commit(nil, first, last) // the good parts alone
}
