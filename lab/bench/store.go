package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// crowd is a store in memory with many live opaque tokens, each of somebody else, which is the dearest case.
type crowd struct {
	tokens *tokenstore.Tokens
	logins []login
	now    time.Time
}

// login is what a client keeps of a token.
type login struct {
	value [46]byte
	id    [43]byte
}

// newCrowd has room for what the clients of n tokens keep.
func newCrowd(n int) *crowd {
	c := &crowd{logins: make([]login, 0, n), now: time.Now().Truncate(time.Second)}
	c.tokens = &tokenstore.Tokens{Store: tokenstore.NewMemory(), Now: func() time.Time { return c.now }}
	return c
}

// decision is for a token of a user's own, with one audience and three scopes.
func (c *crowd) decision(i int) tx.Decision {
	subject := tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: fmt.Sprintf("user-%09d", i)}
	return tx.Decision{Mode: tx.Impersonate, Issuer: issuer, Client: clientID, Subject: subject, Type: tx.TypeAccessToken,
		Audience: []string{ordersAPI}, Scope: tx.Scope{"orders:read", "orders:write", "profile"}, Issued: c.now, Expires: c.now.Add(time.Hour),
		Facts: tx.Facts{Grant: tx.GrantType, Subject: tx.Subject{Identity: subject, Token: tx.Token{ClientID: clientID}}}}
}

// exchanged is a token for another client, made from that of a login.
func (c *crowd) exchanged(i int) tx.Decision {
	d := c.decision(i)
	d.Client, d.Facts.Subject.Token.Issuer, d.Facts.Subject.Token.ID = "other", issuer, string(c.logins[i].id[:])
	return d
}

// grow lets users log in until there are n.
func (c *crowd) grow(n int) *crowd {
	for i := len(c.logins); i < n; i++ {
		issued := must(c.tokens.IssueToken(context.Background(), c.decision(i)))
		c.logins = append(c.logins, login{[46]byte([]byte(issued.Value)), [43]byte([]byte(issued.ID))})
	}
	return c
}

// lookup verifies one after the other of so many tokens, from all over the store. Where they are all of it, the processor's
// caches hold none of them. What clients present is at hand.
func (c *crowd) lookup(some int) candidate {
	values := make([]string, some)
	for i := range values {
		values[i] = string(c.logins[i*(len(c.logins)/some)].value[:])
	}
	i := 0
	return always("lookup", func(n int) {
		for range n {
			i = (i + 7919) % some
			must(c.tokens.VerifyToken(context.Background(), tx.Credential{Token: values[i], Type: tx.TypeAccessToken, Issuer: issuer, Now: c.now}))
		}
	})
}

// issue makes a token from another one, and takes it back, so that there are no more than before.
func (c *crowd) issue() candidate {
	d := c.exchanged(0)
	return always("issue", func(n int) {
		for range n {
			issued := must(c.tokens.IssueToken(context.Background(), d))
			check(issued.Discard(context.Background()))
		}
	})
}

// afterwards lets all tokens expire at one time, and returns the longest that a call takes which follows: on the thread, and
// by the clock.
func (c *crowd) afterwards(calls int) (thread, wall time.Duration) {
	runtime.GC()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.now = c.now.Add(2 * time.Hour)
	d := c.decision(0)
	for range calls {
		begin, cpu := time.Now(), threadTime()
		must(c.tokens.IssueToken(context.Background(), d))
		thread, wall = max(thread, threadTime()-cpu), max(wall, time.Since(begin))
	}
	return thread, wall
}

// bytesEach is what the store needs for each of n tokens.
func bytesEach(n int, issue func()) float64 {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	issue()
	return (heap() - before) / float64(n)
}

func measureStore(e effort) table {
	n, text := 1_000_000, "a million"
	if e.few {
		n, text = 100_000, "100,000"
	}
	few, crowded := newCrowd(1000).grow(1000), newCrowd(n)
	each := bytesEach(n, func() { crowded.grow(n) })
	eachMore := bytesEach(n/10, func() {
		for i := range n / 10 {
			must(crowded.tokens.IssueToken(context.Background(), crowded.exchanged(i)))
		}
	})
	longer := e // so that few of the lookups are the first ones after somebody else had the caches
	longer.slice *= 4
	look := longer.paired(few.lookup(1000), crowded.lookup(1000), crowded.lookup(n))
	issue := e.paired(few.issue(), crowded.issue())[0]
	thread, wall := crowded.afterwards(n / 5)
	t := table{title: text + " live opaque tokens in memory, each of another user", columns: []string{"measured"}}
	milliseconds := func(d time.Duration) summary { return exactly(float64(d.Microseconds()) / 1000) }
	t.rows = []row{
		one("memory of each", exactly(each), "%.0f bytes", limit{}),
		one("memory of one more for each, exchanged by another client", exactly(eachMore), "%.0f bytes", limit{}),
		one("lookup ÷ lookup among a thousand", over(look[0], ratio(onThread)), "%.3f", atMost(1.3)),
		one("the same, every token in turn, in cold caches", over(look[1], ratio(onThread)), "%.2f", limit{}),
		one("lookup", over(look[0], took), "%.0f ns", limit{}),
		one("issue ÷ issue among a thousand", over(issue, ratio(onThread)), "%.3f", atMost(1.3)),
		one("issue", over(issue, took), "%.0f ns", limit{}),
		one("longest call once all have expired", milliseconds(thread), "%.2f ms", atMost(5)),
		one("the same by the clock", milliseconds(wall), "%.2f ms", limit{}),
	}
	return t
}
