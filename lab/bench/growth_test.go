package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The tests of this file are about curves: the cost of more of something. Each figure is the least
// of several tries, and each limit is far enough from the goal that only a change of the curve
// fails.

// curve has the least time of each size, in nanoseconds.
type curve struct {
	what   string
	clock  func() time.Duration
	sizes  []int
	works  []work
	counts []int
	times  []float64
	effort effort // of one series of tries
	batch  bool   // one repetition does as many things as the size says
}

// curveOf prepares a curve. The sizes take turns, so that a disturbance hits all of them.
func curveOf(what string, sizes []int, of func(size int) work) *curve {
	c := &curve{what: what, clock: threadTime, sizes: sizes,
		effort: effort{rounds: 10, slice: 2 * time.Millisecond}}
	for _, size := range sizes {
		c.works = append(c.works, of(size))
	}
	return c
}

// try measures each size some more times and keeps the least.
func (c *curve) try() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if c.counts == nil {
		for _, w := range c.works {
			c.counts = append(c.counts, c.effort.count(w))
			c.times = append(c.times, math.Inf(1))
		}
	}
	for range c.effort.rounds {
		for i, w := range c.works {
			took := lap(c.clock, w, c.counts[i])
			if c.batch {
				took /= float64(c.sizes[i])
			}
			c.times[i] = min(c.times[i], took)
		}
	}
}

// is fails unless the curve is as wanted. On a busy machine one series of tries may see no
// undisturbed one, so there are several series before it fails.
func (c *curve) is(t *testing.T, wanted func(*curve) error) {
	t.Helper()
	var err error
	for range 5 {
		c.try()
		if err = wanted(c); err == nil {
			return
		}
	}
	t.Errorf("%v\n%s", err, c)
}

func (c *curve) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", c.what)
	for i, size := range c.sizes {
		fmt.Fprintf(&b, " %d: %.0f ns;", size, c.times[i])
	}
	return b.String()
}

// flat wants no size to cost more than so many times the first.
func flat(most float64) func(*curve) error {
	return func(c *curve) error {
		for i, size := range c.sizes {
			if grown := c.times[i] / c.times[0]; grown > most {
				return fmt.Errorf("%d costs %.1f times as much as %d; at most %.1f are allowed",
					size, grown, c.sizes[0], most)
			}
		}
		return nil
	}
}

// linear wants the growth from the first size to the last to be at most twice what a straight line
// through the first size and a quarter of the last predicts. A quadratic curve is at four times
// that line. Growth of less than a tenth of the first size, up to the quarter, counts as a tenth.
func linear(c *curve) error {
	last, quarter := len(c.sizes)-1, 0
	for c.sizes[quarter]*4 < c.sizes[last] {
		quarter++
	}
	line := max(c.times[quarter]-c.times[0], c.times[0]/10) *
		float64(c.sizes[last]-c.sizes[0]) / float64(c.sizes[quarter]-c.sizes[0])
	if grown := c.times[last] - c.times[0]; grown > 2*line {
		return fmt.Errorf("from %d to %d the cost grows by %.0f ns; a straight line through %d "+
			"predicts %.0f ns, and twice that is allowed", c.sizes[0], c.sizes[last], grown,
			c.sizes[quarter], line)
	}
	return nil
}

// question is the size of one exchange.
type question struct {
	rules     int // rules of other clients, around the one that matches
	scopes    int // scopes that the subject and the client have and that the request asks for
	actors    int // length of the chain of actors
	audiences int // audiences of the subject token
	targets   int // audiences of the subject token that the request asks for
}

// small has one rule, one scope, one audience and no chain.
var small = question{scopes: 1, audiences: 1, targets: 1}

// An exchange without its cryptography grows no faster than what is in it: form, claims, chain,
// decision, new claims, answer. With cryptography, a slip would drown.
func TestGrowthOfExchange(t *testing.T) {
	for _, d := range []struct {
		what  string
		sizes []int
		of    func(size int) question
	}{
		{"scopes", []int{1, 2, 4, 8, 16, 32, 64, 128},
			func(n int) question { q := small; q.scopes = n; return q }},
		{"act levels", []int{1, 2, 4, 8, 16},
			func(n int) question { q := small; q.actors = n; return q }},
		{"audiences of the subject token", []int{1, 2, 4, 8, 16, 32, 64},
			func(n int) question { return question{scopes: 1, audiences: n, targets: 1} }},
		{"targets", []int{1, 2, 4, 8, 16},
			func(n int) question { return question{scopes: 1, audiences: 64, targets: n} }},
	} {
		t.Run(d.what, func(t *testing.T) {
			c := curveOf(d.what, d.sizes, func(n int) work { return d.of(n).exchange(nil).times })
			c.is(t, linear)
		})
	}
}

// Among 100,000 rules of other clients an exchange, granted or refused, costs at most 1.5 times as
// much as among 10.
func TestGrowthOfRules(t *testing.T) {
	granted, refused := map[int]work{}, map[int]work{}
	sizes := []int{10, 100_000}
	for _, n := range sizes {
		x, signer := signedEngine("ES256", keys["ES256"])
		q := small
		q.rules = n
		x.Decide = q.policy().Decide
		p := newPost(x.Handler(host{}.authenticate), "/token", tx.Request{
			SubjectToken: mint(signer, "alice", nil), SubjectTokenType: tx.TypeAccessToken,
			Audience: []string{ordersAPI}, Scope: scopes[:1]}.Values().Encode())
		granted[n] = p.times
		p.form = strings.Replace(p.form, "orders%3Aread", "orders%3Adelete", 1)
		refused[n] = p.refusals
	}
	curveOf("rules, granted", sizes, func(n int) work { return granted[n] }).is(t, flat(1.5))
	curveOf("rules, refused", sizes, func(n int) work { return refused[n] }).is(t, flat(1.5))
}

// A store with many live tokens answers as fast as a store with few, but for cold caches. A store
// that looks at every token would take a hundred times as long.
func TestGrowthOfTokens(t *testing.T) {
	sizes := []int{1e3, 1e5}
	exchanges := map[int]work{}
	for _, n := range sizes {
		x, tokens := opaqueEngine()
		for i := range n {
			mint(tokens, fmt.Sprint("user-", i), nil)
		}
		exchanges[n] = exchange(x, tokens, false).times
	}
	curveOf("live tokens", sizes, func(n int) work { return exchanges[n] }).is(t, flat(4))
}

// Concurrent exchanges do not slow each other down: each costs the same CPU time, however many
// there are at a time. Without cryptography an exchange is so cheap that cold caches make up to 2.6
// times as much of it among 256. If each looked at all others, it would be more than 4 times.
func TestGrowthOfConcurrency(t *testing.T) {
	sizes := []int{1, 4, 16, 64, 256}
	for what, of := range map[string]func(waiting) post{
		"JWTs":          small.exchange,
		"opaque tokens": waiting.opaque,
	} {
		c := curveOf("concurrent exchanges of "+what, sizes,
			func(n int) work { return atATime(n, of) })
		c.clock, c.batch = processTime, true
		c.is(t, flat(4))
	}
}

// atATime runs n exchanges at a time: the host answers none before all of them have asked it.
func atATime(n int, of func(waiting) post) work {
	var mu sync.Mutex
	asked, answer := 0, make(chan struct{})
	p := of(func() {
		mu.Lock()
		wait := answer
		if asked++; asked == n {
			close(answer)
			asked, answer = 0, make(chan struct{})
		}
		mu.Unlock()
		<-wait
	})
	return func(times int) {
		var group sync.WaitGroup
		for range n {
			group.Go(func() { p.times(times) })
		}
		group.Wait()
	}
}

// waiting is what a host does before it resolves a subject; nil: nothing.
type waiting func()

func (w waiting) ResolveSubject(_ context.Context, t tx.Token) (tx.Subject, error) {
	if w != nil {
		w()
	}
	id := tx.Identity{Issuer: t.Issuer, Kind: tx.KindUser, ID: t.Subject}
	return tx.Subject{Identity: id}, nil
}

// opaque exchanges opaque tokens with such a host.
func (w waiting) opaque() post {
	x, tokens := opaqueEngine()
	x.Resolver = w
	return exchange(x, tokens, false)
}

// exchange is an exchange of the given size without its cryptography: the signature of the subject
// token is not verified, and the new token is signed with zeros.
func (q question) exchange(users waiting) post {
	scope, audience := tx.Scope(names("resource-%d:read", q.scopes)), q.audience()
	now := time.Now()
	claims := fmt.Appendf(nil, `{"iss":%q,"sub":"alice","aud":["%s"],"exp":%d,"iat":%d,"jti":"1",`+
		`"client_id":%q,"scope":%q`, issuer, strings.Join(audience, `","`),
		now.Add(time.Hour).Unix(), now.Unix(), clientID, scope)
	var chain *tx.Actor
	for _, id := range names("agent-%d", q.actors) {
		chain = &tx.Actor{Issuer: issuer, Subject: id, ClientID: "agents", Prior: chain}
	}
	if chain != nil {
		claims = append(append(claims, `,"act":`...), must(chain.MarshalJSON())...)
	}
	x := engine()
	x.Resolver, x.Decide = users, q.policy().Decide
	public := keys["EdDSA"].Public().(ed25519.PublicKey)
	x.TokenIssuer = must(tx.NewJWTIssuer(zeros{public}, "k1", ""))
	x.Verify = tx.Verifiers{tx.TypeAccessToken: unverified}
	r := tx.Request{SubjectToken: base64.RawURLEncoding.EncodeToString(append(claims, '}')),
		SubjectTokenType: tx.TypeAccessToken, Audience: audience[:q.targets], Scope: scope}
	client := func(r *http.Request) (tx.Client, error) {
		c, err := host{}.authenticate(r)
		c.Scope = scope
		return c, err
	}
	return newPost(x.Handler(client), "/token", r.Values().Encode())
}

// names returns n names.
func names(format string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

func (q question) audience() []string {
	return append([]string{ordersAPI}, names("https://api-%d.example", q.audiences-1)...)
}

// policy has the rule that matches in the middle of the rules of other clients.
func (q question) policy() *tx.Policy {
	mine := rules()[0] // narrow
	mine.Targets, mine.MaxChain = q.audience(), 32
	list := []tx.Rule{mine}
	for i := range q.rules {
		other := mine
		other.Name, other.Clients = fmt.Sprint("rule ", i), []string{fmt.Sprint("client-", i)}
		list = append(list, other)
	}
	list[0], list[q.rules/2] = list[q.rules/2], list[0]
	return must(tx.NewPolicy(list...))
}

// unverified reads a token that is the base64 of its claims.
func unverified(_ context.Context, c tx.Credential) (tx.Token, error) {
	payload, err := base64.RawURLEncoding.DecodeString(c.Token)
	if err != nil {
		return tx.Token{}, err
	}
	token, err := tx.ParseToken(payload)
	token.Type = c.Type
	return token, err
}

// zeros is a key whose signatures are zeros.
type zeros struct{ public ed25519.PublicKey }

func (z zeros) Public() crypto.PublicKey { return z.public }
func (z zeros) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, ed25519.SignatureSize), nil
}
