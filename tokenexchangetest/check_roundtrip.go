package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckRoundTrip reports where a token, issued for d and verified again, says something else than was decided, all
// findings joined; nil if it does not. It is what CheckIssuer cannot see: that the chain of actors is in the token, and
// what Discard is worth. verify are the verifiers of the same server, Exchanger.Verify. The token must be good at
// d.Issued, and refused with a Code at d.Expires and once it is discarded; so must a token be that nobody has issued. An
// ID token beside the first is looked at where verify has TypeIDToken.
//
// d should be what a policy decided, with an Actor best of all. A call may take until ctx ends, and 10 seconds at most.
func CheckRoundTrip(ctx context.Context, issuer tokenexchange.TokenIssuer, verify tokenexchange.Verifiers, d tokenexchange.Decision) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("tokenexchangetest: CheckRoundTrip needs a complete decision; this is %w", err)
	}
	if verify[d.Type] == nil {
		return fmt.Errorf("tokenexchangetest: CheckRoundTrip needs a verifier for %s", d.Type)
	}
	c := roundTrip{checker: &checker{ctx: ctx}, issuer: issuer, verifiers: verify, d: d}
	return c.run(c.trip)
}

type roundTrip struct {
	*checker
	issuer    tokenexchange.TokenIssuer
	verifiers tokenexchange.Verifiers
	d         tokenexchange.Decision
}

func (c *roundTrip) trip() {
	t, err := ask(c.checker, "IssueToken", func() (tokenexchange.IssuedToken, error) {
		return c.issuer.IssueToken(c.ctx, deepCopy(c.d))
	})
	if err != nil {
		if answered(err) {
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
	c.refuses("a token that nobody has issued", c.credential(rand.Text(), c.d))
	if t.Discard == nil {
		return
	}
	if _, err := ask(c.checker, "Discard", func() (any, error) { return nil, t.Discard(context.WithoutCancel(c.ctx)) }); err != nil {
		if answered(err) {
			c.find(err, "Discard failed")
		}
		return
	}
	c.refuses("a discarded token", c.credential(t.Value, c.d))
}

// credential is a token as the client presents it that it was issued to.
func (c *roundTrip) credential(token string, d tokenexchange.Decision) tokenexchange.Credential {
	return tokenexchange.Credential{Token: token, Type: d.Type, Issuer: d.Issuer, Client: tokenexchange.Client{ID: d.Client}, Now: d.Issued}
}

func (c *roundTrip) verify(what string, cred tokenexchange.Credential) (tokenexchange.Token, error) {
	return ask(c.checker, "verifying "+what, func() (tokenexchange.Token, error) { return c.verifiers[cred.Type](c.ctx, cred) })
}

// refuses expects a no that an Exchanger takes for one.
func (c *roundTrip) refuses(what string, cred tokenexchange.Credential) {
	switch _, err := c.verify(what, cred); {
	case !answered(err):
	case err == nil:
		c.find(nil, "verifying %s: it is accepted", what)
	case !isRefusal(err):
		c.find(err, "verifying %s failed; a no carries a Code, such as InvalidRequest (I12)", what)
	}
}

// compare verifies a token and holds what it says to the decision.
func (c *roundTrip) compare(what, value string, d tokenexchange.Decision) {
	t, err := c.verify(what, c.credential(value, d))
	if err != nil {
		if answered(err) {
			c.find(err, "verifying %s: it is refused", what)
		}
		return
	}
	want := d.Token(rand.Text())
	if want.Type == tokenexchange.TypeAccessToken && t.ID == "" {
		c.find(nil, "%s has no ID (D29)", what)
	}
	differs := func(is bool, member string, got, decided any) {
		if is {
			c.find(nil, "%s says another %s than was decided: %q, not %q", what, member, got, decided)
		}
	}
	acted, toAct := chain(t.Actor, d.Issuer), chain(want.Actor, d.Issuer)
	differs(t.Type != want.Type, "type", t.Type, want.Type)
	differs(t.Issuer != want.Issuer, "issuer", t.Issuer, want.Issuer)
	differs(t.Subject != want.Subject, "subject", t.Subject, want.Subject)
	differs(!slices.Equal(acted, toAct), "chain of actors", acted, toAct)
	differs(t.ClientID != want.ClientID, "client", t.ClientID, want.ClientID)
	differs(!sameSet(t.Audience, want.Audience), "audience", t.Audience, want.Audience)
	differs(!sameSet(t.Scope, want.Scope), "scope", t.Scope, want.Scope)
	differs(t.Confirmation != want.Confirmation, "confirmation", t.Confirmation, want.Confirmation)
	differs(t.Expires.After(want.Expires), "expiry", t.Expires, want.Expires)
	if d.Type == tokenexchange.TypeIDToken {
		differs(!t.AuthTime.Equal(want.AuthTime), "login time (D27)", t.AuthTime, want.AuthTime)
		differs(t.ACR != want.ACR, "acr (D27)", t.ACR, want.ACR)
		differs(!slices.Equal(t.AMR, want.AMR), "amr (D27)", t.AMR, want.AMR)
	}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// party is a member of a chain without what is below it.
type party struct{ issuer, subject, client string }

// chain is who acted, the current actor first. An issuer that is not said is that of the token.
func chain(a *tokenexchange.Actor, issuer string) (list []party) {
	for ; a != nil; a = a.Prior {
		p := party{a.Issuer, a.Subject, a.ClientID}
		if p.issuer == "" {
			p.issuer = issuer
		}
		list = append(list, p)
	}
	return list
}
