package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// The tests of this file are about curves: what more of something costs. Each figure is the least of several tries, and
// each assertion a ratio that is at least twice what the goal allows, so that only a change of the curve can fail it.

// curve is the least time of each size, in nanoseconds.
type curve struct {
	what   string
	view   view
	sizes  []int
	works  []work
	counts []int
	times  []float64
	effort effort // of one series of tries
	batch  bool   // a work does its thing as often as its size says
}

// curveOf prepares a curve. The sizes take turns later, so that what disturbs one disturbs the others too.
func curveOf(what string, sizes []int, of func(size int) work) *curve {
	c := &curve{what: what, view: onThread, sizes: sizes, effort: effort{rounds: 10, slice: 2 * time.Millisecond}}
	for _, size := range sizes {
		c.works = append(c.works, of(size))
	}
	return c
}

// try goes on measuring, and keeps the least.
func (c *curve) try() {
	if c.counts == nil {
		for _, w := range c.works {
			c.counts, c.times = append(c.counts, c.effort.count(w)), append(c.times, math.Inf(1))
		}
	}
	for range c.effort.rounds {
		for i, w := range c.works {
			took := c.view(lap(w, c.counts[i]))
			if c.batch {
				took /= float64(c.sizes[i])
			}
			c.times[i] = min(c.times[i], took)
		}
	}
}

// is fails if the curve is not as wanted. On a busy machine a few tries may not be enough to see a size undisturbed, so
// there are more of them before that.
func (c *curve) is(t *testing.T, wanted ...func(*curve) error) {
	t.Helper()
	const patience = 5
	for series := range patience {
		c.try()
		var problems []error
		for _, check := range wanted {
			problems = append(problems, check(c))
		}
		err := errors.Join(problems...)
		if err == nil {
			return
		}
		if series == patience-1 {
			t.Errorf("%v\n%s", err, c)
		}
	}
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
				return fmt.Errorf("%d costs %.1f times as much as %d; at most %.1f", size, grown, c.sizes[0], most)
			}
		}
		return nil
	}
}

// linear wants the way from the first size to the last to cost at most twice what a straight line through the first size and
// a quarter of the last would say; a curve that is quadratic is four times as high there. What grows by less than a part of
// the first size all the way to the quarter counts as that part.
func linear(part float64) func(*curve) error {
	return func(c *curve) error {
		last, quarter := len(c.sizes)-1, 0
		for c.sizes[quarter]*4 < c.sizes[last] {
			quarter++
		}
		line := max(c.times[quarter]-c.times[0], c.times[0]*part) * float64(c.sizes[last]-c.sizes[0]) / float64(c.sizes[quarter]-c.sizes[0])
		if grown := c.times[last] - c.times[0]; grown > 2*line {
			return fmt.Errorf("from %d to %d the cost grows by %.0f ns; a straight line through %d would be %.0f ns, and twice that is allowed",
				c.sizes[0], c.sizes[last], grown, c.sizes[quarter], line)
		}
		return nil
	}
}

// steps wants each further one to cost at most so many nanoseconds where bare ES256 takes the time of the reference.
func steps(most float64) func(*curve) error {
	bare := curveOf("bare ES256", []int{1}, func(int) work { return bareCrypto("ES256", 1).begin() })
	return func(c *curve) error {
		bare.try()
		last := len(c.sizes) - 1
		step := (c.times[last] - c.times[0]) / float64(c.sizes[last]-c.sizes[0]) * reference / bare.times[0]
		if step > most {
			return fmt.Errorf("each further one costs %.0f ns where bare ES256 takes 89 µs; at most %.0f", step, most)
		}
		return nil
	}
}

// dimensions are what there can be more of, and how much the tokens and the request may have of it.
var dimensions = []struct {
	what  string
	sizes []int
	of    func(size int) question
	step  float64 // twice the goal for Decide, in nanoseconds; 0: there is none, a straight line is enough
	part  float64 // of linear: where a map takes the place of a list just before the last size, more than noise
}{
	{"scopes", []int{1, 2, 4, 8, 16, 32, 64, 128}, func(n int) question { return question{scopes: n, audiences: 1, targets: 1} }, 2 * 25, 0.1},
	{"act levels", []int{1, 2, 4, 8, 16}, func(n int) question { return question{scopes: 1, audiences: 1, targets: 1, actors: n} }, 2 * 600, 0.5},
	{"audiences of the subject token", []int{1, 2, 4, 8, 16, 32, 64}, func(n int) question { return question{scopes: 1, audiences: n} }, 0, 0.1},
	{"targets asked for", []int{1, 2, 4, 8, 16}, func(n int) question { return question{scopes: 1, audiences: 64, targets: n} }, 0, 0.5},
}

func TestGrowthOfDecide(t *testing.T) {
	for _, d := range dimensions {
		t.Run(d.what, func(t *testing.T) {
			wanted := []func(*curve) error{linear(d.part)}
			if d.step > 0 {
				wanted = append(wanted, steps(d.step))
			}
			curveOf(d.what, d.sizes, func(n int) work { granted, _ := d.of(n).decisions(); return granted.begin() }).is(t, wanted...)
		})
	}
}

// All that an exchange does but its cryptography grows no faster either: form, claims, chain, decision, new claims, answer.
func TestGrowthOfExchange(t *testing.T) {
	for _, d := range dimensions {
		t.Run(d.what, func(t *testing.T) {
			curveOf(d.what, d.sizes, func(n int) work { return d.of(n).exchange(nil).times }).is(t, linear(0.1))
		})
	}
}

func TestGrowthOfRules(t *testing.T) {
	sizes := []int{10, 100, 1000, 10_000, 100_000}
	refused := map[int]candidate{}
	curveOf("rules, granted", sizes, func(n int) work {
		q := small
		q.rules = n
		yes, no := q.decisions()
		refused[n] = no
		return yes.begin()
	}).is(t, flat(2*1.5))
	curveOf("rules, refused", sizes, func(n int) work { return refused[n].begin() }).is(t, flat(2*1.5))
}

func TestGrowthOfTokens(t *testing.T) {
	sizes := []int{1e3, 1e4, 1e5, 1e6}
	crowds := map[int]*crowd{}
	for _, n := range sizes {
		c := newCrowd(n)
		if bytes := bytesEach(n, func() { c.grow(n) }); n >= 1e5 && bytes > 800 {
			t.Errorf("%.0f bytes for each of %d tokens; at most 800", bytes, n)
		}
		crowds[n] = c
	}
	curveOf("live tokens, lookup", sizes, func(n int) work { return crowds[n].lookup(sizes[0]).begin() }).is(t, flat(2*1.3))
	curveOf("live tokens, issue", sizes, func(n int) work { return crowds[n].issue().begin() }).is(t, flat(2*1.3))
}

// However many exchanges are on their way at a time, each costs what it costs. What they wait for each other is a matter of
// cores, and not of how many they are. Without cryptography one is so cheap that to find its memory cold, with 256 at a time,
// is more than it is itself; that comes to 2.6 times. One that looked at all others took 3 times when it cost twice as much.
func TestGrowthOfConcurrency(t *testing.T) {
	sizes := []int{1, 4, 16, 64, 256}
	for what, of := range map[string]func(everybody) post{"JWTs": small.exchange, "opaque tokens": everybody.opaque} {
		c := curveOf("concurrent exchanges of "+what, sizes, func(n int) work { return atATime(n, of) })
		c.view, c.batch = inProcess, true
		c.is(t, flat(4))
	}
}

// atATime is n exchanges at a time, again and again: the host answers none before it has been asked by all.
func atATime(n int, of func(everybody) post) work {
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

// opaque is the exchange of opaque tokens, with such a host.
func (e everybody) opaque() post {
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory()}
	x := engine()
	x.Subjects, x.Verify, x.Tokens = e, tx.Verifiers{tx.TypeAccessToken: tokens.VerifyToken}, tokens
	return exchange(x, tokens, false)
}

// exchange is what a decision is about as a whole exchange, but for the cryptography: nobody looks at the signature of the
// subject token, and the new one is signed with zeros.
func (q question) exchange(people everybody) post {
	facts := q.facts()
	token := facts.Subject.Token
	claims := fmt.Appendf(nil, `{"iss":%q,"sub":%q,"aud":["%s"],"exp":%d,"iat":%d,"jti":"1","client_id":%q,"scope":%q`, issuer, token.Subject,
		strings.Join(token.Audience, `","`), token.Expires.Unix(), token.Issued.Unix(), clientID, token.Scope)
	if token.Actor != nil {
		claims = append(append(claims, `,"act":`...), must(token.Actor.MarshalJSON())...)
	}
	x := engine()
	x.Subjects = people
	x.Decide = q.policy().Decide
	x.Tokens = &tx.JWTIssuer{Key: zeros{keys["EdDSA"].Public().(ed25519.PublicKey)}, KeyID: "k1"}
	x.Verify = tx.Verifiers{tx.TypeAccessToken: func(_ context.Context, c tx.Credential) (tx.Token, error) {
		payload, err := base64.RawURLEncoding.DecodeString(c.Token)
		if err != nil {
			return tx.Token{}, err
		}
		read, err := tx.ParseToken(payload)
		read.Type = c.Type
		return read, err
	}}
	r := tx.Request{SubjectTokenType: tx.TypeAccessToken, SubjectToken: base64.RawURLEncoding.EncodeToString(append(claims, '}')),
		Audience: facts.Request.Audience, Scope: facts.Request.Scope}
	client := func(r *http.Request) (tx.Client, error) {
		c, err := host{}.authenticate(r)
		c.Scope = token.Scope
		return c, err
	}
	return newPost(x.Handler(client), "/token", r.Values().Encode())
}

// everybody may hand on whatever their token says. It is what the host does before it answers; nil is nothing.
type everybody func()

func (e everybody) ResolveSubject(_ context.Context, t tx.Token) (tx.Subject, error) {
	if e != nil {
		e()
	}
	return tx.Subject{Identity: tx.Identity{Issuer: t.Issuer, Kind: tx.KindUser, ID: t.Subject}}, nil
}

// zeros is a key that does nothing.
type zeros struct{ public ed25519.PublicKey }

func (z zeros) Public() crypto.PublicKey { return z.public }
func (z zeros) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, ed25519.SignatureSize), nil
}
