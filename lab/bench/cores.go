package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// measureCores compares the gain of a second core with the gain that bare cryptography has from
// it. The difference is waiting: for locks, and for the garbage collector. It is measured three
// times, since times by the clock differ more than CPU times.
func measureCores(e effort) table {
	const runs = 3
	t := table{title: "two cores ÷ one core, exchanges by the clock, median of three runs",
		columns: algorithms}
	rows := []row{
		{what: "bare cryptography"},
		{what: "this library"},
		{what: "zitadel/oidc"},
		{what: "**this library ÷ bare cryptography**"},
		{what: "zitadel/oidc ÷ bare cryptography"},
	}
	for _, alg := range algorithms {
		medians := make([][]float64, len(rows)) // of each run
		for range runs {
			gains := e.gains(bareCrypto(alg, 1), ours(alg, false), peer(alg, false))
			for i, gain := range []func([]float64) float64{
				func(g []float64) float64 { return g[0] },
				func(g []float64) float64 { return g[1] },
				func(g []float64) float64 { return g[2] },
				func(g []float64) float64 { return g[1] / g[0] },
				func(g []float64) float64 { return g[2] / g[0] },
			} {
				medians[i] = append(medians[i], over(gains, gain).median)
			}
		}
		for i := range rows {
			of := over(medians[i], func(m float64) float64 { return m })
			f := figure{summary: of, format: "%.2f"}
			if i == 3 {
				f.goal, f.format = shown(atLeast(0.90)), "%.3f"
			}
			rows[i].figures = append(rows[i].figures, f)
		}
	}
	t.rows = rows
	return t
}

// gains returns, for every round and candidate, how many times as much two cores do as one. The
// candidates take turns. The turns are longer than elsewhere: a turn of two cores is over when the
// slower core is done.
func (e effort) gains(candidates ...candidate) [][]float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const turns, turn = 3, 40 * time.Millisecond
	counts := make([]int, len(candidates))
	for i, c := range candidates {
		counts[i] = effort{slice: turn}.count(c())
	}
	all := make([][]float64, e.rounds)
	for round := range all {
		works := make([]work, len(candidates))
		alone, both := make([]float64, len(candidates)), make([]float64, len(candidates))
		for i, c := range candidates {
			works[i] = c()
		}
		for range turns {
			for i, w := range works {
				runtime.GOMAXPROCS(1)
				alone[i] += lap(wallTime, w, counts[i])
				runtime.GOMAXPROCS(2)
				both[i] += lap(wallTime, onTwo(w), counts[i])
			}
		}
		for i := range works {
			all[round] = append(all[round], alone[i]/both[i])
		}
	}
	return all
}

var started = time.Now()

func wallTime() time.Duration { return time.Since(started) }

// onTwo shares a work between two goroutines in small parts, so that a slower core gets fewer of
// them.
func onTwo(w work) work {
	return func(n int) {
		part := max(1, n/50)
		var group sync.WaitGroup
		var taken atomic.Int64
		for range 2 {
			group.Go(func() {
				for begin := 0; begin < n; {
					begin = int(taken.Add(int64(part))) - part
					w(max(0, min(part, n-begin)))
				}
			})
		}
		group.Wait()
	}
}
