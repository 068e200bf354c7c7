package main

import (
	"strings"
	"sync/atomic"
	"testing"
)

// What a table says about its goals is what -gate returns.
func TestTable(t *testing.T) {
	figures := func(isShown bool, values ...float64) (list []figure) {
		for i, goal := range []limit{atMost(1.20), atLeast(2), {}} {
			goal.shown = isShown
			list = append(list, figure{summary{median: values[i]}, "%.3f µs", goal})
		}
		return list
	}
	table := table{title: "what", columns: []string{"A", "B", "C"}, rows: []row{
		{"met", figures(false, 1.2, 2, 9)},
		{"one missed", figures(false, 1.201, 2, 9)},
		{"missed", figures(false, 1.3, 1, 9)},
		{"missed and shown", figures(true, 1.3, 1, 9)},
		{"reported", []figure{{summary: summary{1.5, 0.25}, format: "%.2f"}, {}, {}}},
	}}
	var b strings.Builder
	missed := table.print(&b)
	if got := strings.Join(missed, "; "); got != "one missed; missed" {
		t.Error(got)
	}
	for _, line := range []string{
		"| met | 1.200 µs | 2.000 µs | 9.000 µs | ≤ 1.2 µs, ≥ 2 µs, – | yes |",
		"| one missed | 1.201 µs | 2.000 µs | 9.000 µs | ≤ 1.2 µs, ≥ 2 µs, – | **no**: A |",
		"| missed | 1.300 µs | 1.000 µs | 9.000 µs | ≤ 1.2 µs, ≥ 2 µs, – | **no** |",
		"| missed and shown | 1.300 µs | 1.000 µs | 9.000 µs | ≤ 1.2 µs, ≥ 2 µs, – | " +
			"**no** (not gated) |",
		"| reported | 1.50 ± 0.25 |",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no line %s in\n%s", line, b.String())
		}
	}
}

// No round is left out of a median.
func TestMedian(t *testing.T) {
	same := func(v float64) float64 { return v }
	if got := over([]float64{9, 1, 2, 100}, same); got != (summary{5.5, 4}) {
		t.Error(got)
	}
	if got := over([]float64{3, 1, 2}, same); got != (summary{2, 1}) {
		t.Error(got)
	}
}

// Two goroutines together do all of the work once, however it is divided.
func TestOnTwo(t *testing.T) {
	for _, n := range []int{1, 2, 49, 50, 51, 99, 1000} {
		var done atomic.Int64
		onTwo(func(times int) { done.Add(int64(times)) })(n)
		if got := done.Load(); got != int64(n) {
			t.Errorf("%d of %d", got, n)
		}
	}
}
