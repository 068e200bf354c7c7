package main

import (
	"runtime"
	"sync"
)

// measureCores compares what a second core brings with what it brings to bare cryptography. What is missing is waiting:
// for locks, and for the garbage collector.
func measureCores(e effort) table {
	t := table{title: "two cores ÷ one core, exchanges by the clock", columns: algorithms}
	rows := []row{{what: "bare cryptography"}, {what: "this library"}, {what: "zitadel/oidc"},
		{what: "**this library ÷ bare cryptography**"}, {what: "zitadel/oidc ÷ bare cryptography"}}
	for _, alg := range algorithms {
		rounds := e.scaling(bareCrypto(alg, 1), ours(alg, false), peer(alg, false))
		for i, s := range []summary{
			over(rounds[0], func(r scaling) float64 { return r.floor }),
			over(rounds[0], func(r scaling) float64 { return r.gain }),
			over(rounds[1], func(r scaling) float64 { return r.gain }),
			over(rounds[0], func(r scaling) float64 { return r.gain / r.floor }),
			over(rounds[1], func(r scaling) float64 { return r.gain / r.floor }),
		} {
			f := figure{summary: s, format: "%.2f"}
			if i == 3 {
				f.goal, f.format = atLeast(0.95), "%.3f"
			}
			rows[i].figures = append(rows[i].figures, f)
		}
	}
	t.rows = rows
	return t
}

// scaling is how many times as much two cores do as one: bare cryptography right before and after, and a candidate.
type scaling struct{ floor, gain float64 }

func (e effort) scaling(floor candidate, candidates ...candidate) [][]scaling {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	gain := func(c candidate, n int) float64 {
		runtime.GOMAXPROCS(1)
		alone := each(c.begin(), n)
		runtime.GOMAXPROCS(2)
		return alone.wall / each(together(c.begin(), 2), n).wall
	}
	all := make([][]scaling, len(candidates))
	floorCount := e.count(floor.begin())
	before := gain(floor, floorCount)
	for range e.rounds {
		for i, c := range candidates {
			took := gain(c, e.count(c.begin()))
			after := gain(floor, floorCount)
			all[i] = append(all[i], scaling{(before + after) / 2, took})
			before = after
		}
	}
	return all
}

// together shares a work out among goroutines.
func together(w work, goroutines int) work {
	return func(n int) {
		var group sync.WaitGroup
		for i := range goroutines {
			share := (n + i) / goroutines
			group.Go(func() { w(share) })
		}
		group.Wait()
	}
}
