package main

import (
	"math"
	"runtime"
	"slices"
	"time"
)

// work does one thing n times.
type work func(n int)

// candidate is something to measure: begin makes everything it needs anew, so that what it has kept from an earlier slice
// neither slows it down nor spares it garbage collections.
type candidate struct {
	name  string
	begin func() work
}

// always is a candidate that keeps nothing.
func always(name string, w work) candidate { return candidate{name, func() work { return w }} }

// once is a candidate's work for those that count allocations.
func (c candidate) once() func() { w := c.begin(); return func() { w(1) } }

// effort is how long to measure.
type effort struct {
	rounds int
	slice  time.Duration // of one candidate in one round
	few    bool          // fewer tokens and requests than the goals speak of
}

var (
	full  = effort{rounds: 20, slice: 100 * time.Millisecond}
	quick = effort{rounds: 3, slice: 20 * time.Millisecond, few: true}
)

// cost is what one piece of work took, in nanoseconds.
type cost struct {
	thread  float64 // of the goroutine that measures; in a round, of the process on one core
	process float64 // on all cores, the garbage collector's and other goroutines' too
	wall    float64 // by the clock
}

// One of these is what a figure is about.
func onThread(c cost) float64  { return c.thread }
func inProcess(c cost) float64 { return c.process }

type view = func(cost) float64

// round is what one candidate took in one round, and what the floor took right before and right after it: single times
// drift by a third and more, and their ratio does not.
type round struct{ floor, took cost }

func ratio(v view) func(round) float64 {
	return func(r round) float64 { return v(r.took) / v(r.floor) }
}

// own is what a candidate took beyond the floor.
func own(r round) float64 { return r.took.thread - r.floor.thread }

// took is one candidate's time, on the thread.
func took(r round) float64 { return r.took.thread }

// turns is how often a candidate and the floor take turns in one round.
const turns = 10

// paired measures the candidates, one after the other, in every round: in turns with the floor, which goes first and last, so
// that what the machine does meanwhile happens to both.
func (e effort) paired(floor candidate, candidates ...candidate) [][]round {
	perTurn := func(c candidate) int { return max(1, e.count(c.begin())/turns) }
	floorCount := perTurn(floor)
	counts := make([]int, len(candidates))
	for i, c := range candidates {
		counts[i] = perTurn(c)
	}
	all := make([][]round, len(candidates))
	for range e.rounds {
		for i, c := range candidates {
			all[i] = append(all[i], inTurns(floor.begin(), floorCount, c.begin(), counts[i]))
		}
	}
	return all
}

// inTurns is one round. The floor's first and last turn count half, so that it is measured around
// each turn of the other.
//
// During a round the process has one core, the one that is quicker at the beginning, and all of its
// CPU time counts, that of the garbage collector and of goroutines that the work starts included. A
// goroutine that is locked to its thread would wake another thread for each goroutine that it waits
// for; no server does that.
func inTurns(floor work, floorCount int, w work, count int) (r round) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer onQuietCore()()
	lap := func(w work, n int) cost {
		begin, process := time.Now(), processTime()
		w(n)
		took := float64((processTime() - process).Nanoseconds()) / float64(n)
		return cost{took, took, float64(time.Since(begin).Nanoseconds()) / float64(n)}
	}
	floor(floorCount)
	w(count)
	runtime.GC()
	before := lap(floor, floorCount)
	for range turns {
		took := lap(w, count)
		after := lap(floor, floorCount)
		r.took = r.took.plus(took, 1./turns)
		r.floor = r.floor.plus(before, .5/turns).plus(after, .5/turns)
		before = after
	}
	return r
}

func (c cost) plus(d cost, weight float64) cost {
	return cost{c.thread + weight*d.thread, c.process + weight*d.process, c.wall + weight*d.wall}
}

// count is how often a work fits into a slice, which is processor time: on a busy machine it takes longer, and is as good.
func (e effort) count(w work) int {
	w(10) // what is only done once
	n := 10
	for {
		begin := processTime()
		w(n)
		if took := processTime() - begin; took > e.slice/10 {
			return max(1, int(float64(n)*float64(e.slice)/float64(took)))
		}
		n *= 2
	}
}

// each is what a work takes each time. Nobody else's garbage is collected meanwhile.
func each(w work, n int) cost {
	w(n / 20)
	runtime.GC()
	return lap(w, n)
}

// lap is what a work takes each time, as things are.
func lap(w work, n int) cost {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, thread, process := time.Now(), threadTime(), processTime()
	w(n)
	of := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	return cost{of(threadTime() - thread), of(processTime() - process), of(time.Since(begin))}
}

// summary is the median of all rounds and how far half of them are from it; no round is left out.
type summary struct{ median, spread float64 }

// over summarizes some value of every round.
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

// middle sorts.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
