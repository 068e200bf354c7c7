package storetest

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// markPromises are about what is good once.
var markPromises = []promise{
	{"a mark is spent once", func(s *scene) {
		m := s.mark(time.Hour)
		s.spend(nil, m)
		s.spend(tokenstore.ErrSpent, m)
		s.batch(tokenstore.ErrSpent, tokenstore.Batch{Spend: []tokenstore.Mark{m}})
		alone := tokenstore.Batch{Spend: []tokenstore.Mark{s.mark(time.Hour)}}
		s.batch(nil, alone)
		s.batch(tokenstore.ErrSpent, alone)
		s.getNone(tokenstore.ErrUnknown, "a mark without record", m.Key)
	}},
	{"a record says whether it is spent", func(s *scene) {
		r := s.record(time.Hour)
		r.Owner = key()
		s.commit(nil, r)
		if s.get(r.Key).Spent || s.list(r.Owner)[0].Spent {
			s.fail("it is, before")
		}
		child := s.record(time.Hour, r.Key)
		s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{child}, Spend: []tokenstore.Mark{{Key: r.Key, Until: r.Expires}}})
		if !s.get(r.Key).Spent || !s.list(r.Owner)[0].Spent {
			s.fail("it is not, after")
		}
		if s.get(child.Key).Spent {
			s.fail("what was made from it is")
		}
		s.put(time.Hour, r.Key) // spent is not revoked
	}},
	{"a record of a spent key can be put later", func(s *scene) {
		r := s.record(time.Hour)
		s.spend(nil, tokenstore.Mark{Key: r.Key, Until: r.Expires})
		r.Spent = false
		s.commit(nil, r)
		if !s.get(r.Key).Spent {
			s.fail("to put a record unspends its key")
		}
	}},
	{"a key keeps all that is known of it when it gets a record", func(s *scene) {
		r := s.record(time.Hour)
		mark := tokenstore.Mark{Key: r.Key, Until: r.Expires}
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(24*time.Hour, r.Key)}, Spend: []tokenstore.Mark{mark}}
		s.batch(nil, b)
		s.commit(nil, r)
		s.spend(tokenstore.ErrSpent, mark)
		s.discard(tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}, Spend: b.Spend}) // not the one that spent it
		if !s.get(r.Key).Spent {
			s.fail("to put a record unspends its key")
		}
		s.discard(b)
		if s.get(r.Key).Spent {
			s.fail("the key stays spent after the batch that spent it is discarded")
		}
		s.batch(nil, b)
		s.after(2 * time.Hour)
		s.revoke(r.Key, time.Second)
		s.after(20 * time.Hour)
		s.getNone(tokenstore.ErrRevoked, "what was made from a key before that had a record", b.Put[0].Key)
	}},
	{"a mark lives until the time that was said", func(s *scene) {
		m := s.mark(24 * time.Hour)
		m.Until = m.Until.Add(time.Millisecond) // a fraction counts
		s.spend(nil, m)
		s.after(24 * time.Hour)
		s.spend(tokenstore.ErrSpent, tokenstore.Mark{Key: m.Key, Until: s.now.Add(time.Hour)})
	}},
	{"a mark lives as long as what was made from it", func(s *scene) {
		ticket := s.mark(time.Minute)
		s.batch(nil, tokenstore.Batch{Put: []tokenstore.Record{s.record(24*time.Hour, ticket.Key)}, Spend: []tokenstore.Mark{ticket}})
		s.after(23 * time.Hour)
		s.spend(tokenstore.ErrSpent, tokenstore.Mark{Key: ticket.Key, Until: s.now.Add(time.Hour)})
	}},
}

// discardPromises are about undoing.
var discardPromises = []promise{
	{"a discarded batch has never been", func(s *scene) {
		parent, m := s.put(time.Hour), s.mark(time.Hour)
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour, parent), s.record(time.Hour)}, Spend: []tokenstore.Mark{m}}
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
			s.fail("after Discard and Commit the record is not as it was put")
		}
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"discarding again undoes nothing of others", func(s *scene) {
		m := s.mark(time.Hour)
		b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}, Spend: []tokenstore.Mark{m}}
		s.batch(nil, b)
		s.discard(b)
		s.spend(nil, m) // by another batch
		s.discard(b)
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"a batch that lost discards nothing of the winner", func(s *scene) {
		m := s.mark(time.Hour)
		s.spend(nil, m)
		loser := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour)}, Spend: []tokenstore.Mark{m}}
		s.batch(tokenstore.ErrSpent, loser)
		s.discard(loser)
		s.spend(tokenstore.ErrSpent, m)
	}},
	{"discarding revives nothing", func(s *scene) {
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
