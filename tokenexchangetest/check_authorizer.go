package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckAuthorizer tests whether an ActorAuthorizer meets its contract. It returns all findings
// joined, or nil.
//
// The authorizer must allow the given facts. It must refuse, with a Code, the same facts with an
// unknown actor, and with an unknown subject: a random id in a random tenant, without privileges,
// that no token names. The best facts to give are those of a real exchange, which Authorizer.Asked
// returns.
//
// An authorizer that lets some actors act for every subject fails the check, since the subject may
// be unknown. A call may take until ctx ends, and 10 seconds at most.
func CheckAuthorizer(ctx context.Context, a tokenexchange.ActorAuthorizer,
	allowed tokenexchange.Facts) error {
	if !isComplete(allowed.Subject.Identity) || !isComplete(allowed.ActingParty()) {
		return errors.New(
			"tokenexchangetest: CheckAuthorizer needs facts with a subject and an actor or client")
	}
	c := authorizerCheck{checker: &checker{ctx: ctx}, authorizer: a, allowed: allowed}
	return c.run(c.allows, c.refusesZero, c.refusesUnknown, c.withoutActor, c.concurrent, c.cancel)
}

type authorizerCheck struct {
	*checker
	authorizer tokenexchange.ActorAuthorizer
	allowed    tokenexchange.Facts
}

func (c *authorizerCheck) allows() {
	err := c.authorize(c.ctx, "the given facts", c.allowed)
	if returned(err) && err != nil {
		c.find(err, "AuthorizeActor refused the given facts")
	}
}

func (c *authorizerCheck) refusesZero() {
	if err := c.authorize(c.ctx, "the zero Facts", tokenexchange.Facts{}); err == nil {
		c.find(nil, "AuthorizeActor allowed the zero Facts")
	}
}

func (c *authorizerCheck) refusesUnknown() {
	c.refuses("an unknown actor", c.unknownActor())
	c.refuses("an unknown subject", c.unknownSubject())
}

// refuses expects a refusal, and not a failure.
func (c *authorizerCheck) refuses(input string, f tokenexchange.Facts) {
	err := c.authorize(c.ctx, input, f)
	switch {
	case !returned(err):
	case err == nil:
		c.find(nil, "AuthorizeActor allowed %s", input)
	case !isRefusal(err):
		c.find(err, "AuthorizeActor for %s %s", input, uncoded)
	}
}

// withoutActor makes the client the actor. The client may have rights of its own, so the authorizer
// may allow or refuse the client.
func (c *authorizerCheck) withoutActor() {
	f := c.allowed
	f.Actor = nil
	err := c.authorize(c.ctx, "facts without Actor", f)
	if returned(err) && err != nil && !isRefusal(err) {
		c.find(err, "AuthorizeActor for facts without Actor %s", uncoded)
	}
}

// concurrent mixes allowed and refused facts. An authorizer that shares state between its calls may
// answer with the result of another call.
func (c *authorizerCheck) concurrent() {
	unknown := c.unknownActor()
	concurrently(func(i int) {
		f, input := c.allowed, "the given facts in a concurrent call"
		if i%2 == 1 {
			f, input = unknown, "an unknown actor in a concurrent call"
		}
		switch err := c.authorize(c.ctx, input, f); {
		case !returned(err):
		case i%2 == 0 && err != nil:
			c.find(err, "AuthorizeActor refused %s", input)
		case i%2 == 1 && err == nil:
			c.find(nil, "AuthorizeActor allowed %s", input)
		}
	})
}

// cancel calls the authorizer under a cancelled context. An authorizer that makes no call of its
// own may ignore the context. Otherwise it must fail: it may not refuse the given facts, nor allow
// an unknown actor.
func (c *authorizerCheck) cancel() {
	err := c.authorize(c.cancelled(), "a cancelled context", c.allowed)
	if returned(err) && isRefusal(err) {
		c.find(err, "AuthorizeActor refused the given facts under a cancelled context; "+
			"that is a failure, which has no Code (I12)")
	}
	if err := c.authorize(c.cancelled(), "a cancelled context", c.unknownActor()); err == nil {
		c.find(nil, "AuthorizeActor allowed an unknown actor under a cancelled context")
	}
}

func (c *authorizerCheck) authorize(ctx context.Context, input string,
	f tokenexchange.Facts) error {
	given := deepCopy(f)
	_, err := call(c.checker, "AuthorizeActor for "+input, func() (any, error) {
		return nil, c.authorizer.AuthorizeActor(ctx, given)
	})
	if returned(err) && !reflect.DeepEqual(given, f) {
		c.find(nil, "AuthorizeActor for %s modified its argument", input)
	}
	return err
}

func (c *authorizerCheck) unknownActor() tokenexchange.Facts {
	f := c.allowed
	if f.Actor == nil {
		f.Client = tokenexchange.Client{ID: unknownName(), Scope: f.Client.Scope}
		return f
	}
	s := unknownParty(*f.Actor)
	f.Actor = &s
	return f
}

func (c *authorizerCheck) unknownSubject() tokenexchange.Facts {
	f := c.allowed
	f.Subject = unknownParty(f.Subject)
	return f
}

// unknownName returns a name that no party has.
func unknownName() string { return "unknown-" + rand.Text() }

// unknownParty returns a party that does not exist, with the issuer, kind and type of token of s.
func unknownParty(s tokenexchange.Subject) tokenexchange.Subject {
	id := s.Identity
	id.ID, id.Tenant = unknownName(), unknownName()
	return tokenexchange.Subject{
		Identity: id, Scope: s.Scope, Until: s.Until, Token: tokenAbout(s.Token, id.ID),
	}
}

// tokenAbout returns a token like t about the subject name. It leaves out every claim that could
// identify the subject of t or allow an actor, such as act and may_act.
func tokenAbout(t tokenexchange.Token, name string) tokenexchange.Token {
	s := tokenexchange.Token{
		Type: t.Type, Kind: t.Kind, Issuer: t.Issuer, Subject: name, ClientID: t.ClientID,
		Scope: t.Scope, Issued: t.Issued, Expires: t.Expires, Confirmation: t.Confirmation,
	}
	if t.ID != "" {
		s.ID = unknownName()
	}
	if t.ClientID == t.Subject { // a token that a client got about itself
		s.ClientID = name
	}
	return s
}
