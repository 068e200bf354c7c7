// Package tokenexchange implements the semantics of OAuth 2.0 Token Exchange (RFC 8693), impersonation and delegation,
// for authorization servers written in Go.
//
// One exchange is a relay of values: a form becomes a Request, verified tokens become Tokens, the host's directory makes
// Subjects of them, all of it together is the Facts, a policy turns Facts into a Decision, an issuer turns the Decision
// into an IssuedToken, and nothing is sent before the Event has been recorded. Each stage has one type, made only from the
// stage before it. An Exchanger conducts; a Policy decides; Verifier, JWTIssuer and LogSink are there for hosts that have
// none of their own; SubjectResolver, ActorAuthorizer, TokenIssuer and AuditSink are what a host fills in.
//
// Zero values grant nothing. What is not explicitly allowed is refused with an OAuth error code outside and a cause
// inside. Not promised: reaching a JWT at a resource server that does not introspect, client authentication (the host's),
// consent (it is Subject.Scope), transport security.
package tokenexchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// SubjectResolver returns the subject of a verified token. An error with a Code refuses the subject:
// it is unknown, locked or disabled. Any other error is a failure. The resolver is asked at every
// exchange, in every mode: about the subject token, about the actor token, and about the
// current actor of the subject token's chain unless the actor token is about the same party. For an
// actor of a chain, tok has no Type, and only Issuer, Subject and ClientID as the chain has them
// (D07). The answer for an actor of another issuer may be the identity that tok names.
//
// The identity it returns is the one that rules, act and sub use. A subject must be one of this server's own, whatever
// issuer its token is from (D19); an actor may keep its issuer.
type SubjectResolver interface {
	ResolveSubject(ctx context.Context, tok Token) (Subject, error)
}

// ActorAuthorizer says whether the acting party may act for the subject, in addition to the policy.
// Nil means yes, an error with a Code is a no, any other error is a failure. It is asked for every
// exchange but a narrowing (D11): before the policy where there is an actor token, so that no other
// refusal can tell a stranger anything about the subject; after it where the client itself is the
// acting party. Facts.Actor is then nil, or, where an impersonation carries a chain on, the chain's
// current actor.
//
// Subject.Tenant is the organisation that the issued token will be for, and Subject.PresentedTenant
// that of the presented token. Where there is an actor token, the first question is about the
// organisation that the request leads to expect. If the policy selects another one, the authorizer
// is asked a second time, about that one.
type ActorAuthorizer interface {
	AuthorizeActor(ctx context.Context, f Facts) error
}

// Exchanger conducts. Fields are in the order of use; a missing one refuses every exchange. It is not changed by use and
// may be copied: a server with an issuer per tenant, or a framework with an issuer per request, changes a field of a copy.
type Exchanger struct {
	Issuer   string    // our own iss
	Verify   Verifiers // by declared token type; may be empty, not nil, where only Run is used
	Subjects SubjectResolver
	Decide   func(Facts) (Decision, error) // (*Policy).Decide fits
	Actors   ActorAuthorizer
	Tokens   TokenIssuer
	Audit    AuditSink
	Now      func() time.Time // nil is time.Now

	// RecordTimeout is how long Audit may take to record an event, and IssuedToken.Discard to undo
	// what was issued; each has this time for itself. When it runs out, the call has failed and is
	// not waited for, even if it ignores its context. Zero is 5 seconds.
	RecordTimeout time.Duration
}

// Exchange answers one form (RFC 8693 §2.1) of an authenticated client. Whatever comes out has been audited, a malformed
// form too. The error is an *Error that can be sent as it is.
func (x *Exchanger) Exchange(ctx context.Context, client Client, form url.Values) (Response, error) {
	c := x.conductor(GrantType, client, func(ctx context.Context, now time.Time) (Request, Token, *Token, error) {
		req, err := ParseRequest(form)
		if err != nil {
			return Request{}, Token{}, nil, err
		}
		if x.Verify[req.SubjectTokenType] == nil {
			return req, Token{}, nil, refuseParameter(InvalidRequest, "subject_token_type", "is not supported")
		}
		if req.ActorToken != "" && x.Verify[req.ActorTokenType] == nil {
			return req, Token{}, nil, refuseParameter(InvalidRequest, "actor_token_type", "is not supported")
		}
		c := Credential{Token: req.SubjectToken, Type: req.SubjectTokenType, Issuer: x.Issuer, Client: client, Now: now}
		subject, err := x.Verify.verify(ctx, c)
		if err != nil || req.ActorToken == "" {
			return req, subject, nil, err
		}
		c.Token, c.Type, c.Actor = req.ActorToken, req.ActorTokenType, true
		actor, err := x.Verify.verify(ctx, c)
		if err != nil {
			return req, subject, nil, err
		}
		return req, subject, &actor, nil
	})
	c.secrets = slices.Concat(form["subject_token"], form["actor_token"])
	return c.run(ctx)
}

// Run is Exchange for another front door: refresh, assertion, ticket, act_as. open reads and verifies what the grant
// brings; now is the time of the exchange. Resolving, deciding, issuing and auditing are the same
// for all, and open's errors and panics are audited too. A nil actor means that there is no actor
// token.
//
// Two doors answer with an error code of their own: where grant is refresh_token or one of the assertion grants of
// RFC 7521, what the policy or a host refuses as invalid_request after open is sent as invalid_grant (R13).
func (x *Exchanger) Run(ctx context.Context, grant string, client Client,
	open func(ctx context.Context, now time.Time) (req Request, subject Token, actor *Token, err error)) (Response, error) {
	return x.conductor(grant, client, open).run(ctx)
}

func (x *Exchanger) conductor(grant string, client Client, open opener) *conductor {
	return &conductor{Exchanger: x, open: open, event: Event{Facts: Facts{Grant: grant, Issuer: x.Issuer, Client: client}}}
}

// run conducts, and lets nothing out that has not been recorded.
func (c *conductor) run(ctx context.Context) (Response, error) {
	err := guard.Call(func() error { return c.conduct(ctx) })
	if err != nil {
		err = c.seal(err)
		c.event.Err, c.event.Decision, c.event.TokenID = err, Decision{}, ""
	}
	if failed := c.record(ctx); failed != nil {
		err = c.seal(errors.Join(AsError(failed), err))
	}
	if err == nil {
		return newResponse(&c.event.Decision, &c.issued), nil
	}
	if c.issued.Discard != nil {
		undo := c.inTime(ctx, c.issued.Discard)
		if undo != nil {
			err = c.seal(errors.Join(err, fmt.Errorf("discarding what was issued: %w", undo)))
		}
	}
	return Response{}, err
}

// opener is how a grant begins.
type opener = func(ctx context.Context, now time.Time) (req Request, subject Token, actor *Token, err error)

// conductor is one exchange on its way. The event is filled in as it goes, so that a refusal tells how far it came.
type conductor struct {
	*Exchanger
	open    opener
	event   Event
	issued  IssuedToken
	opened  bool     // open has succeeded
	secrets []string // tokens as presented, which must not get into an error
}

// conduct is the order of the steps (D03) and nothing else.
func (c *conductor) conduct(ctx context.Context) error {
	f := &c.event.Facts
	if err := c.begin(f); err != nil {
		return err
	}
	if err := c.present(ctx, f); err != nil {
		return err
	}
	current, err := c.resolve(ctx, f)
	if err != nil {
		return err
	}
	asked := f.foreseenTenant()
	if f.Actor != nil {
		if err := c.authorize(ctx, f.inTenant(asked)); err != nil {
			return err
		}
	}
	d := &c.event.Decision // a kilobyte that need not be copied from step to step; run empties it where the exchange fails
	if *d, err = c.Decide(*f); err != nil {
		return err
	}
	d.Facts = *f
	if err := c.checkDecision(d); err != nil {
		return err
	}
	if err := c.authorizeDecision(ctx, d, current, asked); err != nil {
		return err
	}
	return c.issue(ctx, d)
}

// authorizeDecision asks the authorizer about what only the decision tells: that the client acts,
// that a chain is carried on, or that the result is for another organisation than asked, about
// which it was asked before the decision.
func (c *conductor) authorizeDecision(ctx context.Context, d *Decision, current *Subject,
	asked string) error {
	f := d.Facts
	switch {
	case d.Mode == Narrow:
		return nil
	case f.Actor != nil && d.Subject.Tenant == asked:
		return nil
	case f.Actor == nil && d.Mode == Impersonate:
		f.Actor = current
	}
	return c.authorize(ctx, f.inTenant(d.Subject.Tenant))
}

func (c *conductor) authorize(ctx context.Context, f Facts) error {
	if err := c.Actors.AuthorizeActor(ctx, f); err != nil {
		return because("D11: the authorizer did not say yes", err)
	}
	return nil
}

// foreseenTenant is the organisation that the result will most likely be for: if the targets name
// exactly one organisation of the subject, that one, else the one of the presented token.
func (f *Facts) foreseenTenant() string {
	selected := ""
	for _, target := range f.Request.Targets() {
		if slices.Contains(f.Subject.Tenants, target) {
			if selected != "" {
				return f.Subject.tenant()
			}
			selected = target
		}
	}
	return cmp.Or(selected, f.Subject.tenant())
}

// inTenant returns the facts as the authorizer sees them, for a result in the organisation.
func (f Facts) inTenant(tenant string) Facts {
	f.Subject.PresentedTenant, f.Subject.Tenant = f.Subject.tenant(), tenant
	if f.Actor != nil {
		actor := *f.Actor
		actor.Tenant = actor.tenant()
		f.Actor = &actor
	}
	return f
}

// begin refuses an Exchanger that lacks a part, and a client that nobody has authenticated.
func (c *conductor) begin(f *Facts) error {
	switch {
	case c.Issuer == "" || c.Verify == nil || c.Subjects == nil || c.Decide == nil || c.Actors == nil ||
		c.Tokens == nil || c.Audit == nil || c.open == nil:
		return refuse(ServerError, "I01: a part of the Exchanger is missing")
	case f.Client.ID == "":
		return refuse(InvalidClient, "R09: no client")
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	f.Now = now().UTC()
	c.event.Time = f.Now
	return nil
}

// present verifies what the grant brings. From here on the tokens themselves are gone.
func (c *conductor) present(ctx context.Context, f *Facts) error {
	req, subject, actor, err := c.open(ctx, f.Now)
	c.secrets = append(c.secrets, req.SubjectToken, req.ActorToken)
	req.SubjectToken, req.ActorToken = "", ""
	f.Request, f.Subject.Token = req, subject
	if actor != nil {
		f.Actor = &Subject{Token: *actor}
	}
	if err != nil {
		return err
	}
	c.opened = true
	if !subject.isAboutSomebody() || actor != nil && !actor.isAboutSomebody() {
		return refuse(InvalidRequest, "R08: a token without type, issuer or subject")
	}
	for _, presented := range c.secrets {
		if presented != "" && (subject.leaks(presented) || actor != nil && actor.leaks(presented)) {
			f.Subject.Token.ID = ""
			if f.Actor != nil {
				f.Actor.Token.ID = ""
			}
			return refuse(ServerError, "I08: a verifier returned the presented token as Token.ID")
		}
	}
	return nil
}

// leaks reports whether ID, which goes on record, contains the presented token. A name is not a
// secret.
func (t *Token) leaks(presented string) bool {
	if t.Name {
		return false
	}
	return t.ID == presented || len(presented) >= redact.Least && strings.Contains(t.ID, presented)
}

func (t *Token) isAboutSomebody() bool { return t.Type != "" && t.Issuer != "" && t.Subject != "" }

// resolve asks the host who everybody is and whether they are active (D07). It returns the current
// actor of the subject token's chain; nil if there is no chain, or if the actor token is about the
// same party.
func (c *conductor) resolve(ctx context.Context, f *Facts) (current *Subject, err error) {
	subject, err := c.who(ctx, f.Subject.Token)
	if err != nil {
		return nil, because("D07: the directory does not vouch for the subject", err)
	}
	f.Subject = subject
	if f.Actor != nil {
		actor, err := c.who(ctx, f.Actor.Token)
		if err != nil {
			return nil, because("D07: the directory does not vouch for the actor", err)
		}
		f.Actor = &actor
	}
	chain := f.Subject.Token.Actor
	if chain == nil {
		return nil, nil
	}
	outermost := Token{Issuer: cmp.Or(chain.Issuer, f.Subject.Token.Issuer),
		Subject: chain.Subject, ClientID: chain.ClientID}
	if f.Actor != nil && f.Actor.isNamed(outermost.Issuer, outermost.Subject) {
		return nil, nil // has just been resolved
	}
	actor, err := c.who(ctx, outermost)
	if err != nil {
		return nil, because("D07: the directory does not vouch for the current actor", err)
	}
	return &actor, nil
}

// isNamed reports whether a chain that names (issuer, subject) means s.
func (s *Subject) isNamed(issuer, subject string) bool {
	return s.Issuer == issuer && s.ID == subject ||
		s.Token.Issuer == issuer && s.Token.Subject == subject
}

func (c *conductor) who(ctx context.Context, t Token) (Subject, error) {
	s, err := c.Subjects.ResolveSubject(ctx, t)
	if err != nil {
		return Subject{}, err
	}
	if !s.isSomebody() {
		return Subject{}, refuse(InvalidRequest, "D07: the directory gave an empty answer")
	}
	s.Token = t
	return s, nil
}

// checkDecision holds a policy that is not ours to what every decision must say.
func (c *conductor) checkDecision(d *Decision) error {
	err := d.check()
	if err == nil && (d.Issuer != c.Issuer || d.Client != d.Facts.Client.ID) {
		err = errors.New("a decision for another issuer or client")
	}
	if err != nil {
		return refuseFor(ServerError, "I01: incomplete decision", err)
	}
	return nil
}

// issue makes the tokens, and holds the issuer to the decision.
func (c *conductor) issue(ctx context.Context, d *Decision) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.issued, err = c.Tokens.IssueToken(ctx, *d); err != nil {
		return because("the issuer made no token", err)
	}
	c.event.TokenID = c.issued.ID
	if reason := c.issued.beyond(d); reason != "" {
		return refuse(ServerError, reason)
	}
	return nil
}

// record hands the event over. The request may be gone by now; its event must not be.
func (c *conductor) record(ctx context.Context) error {
	if c.Audit == nil {
		return refuse(ServerError, "I06: no AuditSink")
	}
	if c.event.Time.IsZero() {
		c.event.Time = time.Now().UTC()
	}
	c.event.Facts = c.event.Facts.withoutClaims()
	if c.event.Decision.Mode != "" {
		c.event.Decision.Facts = c.event.Facts
	}
	// From here on nothing is written to the event, which a sink may still read after the timeout.
	err := c.inTime(ctx, func(ctx context.Context) error {
		return c.Audit.RecordExchange(ctx, c.event)
	})
	if err != nil {
		return because("I06: the event was not recorded", err)
	}
	return nil
}

// inTime calls the host, and waits for RecordTimeout at most. The end of ctx does not end the call,
// which must be made although the request is gone.
func (c *conductor) inTime(ctx context.Context, call func(context.Context) error) error {
	limit := cmp.Or(c.RecordTimeout, bounded.Usual)
	return bounded.Call(ctx, limit, func(ctx context.Context) error {
		return guard.Call(func() error { return call(ctx) })
	})
}

// withoutClaims leaves out the payloads of the tokens, in which a token may be embedded (I08). The actor is copied, since
// hosts have been given the one there is.
func (f Facts) withoutClaims() Facts {
	f.Subject.Token.Claims = nil
	if f.Actor != nil && f.Actor.Token.Claims != nil {
		actor := *f.Actor
		actor.Token.Claims = nil
		f.Actor = &actor
	}
	return f
}

// because says which step a host's answer is about, unless it has given a reason of its own.
func because(step string, err error) *Error {
	e := AsError(err)
	return &Error{Code: e.Code, Description: e.Code.description(), Rule: e.Rule, Reason: cmp.Or(e.Reason, step), Err: err}
}

// seal makes of any error the *Error that leaves: a code with its fixed description outside, the cause inside, no token
// in either (I08). Only descriptions that this package has composed go out; a host's own text never does.
func (c *conductor) seal(err error) error {
	e := AsError(err)
	out := *e
	if !e.ours {
		out.Description = e.Code.description()
	}
	if outermost(err) != err {
		out.Err = err // with what the host wrapped around the code
	}
	if c.opened && out.Code == InvalidRequest {
		switch c.event.Facts.Grant {
		case grantRefresh, grantJWTBearer, grantSAML2:
			out.Code, out.Description = InvalidGrant, InvalidGrant.description()
		}
	}
	// A user id can be presented as a token. It is a name then, and no secret.
	name := c.event.Facts.Subject.Token.Subject
	secrets := slices.DeleteFunc(slices.Clone(c.secrets), func(s string) bool { return s == name })
	if text := out.Error(); redact.Text(text, secrets...) != text {
		out.Rule, out.Reason = redact.Text(out.Rule, secrets...), redact.Text(out.Reason, secrets...)
		if out.Err != nil {
			out.Err = errors.New(redact.Text(out.Err.Error(), secrets...))
		}
	}
	return &out
}
