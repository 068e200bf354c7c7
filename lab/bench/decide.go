package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// reference is what bare ES256 took, in nanoseconds, on the machine on which the goals in nanoseconds were set. What a
// decision takes is compared with what bare ES256 takes in the same round, and told at that machine's speed.
const reference = 89_000

func atReference(r round) float64 { return reference * ratio(onThread)(r) }

// question is how much there is to decide on.
type question struct {
	rules     int // of other clients, and the one that fits in the middle of them
	scopes    int // that the subject and the client have and that are asked for
	actors    int // in the chain
	audiences int // of the subject token
	targets   int // asked for, of these audiences
}

// small is one rule, one scope, one audience and no chain.
var small = question{scopes: 1, audiences: 1, targets: 1}

// names are n of them.
func names(format string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

func (q question) policy() *tx.Policy {
	mine := rules()[0] // narrow
	mine.Targets, mine.MaxChain = names("https://api-%d.example", max(1, q.audiences)), 32
	list := []tx.Rule{mine}
	for i := range q.rules {
		other := mine
		other.Name, other.Clients = fmt.Sprint("rule ", i), []string{fmt.Sprint("client-", i)}
		list = append(list, other)
	}
	list[0], list[q.rules/2] = list[q.rules/2], list[0]
	return must(tx.NewPolicy(list...))
}

func (q question) facts() tx.Facts {
	now := time.Now()
	alice := tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: "alice"}
	audience, wide := names("https://api-%d.example", q.audiences), tx.Scope(names("resource-%d:read", q.scopes))
	var chain *tx.Actor
	for _, id := range names("agent-%d", q.actors) {
		chain = &tx.Actor{Issuer: issuer, Subject: id, ClientID: "agents", Prior: chain}
	}
	return tx.Facts{
		Grant: tx.GrantType, Issuer: issuer, Now: now, Client: tx.Client{ID: clientID, Scope: wide},
		Request: tx.Request{Audience: audience[:q.targets], Scope: wide},
		Subject: tx.Subject{Identity: alice, Scope: wide, Token: tx.Token{Type: tx.TypeAccessToken, ID: "1", Issuer: issuer, Subject: "alice",
			ClientID: clientID, Audience: audience, Scope: wide, Actor: chain, Issued: now, Expires: now.Add(time.Hour)}},
	}
}

// decisions are the same one again and again: granted, and refused for a scope that nobody has, which is the last thing that
// is looked at.
func (q question) decisions() (granted, refused candidate) {
	policy, facts := q.policy(), q.facts()
	wrong := facts
	wrong.Request.Scope = tx.Scope{"resource-0:delete"}
	granted = always("granted", func(n int) {
		for range n {
			if _, err := policy.Decide(facts); err != nil {
				panic(err)
			}
		}
	})
	if _, err := policy.Decide(wrong); !errors.Is(err, tx.InvalidScope) {
		panic(err)
	}
	refused = always("refused", func(n int) {
		for range n {
			if _, err := policy.Decide(wrong); err == nil {
				panic("granted")
			}
		}
	})
	return granted, refused
}

// strangers decides for another client each time, so that no rule is in the processor's caches.
func (q question) strangers() candidate {
	policy, facts := q.policy(), q.facts()
	clients := names("client-%d", q.rules)
	return always("granted to many", func(n int) {
		for i := range n {
			id := clients[i*7919%len(clients)]
			facts.Client.ID, facts.Subject.Token.ClientID = id, id
			must(policy.Decide(facts))
		}
	})
}

func measureDecide(e effort) table {
	const many = 100_000
	wide, deep, few, all := small, small, small, small
	wide.scopes, deep.actors, few.rules, all.rules = 128, 16, 10, many
	granted, refused := small.decisions()
	wider, _ := wide.decisions()
	deeper, _ := deep.decisions()
	rounds := e.paired(bareCrypto("ES256", 1), granted, refused, wider, deeper)
	ofFew, _ := few.decisions()
	ofMany, _ := all.decisions()
	crowd := e.paired(ofFew, ofMany, all.strangers())
	// steps is what each further one takes, beside the first.
	steps := func(more []round, n int) summary {
		i := -1
		return over(more, func(r round) float64 { i++; return (atReference(r) - atReference(rounds[0][i])) / float64(n) })
	}
	t := table{title: "`Decide`, at the speed where bare ES256 takes 89 µs", columns: []string{"measured"}}
	t.rows = []row{
		one("1 scope, 1 target", over(rounds[0], atReference), "%.0f ns", atMost(150)),
		one("the same as measured on this machine", over(rounds[0], took), "%.0f ns", limit{}),
		one("allocations", exactly(testing.AllocsPerRun(100, granted.once())), "%.0f", limit{}),
		one("a refusal", over(rounds[1], atReference), "%.0f ns", limit{}),
		one("allocations of a refusal", exactly(testing.AllocsPerRun(100, refused.once())), "%.0f", atMost(0)),
		one("100,000 rules ÷ 10 rules", over(crowd[0], ratio(onThread)), "%.3f", atMost(1.5)),
		one("the same, another client of the 100,000 each time, in cold caches", over(crowd[1], ratio(onThread)), "%.2f", limit{}),
		one("each scope up to 128", steps(rounds[2], 127), "%.1f ns", atMost(25)),
		one("each act level up to 16", steps(rounds[3], 16), "%.0f ns", atMost(600)),
	}
	return t
}
