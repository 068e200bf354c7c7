package main

import "net/http"

// measureLoopback is the same exchange over real connections, clients and server on the same cores. It is reported and not
// gated: the system's network and scheduler are most of it.
func measureLoopback(e effort) table {
	t := table{title: "exchanges a second over loopback HTTP", columns: algorithms}
	e.rounds = max(3, e.rounds/2)
	for _, n := range []int{1, 16} {
		through := map[int]string{1: "1 connection", 16: "16 connections"}[n]
		mine, theirs, gain := row{what: through + ": this library"}, row{what: through + ": zitadel/oidc"}, row{what: through + ": this library ÷ zitadel/oidc"}
		goals := []limit{{}, {}, {}}
		if n > 1 {
			goals = []limit{atLeast(1.6), atLeast(1.8), {}}
		}
		for i, alg := range algorithms {
			rounds := e.rates(n, signedExchange(alg, keys[alg], false), peerExchange(alg, false))
			mine.figures = append(mine.figures, figure{summary: over(rounds, func(r [2]float64) float64 { return r[0] }), format: "%.0f"})
			theirs.figures = append(theirs.figures, figure{summary: over(rounds, func(r [2]float64) float64 { return r[1] }), format: "%.0f"})
			quotient := over(rounds, func(r [2]float64) float64 { return r[0] / r[1] })
			gain.figures = append(gain.figures, figure{quotient, "%.2f", goals[i], true})
		}
		t.rows = append(t.rows, mine, theirs, gain)
	}
	return t
}

// rates is how many exchanges a second two servers answer, in turn, through so many connections.
func (e effort) rates(connections int, servers ...post) (rounds [][2]float64) {
	works := make([]work, len(servers))
	counts := make([]int, len(servers))
	for i, p := range servers {
		server, raw := p.serve()
		defer server.Close()
		list := connect(server, raw, connections)
		works[i] = throughAll(list, http.StatusOK)
		counts[i] = max(20*connections, e.count(works[i]))
		for _, c := range list {
			defer c.close()
		}
	}
	for range e.rounds {
		var r [2]float64
		for i, w := range works {
			r[i] = 1e9 / each(w, counts[i]).wall
		}
		rounds = append(rounds, r)
	}
	return rounds
}
