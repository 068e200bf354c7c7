package main

import "testing"

// measured is all about the exchange of JWTs with one algorithm: the rounds of both servers, and the allocations.
type measured struct {
	ours, peer                               []round
	bareAllocations, allocations, peerAllocs float64
}

// measureExchange is a whole exchange in process: without an actor token, and with one.
func measureExchange(e effort) table {
	alone, delegated := make([]measured, len(algorithms)), make([]measured, len(algorithms))
	for i, alg := range algorithms {
		alone[i], delegated[i] = e.measure(alg, false), e.measure(alg, true)
	}
	t := table{title: "exchange in process: JWT in, JWT out", columns: algorithms}
	whole := []limit{atMost(1.40), atMost(1.40), atMost(1.10)}
	t.add(alone, "bare cryptography: one verification, one signature", "%.1f µs", nil, measured.floor)
	t.add(alone, "its allocations", "%.0f", nil, func(m measured) summary { return exactly(m.bareAllocations) })
	t.add(alone, "**this library ÷ bare cryptography**", "%.3f", whole, measured.ratio)
	t.add(alone, "zitadel/oidc ÷ bare cryptography", "%.2f", nil, measured.peerRatio)
	t.add(alone, "this library's allocations", "%.0f", nil, measured.allocs)
	t.add(alone, "zitadel/oidc's allocations", "%.0f", nil, func(m measured) summary { return exactly(m.peerAllocs) })
	t.add(alone, "this library's own cost: whole − bare", "%.1f µs", nil, func(m measured) summary { return microseconds(over(m.ours, own)) })
	t.add(alone, "zitadel/oidc's own cost", "%.1f µs", nil, func(m measured) summary { return microseconds(over(m.peer, own)) })
	t.add(alone, "own cost ÷ zitadel/oidc's", "%.3f", nil, measured.ownShare)
	t.add(alone, "time ÷ zitadel/oidc's", "%.3f", []limit{atMost(0.70), atMost(0.62), {}}, measured.share)
	t.add(delegated, "with an actor token, bare: two verifications, one signature", "%.1f µs", nil, measured.floor)
	t.add(delegated, "**with an actor token, this library ÷ bare**", "%.3f", whole, measured.ratio)
	t.add(delegated, "with an actor token, zitadel/oidc ÷ bare", "%.2f", nil, measured.peerRatio)
	t.add(delegated, "with an actor token, this library's allocations", "%.0f", nil, measured.allocs)
	return t
}

// add appends a row with a figure for each algorithm.
func (t *table) add(list []measured, what, format string, goals []limit, value func(measured) summary) {
	r := row{what: what}
	for i, m := range list {
		f := figure{summary: value(m), format: format}
		if goals != nil {
			f.goal = goals[i]
		}
		r.figures = append(r.figures, f)
	}
	t.rows = append(t.rows, r)
}

func (e effort) measure(alg string, actor bool) measured {
	verifications := 1
	if actor {
		verifications = 2
	}
	bare, mine, theirs := bareCrypto(alg, verifications), ours(alg, actor), peer(alg, actor)
	rounds := e.paired(bare, mine, theirs)
	allocations := func(c candidate) float64 { return testing.AllocsPerRun(100, c.once()) }
	return measured{rounds[0], rounds[1], allocations(bare), allocations(mine), allocations(theirs)}
}

func microseconds(ns summary) summary { return summary{ns.median / 1e3, ns.spread / 1e3} }

func (m measured) floor() summary {
	return microseconds(over(m.ours, func(r round) float64 { return r.floor.thread }))
}
func (m measured) allocs() summary    { return exactly(m.allocations) }
func (m measured) ratio() summary     { return over(m.ours, ratio(onThread)) }
func (m measured) peerRatio() summary { return over(m.peer, ratio(onThread)) }

// share compares the two servers in each round, by what each took beside its own floors.
func (m measured) share() summary {
	return m.compare(func(ours, peer round) float64 { return ratio(onThread)(ours) / ratio(onThread)(peer) })
}

// ownShare compares what they take beyond bare cryptography.
func (m measured) ownShare() summary {
	return m.compare(func(ours, peer round) float64 { return own(ours) / own(peer) })
}

func (m measured) compare(value func(ours, peer round) float64) summary {
	i := -1
	return over(m.ours, func(r round) float64 { i++; return value(r, m.peer[i]) })
}
