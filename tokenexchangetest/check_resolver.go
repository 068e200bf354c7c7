package tokenexchangetest

import (
	"context"
	"errors"
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckResolver tests whether a SubjectResolver meets its contract. It returns all findings joined,
// or nil.
//
// The resolver must know the subject of the token known, and the subjects of the tokens in others,
// which are different parties. A client that has the name of a user should be among them, since
// resolvers easily confuse the two (D19); without others this is not checked. The resolver must
// refuse, with a Code, a token like known whose subject or issuer is unknown.
//
// A call may take until ctx ends, and 10 seconds at most.
func CheckResolver(ctx context.Context, r tokenexchange.SubjectResolver,
	known tokenexchange.Token, others ...tokenexchange.Token) error {
	for _, t := range append([]tokenexchange.Token{known}, others...) {
		if t.Issuer == "" || t.Subject == "" {
			return errors.New(
				"tokenexchangetest: CheckResolver needs tokens with an issuer and a subject")
		}
	}
	c := resolverCheck{checker: &checker{ctx: ctx}, resolver: r, known: known, others: others}
	return c.run(c.resolvesKnown, c.distinguishes, c.refusesUnknown, c.carriedActor, c.concurrent,
		c.cancel)
}

type resolverCheck struct {
	*checker
	resolver tokenexchange.SubjectResolver
	known    tokenexchange.Token
	others   []tokenexchange.Token
	identity tokenexchange.Identity // the subject of known; zero if it was not resolved
}

func (c *resolverCheck) resolvesKnown() {
	c.identity = c.identify("the known token", c.known)
	c.resolvesAgain("the known token")
}

// resolvesAgain expects the identity that the first call returned.
func (c *resolverCheck) resolvesAgain(input string) {
	zero := tokenexchange.Identity{}
	if id := c.identify(input, c.known); id != c.identity && id != zero && c.identity != zero {
		c.find(nil, "ResolveSubject for %s returned a different identity than before", input)
	}
}

// identify expects a complete identity. It returns the zero Identity if there is none.
func (c *resolverCheck) identify(input string, t tokenexchange.Token) tokenexchange.Identity {
	s, err := c.resolve(c.ctx, input, t)
	switch {
	case !returned(err):
	case err != nil:
		c.find(err, "ResolveSubject refused %s", input)
	case !isComplete(s.Identity):
		c.find(nil, "ResolveSubject for %s returned an identity without issuer, kind or id (D07)",
			input)
	default:
		return s.Identity
	}
	return tokenexchange.Identity{}
}

// distinguishes expects a different identity for each token.
func (c *resolverCheck) distinguishes() {
	seen := map[tokenexchange.Identity]bool{c.identity: true}
	for _, t := range c.others {
		id := c.identify("another token", t)
		if seen[id] && id != (tokenexchange.Identity{}) {
			c.find(nil, "ResolveSubject returned the %s %q for two different parties (D19)",
				id.Kind, id.ID)
		}
		seen[id] = true
	}
}

func (c *resolverCheck) refusesUnknown() {
	if _, err := c.resolve(c.ctx, "the zero Token", tokenexchange.Token{}); err == nil {
		c.find(nil, "ResolveSubject accepted the zero Token")
	}
	c.refuses("an unknown subject", tokenAbout(c.known, unknownName()))
	foreign := c.known
	foreign.Issuer, foreign.Claims = "https://"+unknownName()+".invalid", nil
	c.refuses("a known subject of an unknown issuer", foreign)
}

// refuses expects a refusal, and not a failure.
func (c *resolverCheck) refuses(input string, t tokenexchange.Token) {
	_, err := c.resolve(c.ctx, input, t)
	switch {
	case !returned(err):
	case err == nil:
		c.find(nil, "ResolveSubject accepted %s", input)
	case !isRefusal(err):
		c.find(err, "ResolveSubject for %s %s", input, uncoded)
	}
}

// carriedActor resolves the known party as an Exchanger resolves the current actor of a chain: by a
// token without Type. The host may refuse the party as an actor, but may not return another party.
func (c *resolverCheck) carriedActor() {
	t := tokenexchange.Token{
		Issuer: c.known.Issuer, Subject: c.known.Subject, ClientID: c.known.ClientID,
	}
	s, err := c.resolve(c.ctx, "a carried actor", t)
	switch {
	case !returned(err):
	case err == nil && s.Identity != c.identity && c.identity != (tokenexchange.Identity{}):
		c.find(nil, "ResolveSubject for a carried actor returned another identity than before")
	case err != nil && !isRefusal(err):
		c.find(err, "ResolveSubject for a carried actor, a token without Type, %s", uncoded)
	}
}

// concurrent mixes known and unknown subjects. A resolver that shares state between its calls may
// answer with the result of another call.
func (c *resolverCheck) concurrent() {
	unknown := tokenAbout(c.known, unknownName())
	concurrently(func(i int) {
		if i%2 == 0 {
			c.resolvesAgain("the known token in a concurrent call")
		} else {
			c.refuses("an unknown subject in a concurrent call", unknown)
		}
	})
}

// cancel calls the resolver under a cancelled context. A resolver that makes no call of its own may
// ignore the context. Otherwise it must fail: it may not refuse the known token.
func (c *resolverCheck) cancel() {
	_, err := c.resolve(c.cancelled(), "a cancelled context", c.known)
	if returned(err) && isRefusal(err) {
		c.find(err, "ResolveSubject refused the known token under a cancelled context; "+
			"that is a failure, which has no Code (I12)")
	}
	unknown := tokenAbout(c.known, unknownName())
	if _, err := c.resolve(c.cancelled(), "a cancelled context", unknown); err == nil {
		c.find(nil, "ResolveSubject accepted an unknown subject under a cancelled context")
	}
}

func (c *resolverCheck) resolve(ctx context.Context, input string,
	t tokenexchange.Token) (tokenexchange.Subject, error) {
	given := deepCopy(t)
	s, err := call(c.checker, "ResolveSubject for "+input, func() (tokenexchange.Subject, error) {
		return c.resolver.ResolveSubject(ctx, given)
	})
	if returned(err) && !reflect.DeepEqual(given, t) {
		c.find(nil, "ResolveSubject for %s modified its argument", input)
	}
	return s, err
}
