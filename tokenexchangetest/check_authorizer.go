package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckAuthorizer reports where an ActorAuthorizer breaks its contract, all findings joined; nil if it keeps it. It must
// say yes to the facts given, and no, with a Code, to the same facts about strangers: an acting party or a subject that
// nobody has heard of, of another tenant, without privileges, and named by no token. Facts that the authorizer was asked
// about in an exchange, Authorizer.Asked has them, are the best ones to give.
//
// An authorizer that lets some actors act for whomever there is does not pass, since a stranger may be the subject then.
// A call may take until ctx ends, and 10 seconds at most.
func CheckAuthorizer(ctx context.Context, a tokenexchange.ActorAuthorizer, yes tokenexchange.Facts) error {
	if !isSomebody(yes.Subject.Identity) || !isSomebody(yes.ActingParty()) {
		return errors.New("tokenexchangetest: CheckAuthorizer needs facts with a subject and an actor or client")
	}
	c := authorizerCheck{checker: &checker{ctx: ctx}, authorizer: a, yes: yes}
	return c.run(c.known, c.nothing, c.strangers, c.withoutActor, c.crowd, c.cancel)
}

type authorizerCheck struct {
	*checker
	authorizer tokenexchange.ActorAuthorizer
	yes        tokenexchange.Facts
}

func (c *authorizerCheck) known() {
	if err := c.authorize(c.ctx, "the given facts", c.yes); answered(err) && err != nil {
		c.find(err, "AuthorizeActor for the given facts said no")
	}
}

func (c *authorizerCheck) nothing() {
	if err := c.authorize(c.ctx, "the zero Facts", tokenexchange.Facts{}); err == nil {
		c.find(nil, "AuthorizeActor for the zero Facts said yes")
	}
}

func (c *authorizerCheck) strangers() {
	c.refuses("an unknown acting party", c.strangerActs())
	c.refuses("an unknown subject", c.strangerIsSubject())
}

// refuses expects a no that an Exchanger takes for one.
func (c *authorizerCheck) refuses(what string, f tokenexchange.Facts) {
	err := c.authorize(c.ctx, what, f)
	switch {
	case !answered(err):
	case err == nil:
		c.find(nil, "AuthorizeActor for %s said yes", what)
	case !isRefusal(err):
		c.find(err, "AuthorizeActor for %s failed; a no carries a Code, such as InvalidRequest (I12)", what)
	}
}

// withoutActor leaves the client as the acting party, which may have a right of its own: either answer will do.
func (c *authorizerCheck) withoutActor() {
	f := c.yes
	f.Actor = nil
	if err := c.authorize(c.ctx, "facts without Actor", f); answered(err) && err != nil && !isRefusal(err) {
		c.find(err, "AuthorizeActor for facts without Actor failed; a no carries a Code, such as InvalidRequest (I12)")
	}
}

// crowd mixes both answers, so that none can come from somebody else's question.
func (c *authorizerCheck) crowd() {
	stranger := c.strangerActs()
	together(func(i int) {
		f, what := c.yes, "the given facts, concurrently,"
		if i%2 == 1 {
			f, what = stranger, "an unknown acting party, concurrently,"
		}
		switch err := c.authorize(c.ctx, what, f); {
		case !answered(err):
		case i%2 == 0 && err != nil:
			c.find(err, "AuthorizeActor for %s said no", what)
		case i%2 == 1 && err == nil:
			c.find(nil, "AuthorizeActor for %s said yes", what)
		}
	})
}

// cancel: an authorizer that asks nobody need not look at its context. One that does must know a failure from a no, and
// both from a yes.
func (c *authorizerCheck) cancel() {
	if err := c.authorize(c.cancelled(), "a cancelled context", c.yes); answered(err) && isRefusal(err) {
		c.find(err, "AuthorizeActor under a cancelled context said no, instead of that it does not know (I12)")
	}
	if err := c.authorize(c.cancelled(), "a cancelled context", c.strangerActs()); err == nil {
		c.find(nil, "AuthorizeActor under a cancelled context said yes to an unknown acting party")
	}
}

func (c *authorizerCheck) authorize(ctx context.Context, what string, f tokenexchange.Facts) error {
	given := deepCopy(f)
	_, err := ask(c.checker, "AuthorizeActor for "+what, func() (any, error) { return nil, c.authorizer.AuthorizeActor(ctx, given) })
	if answered(err) && !reflect.DeepEqual(given, f) {
		c.find(nil, "AuthorizeActor for %s changed the facts that it was given", what)
	}
	return err
}

func (c *authorizerCheck) strangerActs() tokenexchange.Facts {
	f := c.yes
	if f.Actor == nil {
		f.Client = tokenexchange.Client{ID: stranger(), Scope: f.Client.Scope}
		return f
	}
	s := asStranger(*f.Actor)
	f.Actor = &s
	return f
}

func (c *authorizerCheck) strangerIsSubject() tokenexchange.Facts {
	f := c.yes
	f.Subject = asStranger(f.Subject)
	return f
}

// stranger is a name that nobody has.
func stranger() string { return "stranger-" + rand.Text() }

// asStranger is somebody of the same issuer and kind, and with the same kind of token, whom nobody knows.
func asStranger(s tokenexchange.Subject) tokenexchange.Subject {
	id := s.Identity
	id.ID, id.Tenant = stranger(), stranger()
	return tokenexchange.Subject{Identity: id, Scope: s.Scope, Until: s.Until, Token: strangersToken(s.Token, id.ID)}
}

// strangersToken is a token like t about somebody else. Nothing in it speaks for anybody.
func strangersToken(t tokenexchange.Token, name string) tokenexchange.Token {
	s := tokenexchange.Token{
		Type: t.Type, Kind: t.Kind, Issuer: t.Issuer, Subject: name, ClientID: t.ClientID, Scope: t.Scope,
		Issued: t.Issued, Expires: t.Expires, Confirmation: t.Confirmation,
	}
	if t.ID != "" {
		s.ID = stranger()
	}
	if t.ClientID == t.Subject { // it was about the client itself
		s.ClientID = name
	}
	return s
}
