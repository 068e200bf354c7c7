package storetest

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// markPromises are about spending a key once.
var markPromises = []promise{
	{"a mark can be spent only once", func(s *suite) {
		m := s.mark(time.Hour)
		s.spend(nil, m)
		s.spend(tokenstore.ErrSpent, m)
		s.batch(tokenstore.ErrSpent, tokenstore.Batch{Spend: []tokenstore.Mark{m}})
		alone := tokenstore.Batch{Spend: []tokenstore.Mark{s.mark(time.Hour)}}
		s.batch(nil, alone)
		s.batch(tokenstore.ErrSpent, alone)
		s.getNone(tokenstore.ErrUnknown, "a mark without record", m.Key)
	}},
	{"a record shows whether its key is spent", func(s *suite) {
		r := s.record(time.Hour)
		r.Owner = key()
		s.commit(nil, r)
		if s.get(r.Key).Spent || s.list(r.Owner)[0].Spent {
			s.fail("the record is spent before its key is")
		}
		child := s.record(time.Hour, r.Key)
		s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{child},
			Spend: []tokenstore.Mark{{Key: r.Key, Until: r.Expires}}})
		if !s.get(r.Key).Spent || !s.list(r.Owner)[0].Spent {
			s.fail("the record is not spent after its key is")
		}
		if s.get(child.Key).Spent {
			s.fail("a child of a spent key is spent")
		}
		s.put(time.Hour, r.Key) // a spent key is not revoked
	}},
	{"a record of a spent key can be put later", func(s *suite) {
		r := s.record(time.Hour)
		s.spend(nil, tokenstore.Mark{Key: r.Key, Until: r.Expires})
		r.Spent = false
		s.commit(nil, r)
		if !s.get(r.Key).Spent {
			s.fail("putting a record has unspent its key")
		}
	}},
	{"a key that gets a record keeps its mark, children and lifetime", func(s *suite) {
		r := s.record(time.Hour)
		mark := tokenstore.Mark{Key: r.Key, Until: r.Expires}
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(24*time.Hour, r.Key)},
			Spend: []tokenstore.Mark{mark}}
		s.batch(nil, b)
		s.commit(nil, r)
		s.spend(tokenstore.ErrSpent, mark)
		other := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}, Spend: b.Spend}
		s.discard(other) // another batch than the one that spent the key
		if !s.get(r.Key).Spent {
			s.fail("discarding another batch has unspent the key")
		}
		s.discard(b)
		if s.get(r.Key).Spent {
			s.fail("discarding the batch that spent the key has not unspent it")
		}
		s.batch(nil, b)
		s.after(2 * time.Hour)
		s.revoke(r.Key, time.Second)
		s.after(20 * time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child from before the key had a record", b.Put[0].Key)
	}},
	{"a mark lives until the given time", func(s *suite) {
		m := s.mark(24 * time.Hour)
		m.Until = m.Until.Add(time.Millisecond) // a fraction of a second counts
		s.spend(nil, m)
		s.after(24 * time.Hour)
		s.spend(tokenstore.ErrSpent, tokenstore.Mark{Key: m.Key, Until: s.now.Add(time.Hour)})
	}},
	{"a mark lives as long as what was made from its key", func(s *suite) {
		ticket := s.mark(time.Minute)
		child := s.record(24*time.Hour, ticket.Key)
		s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{child},
			Spend: []tokenstore.Mark{ticket}})
		s.after(23 * time.Hour)
		s.spend(tokenstore.ErrSpent, tokenstore.Mark{Key: ticket.Key, Until: s.now.Add(time.Hour)})
	}},
}

// discardPromises are about undoing a Commit.
var discardPromises = []promise{
	{"Discard undoes a Commit", func(s *suite) {
		parent, m := s.put(time.Hour), s.mark(time.Hour)
		b := tokenstore.Batch{
			Put:   []tokenstore.Record{s.record(time.Hour, parent), s.record(time.Hour)},
			Spend: []tokenstore.Mark{m},
		}
		b.Put[0].Owner = key()
		s.batch(nil, b)
		s.discard(b)
		s.getNone(tokenstore.ErrUnknown, "a discarded record", b.Put[0].Key, b.Put[1].Key)
		if len(s.list(b.Put[0].Owner)) > 0 {
			s.fail("a discarded record is listed")
		}
		s.get(parent)
		s.batch(nil, b)
		if got := s.get(b.Put[0].Key); got.Key != b.Put[0].Key || len(got.Ancestors) != 1 {
			s.fail("after Discard and another Commit, the record differs from what was put")
		}
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"a second Discard undoes nothing of other batches", func(s *suite) {
		m := s.mark(time.Hour)
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)},
			Spend: []tokenstore.Mark{m}}
		s.batch(nil, b)
		s.discard(b)
		s.spend(nil, m) // in another batch
		s.discard(b)
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"Discard of a refused batch undoes nothing of the winner", func(s *suite) {
		m := s.mark(time.Hour)
		s.spend(nil, m)
		loser := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)},
			Spend: []tokenstore.Mark{m}}
		s.batch(tokenstore.ErrSpent, loser)
		s.discard(loser)
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"Discard removes no tombstone", func(s *suite) {
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour, key())}}
		s.batch(nil, b)
		child := s.put(time.Hour, b.Put[0].Key)
		s.revoke(b.Put[0].Ancestors[0], time.Hour)
		s.revoke(b.Put[0].Key, time.Hour)
		s.discard(b)
		s.getNone(tokenstore.ErrRevoked, "a revoked child", child, b.Put[0].Key)
		s.batch(tokenstore.ErrRevoked, b)
	}},
}
