package tokenexchangetest

import (
	"context"
	"errors"
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckResolver reports where a SubjectResolver breaks its contract, all findings joined; nil if it keeps it. known is a
// token about somebody active, and others are tokens about other active parties, everyone somebody else: a client that
// has the name of a user is the one that is easily mistaken (D19). Without others that is not checked.
//
// A token like known about somebody unheard of, or of an issuer unheard of, must be refused with a Code. A call may take
// until ctx ends, and 10 seconds at most.
func CheckResolver(ctx context.Context, r tokenexchange.SubjectResolver, known tokenexchange.Token, others ...tokenexchange.Token) error {
	for _, t := range append([]tokenexchange.Token{known}, others...) {
		if t.Issuer == "" || t.Subject == "" {
			return errors.New("tokenexchangetest: CheckResolver needs tokens with an issuer and a subject")
		}
	}
	c := resolverCheck{checker: &checker{ctx: ctx}, resolver: r, known: known, others: others}
	return c.run(c.somebody, c.somebodyElse, c.nobody, c.carried, c.crowd, c.cancel)
}

type resolverCheck struct {
	*checker
	resolver tokenexchange.SubjectResolver
	known    tokenexchange.Token
	others   []tokenexchange.Token
	identity tokenexchange.Identity // of known, once it has been found
}

func (c *resolverCheck) somebody() {
	c.identity = c.identify("the known token", c.known)
	c.same("the known token")
}

// same expects the answer that was given before.
func (c *resolverCheck) same(what string) {
	nobody := tokenexchange.Identity{}
	if id := c.identify(what, c.known); id != c.identity && id != nobody && c.identity != nobody {
		c.find(nil, "ResolveSubject for %s gave two different answers", what)
	}
}

// identify expects an identity, and returns the zero one where there is none.
func (c *resolverCheck) identify(what string, t tokenexchange.Token) tokenexchange.Identity {
	s, err := c.resolve(c.ctx, what, t)
	switch {
	case !answered(err):
	case err != nil:
		c.find(err, "ResolveSubject for %s refused", what)
	case !isSomebody(s.Identity):
		c.find(nil, "ResolveSubject for %s answered with an identity without issuer, kind or id (D07)", what)
	default:
		return s.Identity
	}
	return tokenexchange.Identity{}
}

func (c *resolverCheck) somebodyElse() {
	had := map[tokenexchange.Identity]bool{c.identity: true}
	for _, t := range c.others {
		id := c.identify("another token", t)
		if had[id] && id != (tokenexchange.Identity{}) {
			c.find(nil, "ResolveSubject took two parties for one: both are the %s %q (D19)", id.Kind, id.ID)
		}
		had[id] = true
	}
}

func (c *resolverCheck) nobody() {
	if _, err := c.resolve(c.ctx, "the zero Token", tokenexchange.Token{}); err == nil {
		c.find(nil, "ResolveSubject for the zero Token found somebody")
	}
	c.refuses("an unknown subject", strangersToken(c.known, stranger()))
	foreign := c.known
	foreign.Issuer, foreign.Claims = "https://"+stranger()+".invalid", nil
	c.refuses("a known subject of an unknown issuer", foreign)
}

// refuses expects a no that an Exchanger takes for one.
func (c *resolverCheck) refuses(what string, t tokenexchange.Token) {
	_, err := c.resolve(c.ctx, what, t)
	switch {
	case !answered(err):
	case err == nil:
		c.find(nil, "ResolveSubject for %s found somebody", what)
	case !isRefusal(err):
		c.find(err, "ResolveSubject for %s failed; a no carries a Code, such as InvalidRequest (I12)", what)
	}
}

// carried asks for the known party as the current actor of a chain. Whether they may be one is the host's word, but they
// are nobody else.
func (c *resolverCheck) carried() {
	t := tokenexchange.Token{Issuer: c.known.Issuer, Subject: c.known.Subject, ClientID: c.known.ClientID}
	s, err := c.resolve(c.ctx, "a carried actor", t)
	switch {
	case !answered(err):
	case err == nil && s.Identity != c.identity && c.identity != (tokenexchange.Identity{}):
		c.find(nil, "ResolveSubject for a carried actor found somebody else than for the token")
	case err != nil && !isRefusal(err):
		c.find(err, "ResolveSubject for a carried actor, a token without Type, failed; a no carries a Code (I12)")
	}
}

func (c *resolverCheck) crowd() {
	unknown := strangersToken(c.known, stranger())
	together(func(i int) {
		if i%2 == 0 {
			c.same("the known token, concurrently,")
		} else {
			c.refuses("an unknown subject, concurrently,", unknown)
		}
	})
}

// cancel: a resolver that asks nobody need not look at its context. One that does must know a failure from a no.
func (c *resolverCheck) cancel() {
	if _, err := c.resolve(c.cancelled(), "a cancelled context", c.known); answered(err) && isRefusal(err) {
		c.find(err, "ResolveSubject under a cancelled context refused, instead of saying that it does not know (I12)")
	}
	if _, err := c.resolve(c.cancelled(), "a cancelled context", strangersToken(c.known, stranger())); err == nil {
		c.find(nil, "ResolveSubject under a cancelled context found somebody unknown")
	}
}

func (c *resolverCheck) resolve(ctx context.Context, what string, t tokenexchange.Token) (tokenexchange.Subject, error) {
	given := deepCopy(t)
	s, err := ask(c.checker, "ResolveSubject for "+what, func() (tokenexchange.Subject, error) {
		return c.resolver.ResolveSubject(ctx, given)
	})
	if answered(err) && !reflect.DeepEqual(given, t) {
		c.find(nil, "ResolveSubject for %s changed the token that it was given", what)
	}
	return s, err
}
