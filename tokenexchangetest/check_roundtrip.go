package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckRoundTrip issues a token for d, verifies it and compares it with d. It returns all findings
// joined, or nil. It finds what CheckIssuer cannot see, such as a missing chain of actors, or a
// Discard that has no effect.
//
// verify are the verifiers of the same server, as in Exchanger.Verify. They must accept the token
// at d.Issued. They must refuse, with a Code, the token at d.Expires, the token after Discard, and
// a token that was never issued. If the issuer adds an ID token and verify has TypeIDToken, the ID
// token is compared too.
//
// d should come from a policy, and have an Actor so that the chain is checked. A call may take
// until ctx ends, and 10 seconds at most.
func CheckRoundTrip(ctx context.Context, issuer tokenexchange.TokenIssuer,
	verify tokenexchange.Verifiers, d tokenexchange.Decision) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("tokenexchangetest: CheckRoundTrip needs a complete decision, got %w",
			err)
	}
	if verify[d.Type] == nil {
		return fmt.Errorf("tokenexchangetest: CheckRoundTrip needs a verifier for %s", d.Type)
	}
	c := roundTrip{checker: &checker{ctx: ctx}, issuer: issuer, verifiers: verify, d: d}
	return c.run(c.check)
}

type roundTrip struct {
	*checker
	issuer    tokenexchange.TokenIssuer
	verifiers tokenexchange.Verifiers
	d         tokenexchange.Decision
}

func (c *roundTrip) check() {
	t, err := call(c.checker, "IssueToken", func() (tokenexchange.IssuedToken, error) {
		return c.issuer.IssueToken(c.ctx, deepCopy(c.d))
	})
	if err != nil {
		if returned(err) {
			c.find(err, "IssueToken failed")
		}
		return
	}
	c.compare("the token", t.Value, c.d)
	if t.IDToken != "" && c.verifiers[tokenexchange.TypeIDToken] != nil {
		id := c.d
		id.Type, id.Audience, id.Scope = tokenexchange.TypeIDToken, []string{c.d.Client}, nil
		c.compare("the ID token", t.IDToken, id)
	}
	expired := c.credential(t.Value, c.d)
	expired.Now = c.d.Expires
	c.refuses("an expired token", expired)
	c.refuses("a token that was never issued", c.credential(rand.Text(), c.d))
	if t.Discard != nil && c.discard(t) {
		c.refuses("a discarded token", c.credential(t.Value, c.d))
	}
}

// credential returns the token as presented by the client that it was issued to.
func (c *roundTrip) credential(token string, d tokenexchange.Decision) tokenexchange.Credential {
	return tokenexchange.Credential{
		Token: token, Type: d.Type, Issuer: d.Issuer,
		Client: tokenexchange.Client{ID: d.Client}, Now: d.Issued,
	}
}

func (c *roundTrip) verify(input string,
	cred tokenexchange.Credential) (tokenexchange.Token, error) {
	return call(c.checker, "verifying "+input, func() (tokenexchange.Token, error) {
		return c.verifiers[cred.Type](c.ctx, cred)
	})
}

// refuses expects a refusal, and not a failure.
func (c *roundTrip) refuses(input string, cred tokenexchange.Credential) {
	switch _, err := c.verify(input, cred); {
	case !returned(err):
	case err == nil:
		c.find(nil, "the verifier accepted %s", input)
	case !isRefusal(err):
		c.find(err, "verifying %s %s", input, uncoded)
	}
}

// compare verifies a token and compares its claims with the decision.
func (c *roundTrip) compare(input, value string, d tokenexchange.Decision) {
	t, err := c.verify(input, c.credential(value, d))
	if err != nil {
		if returned(err) {
			c.find(err, "the verifier refused %s", input)
		}
		return
	}
	want := d.Token(rand.Text())
	if want.Type == tokenexchange.TypeAccessToken && t.ID == "" {
		c.find(nil, "%s has no ID (D29)", input)
	}
	findIf := func(differs bool, claim string, got, decided any) {
		if differs {
			c.find(nil, "%s has the %s %q, want %q", input, claim, got, decided)
		}
	}
	gotChain, wantChain := chain(t.Actor, d.Issuer), chain(want.Actor, d.Issuer)
	findIf(t.Type != want.Type, "type", t.Type, want.Type)
	findIf(t.Issuer != want.Issuer, "issuer", t.Issuer, want.Issuer)
	findIf(t.Subject != want.Subject, "subject", t.Subject, want.Subject)
	findIf(!slices.Equal(gotChain, wantChain), "chain of actors", gotChain, wantChain)
	findIf(t.ClientID != want.ClientID, "client", t.ClientID, want.ClientID)
	findIf(!equalSets(t.Audience, want.Audience), "audience", t.Audience, want.Audience)
	findIf(!equalSets(t.Scope, want.Scope), "scope", t.Scope, want.Scope)
	findIf(t.Confirmation != want.Confirmation, "confirmation", t.Confirmation, want.Confirmation)
	findIf(t.Expires.After(want.Expires), "expiry", t.Expires, want.Expires)
	if d.Type == tokenexchange.TypeIDToken { // the claims about the login (D27)
		findIf(!t.AuthTime.Equal(want.AuthTime), "auth_time", t.AuthTime, want.AuthTime)
		findIf(t.ACR != want.ACR, "acr", t.ACR, want.ACR)
		findIf(!slices.Equal(t.AMR, want.AMR), "amr", t.AMR, want.AMR)
	}
}

// equalSets reports whether a and b have the same elements, in any order.
func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// party is one member of a chain of actors.
type party struct{ issuer, subject, client string }

// chain returns the members of a chain, the current actor first. The default of Actor.Issuer is the
// issuer of the token.
func chain(a *tokenexchange.Actor, issuer string) (members []party) {
	for ; a != nil; a = a.Prior {
		p := party{a.Issuer, a.Subject, a.ClientID}
		if p.issuer == "" {
			p.issuer = issuer
		}
		members = append(members, p)
	}
	return members
}
