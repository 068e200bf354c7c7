package main

// measured has the rounds of both servers for one algorithm.
type measured struct{ ours, peer []round }

// measureExchange measures whole exchanges in process, without an actor token and with one.
func measureExchange(e effort) table {
	alone, delegated := make([]measured, len(algorithms)), make([]measured, len(algorithms))
	for i, alg := range algorithms {
		alone[i], delegated[i] = e.measure(alg, false), e.measure(alg, true)
	}
	t := table{title: "exchange in process: JWT in, JWT out", columns: algorithms}
	whole := []limit{atMost(1.40), atMost(1.40), atMost(1.10)}
	peer := []limit{atMost(0.70), atMost(0.62), {}}
	t.add(alone, "bare cryptography: one verification, one signature", "%.1f µs", measured.floor)
	t.add(alone, "**this library ÷ bare cryptography**", "%.3f", measured.ratio, whole...)
	t.add(alone, "zitadel/oidc ÷ bare cryptography", "%.2f", measured.peerRatio)
	t.add(alone, "**time ÷ zitadel/oidc's**", "%.3f", measured.share, peer...)
	t.add(alone, "own cost: whole − bare", "%.1f µs", measured.own)
	t.add(alone, "own cost of zitadel/oidc", "%.1f µs", measured.peerOwn)
	t.add(alone, "own cost ÷ zitadel/oidc's", "%.3f", measured.ownShare,
		shown(atMost(0.35)), shown(atMost(0.35)), limit{})
	t.add(delegated, "with an actor token, bare: two verifications, one signature", "%.1f µs",
		measured.floor)
	t.add(delegated, "**with an actor token, this library ÷ bare**", "%.3f", measured.ratio,
		whole...)
	t.add(delegated, "with an actor token, zitadel/oidc ÷ bare", "%.2f", measured.peerRatio)
	return t
}

// add appends a row with a figure for each algorithm.
func (t *table) add(list []measured, what, format string, value func(measured) summary,
	goals ...limit) {
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
	rounds := e.paired(bareCrypto(alg, verifications), ours(alg, actor), peer(alg, actor))
	return measured{rounds[0], rounds[1]}
}

func microseconds(ns summary) summary { return summary{ns.median / 1e3, ns.spread / 1e3} }

func (m measured) floor() summary {
	return microseconds(over(m.ours, func(r round) float64 { return r.floor }))
}

func (m measured) ratio() summary     { return over(m.ours, round.ratio) }
func (m measured) peerRatio() summary { return over(m.peer, round.ratio) }
func (m measured) own() summary       { return microseconds(over(m.ours, round.own)) }
func (m measured) peerOwn() summary   { return microseconds(over(m.peer, round.own)) }

// share compares the two servers in each round, each by its ratio to the floor around it.
func (m measured) share() summary { return m.compare(round.ratio) }

// ownShare compares the time that the two servers take beyond bare cryptography.
func (m measured) ownShare() summary { return m.compare(round.own) }

func (m measured) compare(value func(round) float64) summary {
	quotients := make([]float64, len(m.ours))
	for i := range quotients {
		quotients[i] = value(m.ours[i]) / value(m.peer[i])
	}
	return over(quotients, func(q float64) float64 { return q })
}
