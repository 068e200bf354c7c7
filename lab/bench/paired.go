package main

import (
	"math"
	"runtime"
	"slices"
	"time"
)

// A work does one thing n times.
type work func(n int)

// A candidate is something to measure. Each call makes everything it needs anew, so that what an
// earlier slice has kept neither slows it down nor saves it garbage collections.
type candidate func() work

// always is a candidate that keeps nothing.
func always(w work) candidate { return func() work { return w } }

// effort is how long to measure.
type effort struct {
	rounds int
	slice  time.Duration // CPU time of one candidate in one round
}

var (
	full  = effort{rounds: 20, slice: 100 * time.Millisecond}
	quick = effort{rounds: 3, slice: 20 * time.Millisecond}
)

// round has the CPU time of one piece of work, in nanoseconds, and that of the floor right before
// and right after it. Single times drift by a third and more; their ratio does not.
type round struct{ floor, took float64 }

func (r round) ratio() float64 { return r.took / r.floor }

// own is the time beyond the floor.
func (r round) own() float64 { return r.took - r.floor }

// turns is how often a candidate and the floor take turns in one round.
const turns = 10

// paired measures every candidate in every round, each in turns with the floor. Whatever the
// machine does meanwhile happens to both.
func (e effort) paired(floor candidate, candidates ...candidate) [][]round {
	perTurn := func(c candidate) int { return max(1, e.count(c())/turns) }
	floorCount := perTurn(floor)
	counts := make([]int, len(candidates))
	for i, c := range candidates {
		counts[i] = perTurn(c)
	}
	all := make([][]round, len(candidates))
	for range e.rounds {
		for i, c := range candidates {
			all[i] = append(all[i], inTurns(floor(), floorCount, c(), counts[i]))
		}
	}
	return all
}

// inTurns measures one round. The first and the last turn of the floor count half, so that the
// floor is measured around each turn of the other work.
//
// During a round the process has one core, the core that is quicker at the start, and all CPU time
// of the process counts. That includes the garbage collector and goroutines that the work starts.
func inTurns(floor work, floorCount int, w work, count int) (r round) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer onQuietCore()()
	floor(floorCount)
	w(count)
	runtime.GC()
	before := lap(processTime, floor, floorCount)
	for range turns {
		took := lap(processTime, w, count)
		after := lap(processTime, floor, floorCount)
		r.took += took / turns
		r.floor += (before + after) / (2 * turns)
		before = after
	}
	return r
}

// lap returns the time of one repetition of a work, in nanoseconds.
func lap(clock func() time.Duration, w work, n int) float64 {
	begin := clock()
	w(n)
	return float64((clock() - begin).Nanoseconds()) / float64(n)
}

// count returns how many repetitions of a work fill a slice of CPU time.
func (e effort) count(w work) int {
	w(10) // whatever is done only once
	for n := 10; ; n *= 2 {
		begin := processTime()
		w(n)
		if took := processTime() - begin; took > e.slice/10 {
			return max(1, int(float64(n)*float64(e.slice)/float64(took)))
		}
	}
}

// summary is the median of all rounds and the median of their distances from it. No round is left
// out.
type summary struct{ median, spread float64 }

// over summarizes one value of every round.
func over[T any](list []T, value func(T) float64) summary {
	values := make([]float64, len(list))
	for i, x := range list {
		values[i] = value(x)
	}
	s := summary{median: middle(values)}
	for i, v := range values {
		values[i] = math.Abs(v - s.median)
	}
	s.spread = middle(values)
	return s
}

// middle sorts the values and returns their median.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
