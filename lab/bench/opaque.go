package main

import "testing"

// measureOpaque is an exchange without any signature, beside what net/http and encoding/json take for the same form and
// an answer of the same size.
func measureOpaque(e effort) table {
	http := newPost(bareHTTP, "/token", opaqueExchange().form)
	floor := always("net/http", http.times)
	mine := asCandidate("opaque", opaqueExchange)
	rounds := e.paired(floor, mine)[0]
	t := table{title: "exchange in process: opaque in, opaque out, store in memory", columns: []string{"measured"}}
	t.rows = []row{
		one("the `net/http` floor: a form in, JSON out, nothing between", microseconds(over(rounds, func(r round) float64 { return r.floor.thread })), "%.1f µs", limit{}),
		one("the floor's allocations", exactly(testing.AllocsPerRun(100, http.do)), "%.0f", limit{}),
		one("**this library ÷ the floor**", over(rounds, ratio(onThread)), "%.3f", atMost(3)),
		one("this library's allocations", exactly(testing.AllocsPerRun(100, mine.once())), "%.0f", limit{}),
	}
	return t
}
