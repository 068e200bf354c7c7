package storetest

import (
	"errors"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// racePromises are about concurrent calls.
var racePromises = []promise{
	{"one of several concurrent batches spends a mark", func(s *suite) {
		for range 20 {
			m, records := s.mark(time.Hour), make([]tokenstore.Record, 8)
			for i := range records {
				records[i] = s.record(time.Hour)
			}
			winners := 0
			for i, err := range concurrently(len(records), func(i int) error {
				b := tokenstore.Batch{Put: records[i : i+1], Spend: []tokenstore.Mark{m}}
				return s.store.Commit(s.ctx, s.now, b)
			}) {
				if err == nil {
					winners++
					s.get(records[i].Key)
					continue
				}
				s.must(err, tokenstore.ErrSpent, "Commit of a loser")
				s.getNone(tokenstore.ErrUnknown, "the record of a loser", records[i].Key)
			}
			if winners != 1 {
				s.fail("%d batches have spent one mark", winners)
			}
		}
	}},
	{"one of several concurrent batches puts a key", func(s *suite) {
		for range 20 {
			r := s.record(time.Hour)
			winners := 0
			for _, err := range concurrently(8, func(int) error {
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
	{"a record that is put while its parent is revoked does not stay live", func(s *suite) {
		for round := range 40 {
			s.revokeDuringCommits(round%3 == 0)
		}
	}},
	{"batches with the same ancestors do not deadlock", func(s *suite) {
		one, two := s.put(time.Hour), s.put(time.Hour)
		for _, err := range concurrently(16, func(i int) error {
			parents := []tokenstore.Key{one, two}
			if i%2 == 0 {
				parents = []tokenstore.Key{two, one}
			}
			var errs []error
			for range 20 {
				b := tokenstore.Batch{Put: []tokenstore.Record{s.record(time.Hour, parents...)}}
				errs = append(errs, s.store.Commit(s.ctx, s.now, b))
			}
			return errors.Join(errs...)
		}) {
			s.must(err, nil, "Commit")
		}
	}},
}

// revokeDuringCommits revokes a key while other goroutines make chains of three records from it. If
// unknown is set, the key has no record.
func (s *suite) revokeDuringCommits(unknown bool) {
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
	errs := concurrently(racers+1, func(i int) error {
		if i == racers {
			return s.store.Revoke(s.ctx, s.now, root, s.now.Add(time.Hour))
		}
		for j := range chains[i] {
			err := s.store.Commit(s.ctx, s.now, tokenstore.Batch{Put: chains[i][j : j+1]})
			if errors.Is(err, tokenstore.ErrRevoked) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		s.must(err, nil, "Commit and Revoke at the same time")
	}
	for _, chain := range chains {
		for _, r := range chain {
			_, err := s.store.Get(s.ctx, s.now, r.Key)
			if !errors.Is(err, tokenstore.ErrRevoked) && !errors.Is(err, tokenstore.ErrUnknown) {
				s.fail("Get of a record whose ancestor is revoked: got %v", err)
			}
			s.commit(tokenstore.ErrRevoked, s.record(time.Hour, root))
		}
	}
}
