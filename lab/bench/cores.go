package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// measureCores compares what a second core brings with what it brings to bare cryptography. What is missing is waiting:
// for locks, and for the garbage collector.
func measureCores(e effort) table {
	t := table{title: "two cores ÷ one core, exchanges by the clock", columns: algorithms}
	rows := []row{{what: "bare cryptography"}, {what: "this library"}, {what: "zitadel/oidc"},
		{what: "**this library ÷ bare cryptography**"}, {what: "zitadel/oidc ÷ bare cryptography"}}
	for _, alg := range algorithms {
		gains := e.gains(bareCrypto(alg, 1), ours(alg, false), peer(alg, false))
		for i, gain := range []func([]float64) float64{
			func(g []float64) float64 { return g[0] },
			func(g []float64) float64 { return g[1] },
			func(g []float64) float64 { return g[2] },
			func(g []float64) float64 { return g[1] / g[0] },
			func(g []float64) float64 { return g[2] / g[0] },
		} {
			f := figure{summary: over(gains, gain), format: "%.2f"}
			if i == 3 {
				f.goal, f.format = atLeast(0.90), "%.3f"
			}
			rows[i].figures = append(rows[i].figures, f)
		}
	}
	t.rows = rows
	return t
}

// gains are how many times as much of each candidate two cores do as one, in every round. They take turns, and longer ones
// than elsewhere: those of two cores are over when the slower one is done.
func (e effort) gains(candidates ...candidate) [][]float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const turns, turn = 3, 40 * time.Millisecond
	counts := make([]int, len(candidates))
	for i, c := range candidates {
		counts[i] = effort{slice: turn}.count(c.begin())
	}
	all := make([][]float64, 2*e.rounds)
	for round := range all {
		works, alone, both := make([]work, len(candidates)), make([]float64, len(candidates)), make([]float64, len(candidates))
		for i, c := range candidates {
			works[i] = c.begin()
		}
		for range turns {
			for i, w := range works {
				runtime.GOMAXPROCS(1)
				alone[i] += clock(w, counts[i])
				runtime.GOMAXPROCS(2)
				both[i] += clock(onTwo(w), counts[i])
			}
		}
		for i := range works {
			all[round] = append(all[round], alone[i]/both[i])
		}
	}
	return all
}

// clock is what a work takes each time, in nanoseconds by the clock. The goroutine is not locked to
// its thread.
func clock(w work, n int) float64 {
	begin := time.Now()
	w(n)
	return float64(time.Since(begin).Nanoseconds()) / float64(n)
}

// onTwo shares a work out to two goroutines in small parts, so that the one whose core is slower takes fewer.
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
