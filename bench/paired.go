package main

import (
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

// effort is how long to measure.
type effort struct {
	rounds int
	slice  time.Duration // of one candidate in one round
}

var (
	full  = effort{rounds: 10, slice: 120 * time.Millisecond}
	quick = effort{rounds: 5, slice: 25 * time.Millisecond}
)

// round is what one candidate took in one round, in nanoseconds for each, and what the floor took right before and right
// after it: single times drift by a third and more, and their ratio does not.
type round struct{ floor, took float64 }

func (r round) ratio() float64 { return r.took / r.floor }
func (r round) own() float64   { return r.took - r.floor }

// paired measures the candidates in turn, with the floor between them, in every round.
func (e effort) paired(floor candidate, candidates ...candidate) [][]round {
	count := func(c candidate) int { return e.count(c.begin()) }
	floorCount := count(floor)
	counts := make([]int, len(candidates))
	for i, c := range candidates {
		counts[i] = count(c)
	}
	all := make([][]round, len(candidates))
	before := each(floor.begin(), floorCount)
	for range e.rounds {
		for i, c := range candidates {
			took := each(c.begin(), counts[i])
			after := each(floor.begin(), floorCount)
			all[i] = append(all[i], round{(before + after) / 2, took})
			before = after
		}
	}
	return all
}

// count is how often a work fits into a slice.
func (e effort) count(w work) int {
	w(10) // what is only done once
	n := 10
	for {
		begin := time.Now()
		w(n)
		if took := time.Since(begin); took > e.slice/10 {
			return max(1, int(float64(n)*float64(e.slice)/float64(took)))
		}
		n *= 2
	}
}

// each is how many nanoseconds a work takes each time. Nobody else's garbage is collected meanwhile.
func each(w work, n int) float64 {
	w(n / 20)
	runtime.GC()
	begin := time.Now()
	w(n)
	return float64(time.Since(begin).Nanoseconds()) / float64(n)
}

// median is that of some value of every round; no round is left out.
func median[T any](list []T, value func(T) float64) float64 {
	var values []float64
	for _, x := range list {
		values = append(values, value(x))
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
