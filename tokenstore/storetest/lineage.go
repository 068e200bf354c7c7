package storetest

import (
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// lineagePromises are about what ends together, and what does not.
var lineagePromises = []promise{
	{"a tombstone ends all that was made, three hops deep", func(s *scene) {
		a := s.put(time.Hour)
		b := s.put(time.Hour, a)
		c := s.put(time.Hour, b)
		d := s.put(time.Hour, c)
		if got := s.get(d).Ancestors; len(got) != 3 || !slices.Contains(got, a) || !slices.Contains(got, b) || !slices.Contains(got, c) {
			s.fail("of three ancestors, %d are known", len(got))
		}
		s.revoke(c, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a revoked record and what was made from it", c, d)
		s.get(a)
		s.get(b)
		s.revoke(a, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "what was made from a revoked record", a, b)
		for _, parent := range []tokenstore.Key{a, b, c, d} {
			s.commit(tokenstore.ErrRevoked, s.record(time.Hour, parent))
		}
	}},
	{"any of several parents ends a child", func(s *scene) {
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
	{"what is not known can be revoked", func(s *scene) {
		parent := key()
		child := s.put(time.Hour, parent)
		s.revoke(parent, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child, and a key without record", child, parent)
		early := key()
		s.revoke(early, time.Hour)
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, early))
		s.commit(tokenstore.ErrRevoked, tokenstore.Record{Key: early, Expires: s.now.Add(time.Hour)})
		s.spend(tokenstore.ErrRevoked, tokenstore.Mark{Key: early, Until: s.now.Add(time.Hour)})
		s.revoke(early, time.Hour) // twice is no error
	}},
	{"a tombstone lives as long as what it must end", func(s *scene) {
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
	{"a tombstone stays until the time that was said", func(s *scene) {
		unknown := key()
		s.revoke(unknown, 48*time.Hour)
		s.revoke(unknown, time.Minute) // which makes it no shorter
		s.after(48*time.Hour - time.Second)
		s.commit(tokenstore.ErrRevoked, s.record(time.Hour, unknown))
	}},
	{"a parent that has expired can still be revoked", func(s *scene) {
		parent := s.put(time.Minute, key())
		child := s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		s.get(child)
		s.revoke(parent, 0)
		s.getNone(tokenstore.ErrRevoked, "a child of a parent revoked late", child)
	}},
	{"the end of a parent by time ends nothing", func(s *scene) {
		root := s.put(time.Minute)
		parent := s.put(2*time.Minute, root)
		child := s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		s.getNone(tokenstore.ErrUnknown, "an expired parent", root, parent)
		if got := s.get(child); len(got.Ancestors) != 2 {
			s.fail("the ancestors of a child are forgotten with them")
		}
		s.put(time.Hour, child)
	}},
	{"an expired parent still has ancestors", func(s *scene) {
		root := s.put(time.Minute)
		parent := s.put(time.Minute, root)
		s.put(24*time.Hour, parent)
		s.after(23 * time.Hour)
		late := s.put(time.Hour, parent)
		s.revoke(root, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "what was made from an expired parent", late)
	}},
	{"a parent that expires during an exchange still has ancestors", func(s *scene) {
		root := s.put(24 * time.Hour)
		parent := s.put(time.Minute, root)
		s.after(time.Minute + tokenstore.Linger - time.Second)
		late := s.put(time.Hour, parent)
		s.revoke(root, time.Hour)
		s.getNone(tokenstore.ErrRevoked, "what was made from a parent that has just expired", late)
	}},
	{"ancestors are counted with theirs", func(s *scene) {
		parent := s.record(time.Hour)
		for range tokenstore.MaxAncestors - 1 {
			parent.Ancestors = append(parent.Ancestors, key())
		}
		s.commit(nil, parent)
		last := s.put(time.Hour, parent.Key, parent.Ancestors[0])
		if got := s.get(last).Ancestors; len(got) != tokenstore.MaxAncestors {
			s.fail("of %d ancestors, %d are known", tokenstore.MaxAncestors, len(got))
		}
		s.commit(tokenstore.ErrTooMany, s.record(time.Hour, last))
		s.commit(tokenstore.ErrTooMany, s.record(time.Hour, parent.Key, key()))
		s.revoke(parent.Ancestors[tokenstore.MaxAncestors-2], time.Hour)
		s.getNone(tokenstore.ErrRevoked, "a child of many", last)
	}},
}
