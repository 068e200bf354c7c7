package storetest

import (
	"errors"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// racePromises are about what happens at the same time.
var racePromises = []promise{
	{"of all who spend a mark, one wins", func(s *scene) {
		for range 20 {
			m, records := s.mark(time.Hour), make([]tokenstore.Record, 8)
			for i := range records {
				records[i] = s.record(time.Hour)
			}
			winners := 0
			for i, err := range crowd(len(records), func(i int) error {
				return s.store.Commit(s.ctx, s.now, tokenstore.Batch{Put: records[i : i+1], Spend: []tokenstore.Mark{m}})
			}) {
				if err == nil {
					winners++
					s.get(records[i].Key)
					continue
				}
				s.must(err, tokenstore.ErrSpent, "Commit of a loser")
				s.getNone(tokenstore.ErrUnknown, "what a loser has put", records[i].Key)
			}
			if winners != 1 {
				s.fail("%d batches have spent one mark", winners)
			}
		}
	}},
	{"of all who put a key, one wins", func(s *scene) {
		for range 20 {
			r := s.record(time.Hour)
			winners := 0
			for _, err := range crowd(8, func(int) error {
				return s.store.Commit(s.ctx, s.now, tokenstore.Batch{Put: []tokenstore.Record{r}})
			}) {
				if err == nil {
					winners++
				} else {
					s.must(err, tokenstore.ErrExists, "Commit of a loser")
				}
			}
			if winners != 1 {
				s.fail("%d batches have put one key", winners)
			}
		}
	}},
	{"nothing that is issued while its parent is being revoked stays active", func(s *scene) {
		for round := range 40 {
			s.chase(round%3 == 0)
		}
	}},
	{"batches that share ancestors do not block each other for ever", func(s *scene) {
		one, two := s.put(time.Hour), s.put(time.Hour)
		for _, err := range crowd(16, func(i int) error {
			parents := []tokenstore.Key{one, two}
			if i%2 == 0 {
				parents = []tokenstore.Key{two, one}
			}
			var errs []error
			for range 20 {
				errs = append(errs, s.store.Commit(s.ctx, s.now, tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour, parents...)}}))
			}
			return errors.Join(errs...)
		}) {
			s.must(err, nil, "Commit")
		}
	}},
}

// chase revokes a record while others make chains of three from it; unknown: while it has no record of its own.
func (s *scene) chase(unknown bool) {
	root := key()
	if !unknown {
		root = s.put(time.Hour)
	}
	const hops, racers = 3, 6
	var chains [racers][hops]tokenstore.Record
	for i := range chains {
		parent := root
		for j := range chains[i] {
			chains[i][j] = s.record(time.Hour, parent)
			parent = chains[i][j].Key
		}
	}
	errs := crowd(racers+1, func(i int) error {
		if i == racers {
			return s.store.Revoke(s.ctx, s.now, root, s.now.Add(time.Hour))
		}
		for j := range chains[i] {
			if err := s.store.Commit(s.ctx, s.now, tokenstore.Batch{Put: chains[i][j : j+1]}); err != nil {
				if !errors.Is(err, tokenstore.ErrRevoked) {
					return err
				}
				return nil
			}
		}
		return nil
	})
	for _, err := range errs {
		s.must(err, nil, "Commit and Revoke at the same time")
	}
	for _, chain := range chains {
		for _, r := range chain {
			if _, err := s.store.Get(s.ctx, s.now, r.Key); !errors.Is(err, tokenstore.ErrRevoked) && !errors.Is(err, tokenstore.ErrUnknown) {
				s.fail("a record is active although what it was made from is revoked: %v", err)
			}
			s.commit(tokenstore.ErrRevoked, s.record(time.Hour, root))
		}
	}
}
