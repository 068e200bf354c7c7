package storetest

import (
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// lineagePromises are about the records that a revocation ends, and those that it does not end.
var lineagePromises = []promise{
	{"a tombstone revokes what was made from its key, three hops deep", func(s *suite) {
		a := s.put(time.Hour)
		b := s.put(time.Hour, a)
		c := s.put(time.Hour, b)
		d := s.put(time.Hour, c)
		got := s.get(d).Ancestors
		for _, ancestor := range []tokenstore.Key{a, b, c} {
			if len(got) != 3 || !slices.Contains(got, ancestor) {
				s.fail("the record has %d ancestors, want its 3", len(got))
			}
		}
		s.revoke(c, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a revoked record and its child", c, d)
		s.get(a)
		s.get(b)
		s.revoke(a, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a revoked record and its child", a, b)
		for _, parent := range []tokenstore.Key{a, b, c, d} {
			s.commit(tokenstore.ErrRevoked, s.record(time.Hour, parent))
		}
	}},
	{"the tombstone of any parent revokes a child", func(s *suite) {
		for i := range 3 {
			parents := []tokenstore.Key{s.put(time.Hour), key(), s.put(time.Hour, key())}
			child := s.put(time.Hour, parents...)
			s.revoke(parents[i], time.Hour)
			s.getNone(tokenstore.ErrRevoked, "a child of a revoked parent", child)
			for j, other := range parents {
				if j != i && j != 1 {
					s.get(other)
				}
			}
		}
	}},
	{"an unknown key can be revoked", func(s *suite) {
		parent := key()
		child := s.put(time.Hour, parent)
		s.revoke(parent, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child and its parent without record", child, parent)
		early := key()
		s.revoke(early, time.Hour)
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, early))
		late := s.record(time.Hour)
		late.Key = early
		s.commit(tokenstore.ErrRevoked, late)
		s.spend(tokenstore.ErrRevoked, tokenstore.Mark{Key: early, Until: s.now.Add(time.Hour)})
		s.revoke(early, time.Hour) // to revoke a key twice is no error
	}},
	{"a tombstone lives as long as the records that it revokes", func(s *suite) {
		parent, unknown := s.put(time.Minute), key()
		child := s.put(24*time.Hour, parent, unknown)
		grandchild := s.put(48*time.Hour, child)
		s.revoke(parent, time.Minute)
		s.revoke(unknown, -time.Minute)
		s.after(47 * time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child long after its parent", grandchild)
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, parent))
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, unknown))
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, child))
	}},
	{"a tombstone lives until the given time", func(s *suite) {
		unknown := key()
		s.revoke(unknown, 48*time.Hour)
		s.revoke(unknown, time.Minute) // does not shorten the time
		s.after(48*time.Hour - time.Second)
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, unknown))
	}},
	{"an expired parent can still be revoked", func(s *suite) {
		parent := s.put(time.Minute, key())
		child := s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		s.get(child)
		s.revoke(parent, 0)
		s.getNone(tokenstore.ErrRevoked, "a child whose parent was revoked after its expiry", child)
	}},
	{"the expiry of a parent does not revoke a child", func(s *suite) {
		root := s.put(time.Minute)
		parent := s.put(2*time.Minute, root)
		child := s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		s.getNone(tokenstore.ErrUnknown, "an expired parent", root, parent)
		if got := s.get(child); len(got.Ancestors) != 2 {
			s.fail("the record has %d ancestors after their expiry, want 2", len(got.Ancestors))
		}
		s.put(time.Hour, child)
	}},
	{"an expired parent still has ancestors", func(s *suite) {
		root := s.put(time.Minute)
		parent := s.put(time.Minute, root)
		s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		late := s.put(time.Hour, parent)
		s.revoke(root, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child of an expired parent", late)
	}},
	{"a parent that expires during an exchange still has ancestors", func(s *suite) {
		root := s.put(24 * time.Hour)
		parent := s.put(time.Minute, root)
		s.after(time.Minute + tokenstore.Linger - time.Second)
		late := s.put(time.Hour, parent)
		s.revoke(root, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child of a parent that has just expired", late)
	}},
	{"the ancestors of ancestors count", func(s *suite) {
		parent := s.record(time.Hour)
		for range tokenstore.MaxAncestors - 1 {
			parent.Ancestors = append(parent.Ancestors, key())
		}
		s.commit(nil, parent)
		last := s.put(time.Hour, parent.Key, parent.Ancestors[0])
		if got := s.get(last).Ancestors; len(got) != tokenstore.MaxAncestors {
			s.fail("the record has %d ancestors, want %d", len(got), tokenstore.MaxAncestors)
		}
		s.commit(tokenstore.ErrTooMany, s.record(time.Hour, last))
		s.commit(tokenstore.ErrTooMany, s.record(time.Hour, parent.Key, key()))
		s.revoke(parent.Ancestors[tokenstore.MaxAncestors-2], time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a record with a revoked ancestor", last)
	}},
}
