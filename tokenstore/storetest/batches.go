package storetest

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// batchPromises are about all or nothing.
var batchPromises = []promise{
	{"a key is put once", func(s *scene) {
		r := s.record(time.Hour)
		s.commit(nil, r)
		again := r
		again.Data = []byte("another")
		s.commit(tokenstore.ErrExists, again)
		if got := s.get(r.Key); !same(got, r) {
			s.fail("the record has become another")
		}
	}},
	{"one bad part spoils a batch", func(s *scene) {
		taken, revoked, spent := s.put(time.Hour), key(), s.mark(time.Hour)
		s.revoke(revoked, time.Hour)
		s.spend(nil, spent)
		crowded := s.record(time.Hour)
		for range tokenstore.MaxAncestors + 1 {
			crowded.Ancestors = append(crowded.Ancestors, key())
		}
		expires := s.now.Add(time.Hour)
		for what, bad := range map[string]tokenstore.Batch{
			"a key that is taken":        {Put: []tokenstore.Record{{Key: taken, Expires: expires}}},
			"a parent that is revoked":   {Put: []tokenstore.Record{s.record(time.Hour, revoked)}},
			"a key that is revoked":      {Put: []tokenstore.Record{{Key: revoked, Expires: expires}}},
			"too many ancestors":         {Put: []tokenstore.Record{crowded}},
			"a mark that is spent":       {Spend: []tokenstore.Mark{spent}},
			"a mark that is revoked":     {Spend: []tokenstore.Mark{{Key: revoked, Until: expires}}},
			"a record without key":       {Put: []tokenstore.Record{{Expires: expires}}},
			"a record that has expired":  {Put: []tokenstore.Record{s.record(0)}},
			"a mark that is over":        {Spend: []tokenstore.Mark{s.mark(0)}},
			"an ancestor without a name": {Put: []tokenstore.Record{s.record(time.Hour, tokenstore.Key{})}},
		} {
			s.spoiled(what, bad)
		}
	}},
	{"what no store accepts", func(s *scene) {
		r, m := s.record(time.Hour), s.mark(time.Hour)
		child := s.record(time.Hour, r.Key)
		for what, b := range map[string]tokenstore.Batch{
			"an empty batch":               {},
			"a key that is put twice":      {Put: []tokenstore.Record{r, r}},
			"a key that is spent twice":    {Spend: []tokenstore.Mark{m, m}},
			"a parent from the same batch": {Put: []tokenstore.Record{r, child}},
			"a child before its parent":    {Put: []tokenstore.Record{child, r}},
			"a record that is its own":     {Put: []tokenstore.Record{{Key: r.Key, Ancestors: []tokenstore.Key{r.Key}, Expires: r.Expires}}},
		} {
			if s.store.Commit(s.ctx, s.now, b) == nil {
				s.fail("Commit accepts %s", what)
			}
		}
		s.getNone(tokenstore.ErrUnknown, "what was not committed", r.Key, child.Key)
		s.spend(nil, m)
	}},
}

// spoiled commits good parts around a bad one, and then looks for what has been done.
func (s *scene) spoiled(what string, bad tokenstore.Batch) {
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
	s.commit(nil, first, last) // nothing stands in the way of the parts alone
}
