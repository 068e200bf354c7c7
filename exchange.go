// Package tokenexchange implements the semantics of OAuth 2.0 Token Exchange (RFC 8693),
// impersonation and delegation, for authorization servers written in Go.
//
// One exchange is a sequence of values, each made from the values before it: a form becomes a
// Request, verified tokens become Tokens, the directory of the host turns Tokens into Subjects, all
// of them together are the Facts, a policy turns Facts into a Decision, and an issuer turns the
// Decision into an IssuedToken. The response is sent after the Event has been recorded.
//
// An Exchanger conducts these steps. The host supplies a SubjectResolver, an ActorAuthorizer, a
// TokenIssuer and an AuditSink. Policy, Verifier, JWTIssuer and the package auditlog are
// implementations for hosts that have none of their own.
//
// Zero values grant nothing. A request is refused unless a rule allows it. A refusal has an OAuth
// error code for the client, and a reason and a cause for the operator.
//
// The package does not authenticate clients, does not ask for consent (Subject.Scope is its
// result), does not secure the transport, and cannot revoke a JWT at a resource server that does
// not introspect it.
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

// SubjectResolver returns the party that a verified token is about. An error with a Code refuses
// the party as unknown, locked or disabled. Any other error is a failure, and so is a panic. Calls
// for different exchanges are concurrent.
//
// The resolver is called at every exchange, in every mode: for the subject token, for the actor
// token, and for the current actor of the subject token's chain unless the actor token is about the
// same party (D07). For an actor of a chain, tok has no Type, and only the Issuer, Subject and
// ClientID of the chain. The result for an actor of a foreign issuer may be the identity in tok.
//
// The returned identity is used by rules, act and sub. A subject must be a party of this server,
// even if its token is from a foreign issuer; an actor may keep its issuer (D19).
type SubjectResolver interface {
	ResolveSubject(ctx context.Context, tok Token) (Subject, error)
}

// ActorAuthorizer decides whether the acting party may act for the subject, in addition to the
// policy. Nil permits, an error with a Code refuses, any other error is a failure (D11).
//
// The authorizer is called for every exchange whose mode is not Narrow. With an actor token it is
// called before the policy, so that a stranger learns nothing about the targets and scopes of the
// subject. Without an actor token it is called after the policy. Facts.Actor is then the current
// actor if an impersonation carries on a chain, and nil if the client acts.
//
// Subject.Tenant is the organisation that the issued token will be for. Subject.PresentedTenant is
// the organisation of the presented token. With an actor token, the first call is for the
// organisation that the request leads to expect. If the policy selects another organisation, there
// is a second call for that organisation.
type ActorAuthorizer interface {
	AuthorizeActor(ctx context.Context, f Facts) error
}

// Exchanger conducts exchanges. Its fields are in the order of use. A missing field refuses every
// exchange (I01). An Exchanger is not changed by use, so it may be copied and may be used by
// several goroutines: a server with an issuer for each tenant changes a field of a copy.
type Exchanger struct {
	Issuer      string                        // our own iss
	Verify      Verifiers                     // not nil; may be empty if only Run is used
	Resolver    SubjectResolver               // the party of a token, and whether it is active
	Decide      func(Facts) (Decision, error) // (*Policy).Decide fits
	Authorizer  ActorAuthorizer               // whether the acting party may act for the subject
	TokenIssuer TokenIssuer                   // makes the tokens; a JWTIssuer fits
	Audit       AuditSink                     // records every outcome
	Now         func() time.Time              // called once an exchange; nil is time.Now

	// RecordTimeout limits a call of Audit, and a call of IssuedToken.Discard. A call that has not
	// returned by then has failed, and the Exchanger does not wait for it. Zero is 5 seconds.
	RecordTimeout time.Duration
}

// Exchange answers one form (RFC 8693 §2.1) of an authenticated client. Every outcome has been
// audited when Exchange returns, a malformed form too. The error is an *Error that can be sent as
// it is: its ServeHTTP sends the code and the description only.
func (x *Exchanger) Exchange(ctx context.Context, client Client, form url.Values) (
	Response, error) {
	open := func(ctx context.Context, now time.Time) (Request, Token, *Token, error) {
		return x.open(ctx, client, form, now)
	}
	secrets := slices.Concat(form["subject_token"], form["actor_token"])
	return x.run(ctx, GrantType, client, open, secrets)
}

// open parses the form and verifies its tokens. Both types are looked up before a token is
// verified, so that an unknown type is reported before any token (D03). On an error it returns what
// it has verified so far, for the audit event.
func (x *Exchanger) open(ctx context.Context, client Client, form url.Values, now time.Time) (
	req Request, subject Token, actor *Token, err error) {
	if req, err = ParseRequest(form); err != nil {
		return Request{}, Token{}, nil, err
	}
	if x.Verify[req.SubjectTokenType] == nil {
		err = refuseParameter(InvalidRequest, "subject_token_type", "is not supported")
		return req, Token{}, nil, err
	}
	if req.ActorToken != "" && x.Verify[req.ActorTokenType] == nil {
		err = refuseParameter(InvalidRequest, "actor_token_type", "is not supported")
		return req, Token{}, nil, err
	}
	c := Credential{Token: req.SubjectToken, Type: req.SubjectTokenType,
		Issuer: x.Issuer, Client: client, Now: now}
	if subject, err = x.Verify.verify(ctx, c); err != nil || req.ActorToken == "" {
		return req, subject, nil, err
	}
	c.Token, c.Type, c.Actor = req.ActorToken, req.ActorTokenType, true
	verified, err := x.Verify.verify(ctx, c)
	if err != nil {
		return req, subject, nil, err
	}
	return req, subject, &verified, nil
}

// Run is Exchange for another grant: refresh, assertion, ticket, act_as. The function open reads
// and verifies what the grant presents; now is the time of the exchange. A nil actor means that
// there is no actor token. Resolving, deciding, issuing and auditing are the same for all grants,
// and an error or a panic of open is audited too.
//
// If grant is refresh_token or an assertion grant of RFC 7521, a refusal with invalid_request after
// open is sent as invalid_grant (R13).
func (x *Exchanger) Run(ctx context.Context, grant string, client Client,
	open func(ctx context.Context, now time.Time) (
		req Request, subject Token, actor *Token, err error)) (Response, error) {
	return x.run(ctx, grant, client, open, nil)
}

// opener reads and verifies what a grant presents; see Run. It returns what it has verified along
// with an error, so that the audit event is as complete as the exchange got.
type opener = func(ctx context.Context, now time.Time) (Request, Token, *Token, error)

// run conducts an exchange and records its outcome. No token leaves before that (I06). If the event
// is not recorded, or the issued token is not as decided, the token is discarded. The secrets are
// presented tokens that no error may contain.
func (x *Exchanger) run(ctx context.Context, grant string, client Client, open opener,
	secrets []string) (Response, error) {
	out, err := x.conduct(ctx, grant, client, open, secrets)
	event := Event{Time: out.facts.Now, Facts: out.facts.withoutClaims()}
	// The exchange failed before the clock was read.
	if event.Time.IsZero() {
		event.Time = time.Now().UTC()
	}
	if err != nil {
		err = out.seal(err)
		event.Err = err
	} else {
		event.Decision, event.TokenID = out.decision, out.issued.ID
		event.Decision.Facts = event.Facts
	}
	if failed := x.record(ctx, event); failed != nil {
		// The code of the sink's error is sent. The refusal stays part of the cause.
		err = out.seal(errors.Join(AsError(failed), err))
	}
	if err == nil {
		return newResponse(&out.decision, &out.issued), nil
	}
	if out.issued.Discard != nil {
		if failed := x.callInTime(ctx, out.issued.Discard); failed != nil {
			err = out.seal(errors.Join(err, fmt.Errorf("discarding the issued token: %w", failed)))
		}
	}
	return Response{}, err
}

// outcome is the result of the steps of an exchange. The fields of steps that were not reached are
// zero.
type outcome struct {
	facts    Facts
	opened   bool     // the grant has presented its tokens
	secrets  []string // the tokens as presented, which no error may contain
	decision Decision
	issued   IssuedToken // may be set beside an error, so that it is discarded
}

// conduct takes the steps of an exchange in order (D03). The order decides what a stranger can find
// out: tokens are verified before the host looks up their parties, and an actor token is authorized
// before targets and scopes are compared. conduct returns what it knows beside an error.
func (x *Exchanger) conduct(ctx context.Context, grant string, client Client, open opener,
	secrets []string) (out outcome, err error) {
	f := &out.facts
	f.Grant, f.Issuer, f.Client, out.secrets = grant, x.Issuer, client, secrets
	if f.Now, err = x.begin(client, open); err != nil {
		return out, err
	}
	in, err := present(ctx, open, f.Now, secrets)
	f.Request, f.Subject.Token = in.request, in.subject
	out.secrets, out.opened = in.secrets, in.opened
	if in.actor != nil {
		f.Actor = &Subject{Token: *in.actor}
	}
	if err != nil {
		return out, err
	}
	if f.Subject, err = x.resolve(ctx, f.Subject, "subject"); err != nil {
		return out, err
	}
	if f.Actor != nil {
		actor, err := x.resolve(ctx, *f.Actor, "actor")
		if err != nil {
			return out, err
		}
		f.Actor = &actor
	}
	current, err := x.resolveCurrentActor(ctx, *f)
	if err != nil {
		return out, err
	}
	// The policy has not selected an organisation yet, and the authorizer needs one.
	expected := f.expectedTenant()
	if f.Actor != nil {
		if err := x.authorize(ctx, f.inTenant(expected)); err != nil {
			return out, err
		}
	}
	if out.decision, err = x.decide(*f); err != nil {
		return out, err
	}
	if err := x.authorizeDecision(ctx, out.decision, current, expected); err != nil {
		return out, err
	}
	out.issued, err = x.issue(ctx, out.decision)
	return out, err
}

// begin refuses an Exchanger that lacks a part and a client that is not authenticated. It returns
// the time of the exchange.
func (x *Exchanger) begin(client Client, open opener) (time.Time, error) {
	switch {
	case x.Issuer == "" || x.Verify == nil || x.Resolver == nil || x.Decide == nil ||
		x.Authorizer == nil || x.TokenIssuer == nil || x.Audit == nil || open == nil:
		return time.Time{}, refuse(ServerError, "exchanger_incomplete",
			"a field of the Exchanger is not set (I01)")
	case client.ID == "":
		return time.Time{}, refuse(InvalidClient, "client_missing", "there is no client (R09)")
	case x.Now == nil:
		return time.Now().UTC(), nil
	}
	return call(func() (time.Time, error) { return x.Now().UTC(), nil })
}

// presented holds the tokens that a grant presents, after their verification.
type presented struct {
	request Request // without the tokens
	subject Token
	actor   *Token   // nil: there is no actor token
	secrets []string // the tokens as presented
	opened  bool     // the grant was opened without an error
}

// present opens the grant. The presented tokens are removed from the request, so after this step
// there are verified tokens only. An open that forgets to fill in a Token, or that uses the token
// itself as Token.ID, is a mistake of the host; the ID would be recorded in the audit trail.
func present(ctx context.Context, open opener, now time.Time, secrets []string) (presented, error) {
	in, err := call(func() (in presented, err error) {
		in.request, in.subject, in.actor, err = open(ctx, now)
		return in, err
	})
	in.secrets = append(secrets, in.request.SubjectToken, in.request.ActorToken)
	in.request.SubjectToken, in.request.ActorToken = "", ""
	if err != nil {
		return in, err
	}
	in.opened = true
	if !in.subject.isComplete() || in.actor != nil && !in.actor.isComplete() {
		return in, refuse(InvalidRequest, "token_incomplete",
			"a verifier returned a token without type, issuer or subject (R08)")
	}
	for _, secret := range in.secrets {
		if in.subject.leaks(secret) || in.actor != nil && in.actor.leaks(secret) {
			return in.withoutIDs(), refuse(ServerError, "token_in_id",
				"a verifier returned the presented token as Token.ID (I08)")
		}
	}
	return in, nil
}

// leaks reports whether ID, which is recorded, contains the presented token. A name is not a
// secret, and a very short token is compared as a whole: it could be part of an ID by chance.
func (t *Token) leaks(secret string) bool {
	if t.Name || secret == "" {
		return false
	}
	return t.ID == secret || len(secret) >= redact.Least && strings.Contains(t.ID, secret)
}

// withoutIDs returns a copy in which no Token has an ID, for the audit event.
func (in presented) withoutIDs() presented {
	in.subject.ID = ""
	if in.actor != nil {
		actor := *in.actor
		actor.ID = ""
		in.actor = &actor
	}
	return in
}

// resolve asks the host for the party of a token, and whether the party is active (D07). If that
// fails, it returns the subject that it was given, so that the audit event still has its token. The
// role is "subject", "actor" or "current actor"; reason and detail are made from it.
func (x *Exchanger) resolve(ctx context.Context, s Subject, role string) (Subject, error) {
	reason := strings.ReplaceAll(role, " ", "_")
	resolved, err := call(func() (Subject, error) {
		return x.Resolver.ResolveSubject(ctx, s.Token)
	})
	if err == nil && !resolved.isComplete() {
		err = refuse(InvalidRequest, reason+"_unresolved",
			"SubjectResolver returned no complete identity for the %s (D07)", role)
	}
	if err != nil {
		return s, wrapStep(reason+"_not_resolved",
			"SubjectResolver did not resolve the "+role+" (D07)", err)
	}
	// A resolver cannot change what the token says.
	resolved.Token = s.Token
	return resolved, nil
}

// resolveCurrentActor resolves the current actor of the subject token's chain (D07). It returns nil
// if there is no chain, or if the actor token is about the same party. Without this step, an actor
// whose account is locked could go on with the tokens that it obtained before.
func (x *Exchanger) resolveCurrentActor(ctx context.Context, f Facts) (*Subject, error) {
	current, ok := f.Subject.Token.CurrentActor()
	if !ok || f.Actor != nil && f.Actor.isNamed(current.Issuer, current.Subject) {
		return nil, nil
	}
	actor, err := x.resolve(ctx, Subject{Token: current}, "current actor")
	if err != nil {
		return nil, err
	}
	return &actor, nil
}

// authorize asks the host whether the acting party may act for the subject (D11).
func (x *Exchanger) authorize(ctx context.Context, f Facts) error {
	_, err := call(func() (struct{}, error) {
		return struct{}{}, x.Authorizer.AuthorizeActor(ctx, f)
	})
	if err != nil {
		return wrapStep("actor_not_authorized",
			"ActorAuthorizer did not allow the actor (D11)", err)
	}
	return nil
}

// decide asks the policy. The decision is checked, because Decide may be a function of the host.
// Its Facts are always those of this exchange.
func (x *Exchanger) decide(f Facts) (Decision, error) {
	d, err := call(func() (Decision, error) { return x.Decide(f) })
	if err != nil {
		return Decision{}, err
	}
	d.Facts = f
	err = d.check()
	if err == nil && (d.Issuer != f.Issuer || d.Client != f.Client.ID) {
		err = errors.New("a decision for another issuer or client")
	}
	if err != nil {
		return Decision{}, wrapStep("decision_incomplete",
			"the decision cannot be issued (I01)", err)
	}
	return d, nil
}

// authorizeDecision asks the authorizer about facts that only the decision states: that the client
// acts, that a chain is carried on, or that the result is for another organisation than expected.
// current is nil if there is no chain; the client then acts.
func (x *Exchanger) authorizeDecision(ctx context.Context, d Decision, current *Subject,
	expected string) error {
	f := d.Facts
	switch {
	case d.Mode == Narrow:
		return nil
	case f.Actor != nil && d.Subject.Tenant == expected:
		return nil
	case f.Actor == nil && d.Mode == Impersonate:
		f.Actor = current
	}
	return x.authorize(ctx, f.inTenant(d.Subject.Tenant))
}

// issue makes the tokens and checks them against the decision. It makes none for a request that has
// ended, because no client would receive them. A token that fails the check is returned too, for
// run to discard.
func (x *Exchanger) issue(ctx context.Context, d Decision) (IssuedToken, error) {
	if err := ctx.Err(); err != nil {
		return IssuedToken{}, err
	}
	issued, err := call(func() (IssuedToken, error) { return x.TokenIssuer.IssueToken(ctx, d) })
	if err != nil {
		return issued, wrapStep("not_issued", "TokenIssuer made no token", err)
	}
	if refused := issued.check(&d); refused != nil {
		return issued, refused
	}
	return issued, nil
}

// record hands the event to the AuditSink, also if the request has ended by now. Otherwise a client
// could keep a refusal out of the audit trail by closing the connection.
func (x *Exchanger) record(ctx context.Context, event Event) error {
	if x.Audit == nil {
		return refuse(ServerError, "audit_missing", "there is no AuditSink (I06)")
	}
	err := x.callInTime(ctx, func(ctx context.Context) error {
		return x.Audit.RecordExchange(ctx, event)
	})
	if err != nil {
		return wrapStep("not_recorded", "AuditSink did not record the event (I06)", err)
	}
	return nil
}

// callInTime calls the host and waits for RecordTimeout at most. The end of ctx does not end the
// call. A host that ignores its context keeps a goroutine until it returns.
func (x *Exchanger) callInTime(ctx context.Context, host func(context.Context) error) error {
	limit := cmp.Or(x.RecordTimeout, bounded.Usual)
	return bounded.Call(ctx, limit, func(ctx context.Context) error {
		return guard.Call(func() error { return host(ctx) }) // in the goroutine that may panic
	})
}

// call calls the host. A panic of the host becomes an error, so that it is audited like any other
// failure and never permits anything (I07, I12).
func call[T any](host func() (T, error)) (value T, err error) {
	err = guard.Call(func() (err error) {
		value, err = host()
		return err
	})
	return value, err
}

// seal returns the *Error that Exchange and Run return for err. Its description is a fixed sentence
// of this package, never a text of the host. The other fields, for the operator, keep the cause. No
// field contains a presented token (I08).
func (out *outcome) seal(err error) error {
	e := AsError(err)
	sealed := *e
	if !e.ours {
		sealed.Description = e.Code.description()
	}
	if outermost(err) != err {
		sealed.Err = err // keeps what the host wrapped around the code
	}
	if out.opened && sealed.Code == InvalidRequest {
		// RFC 6749 §5.2 and RFC 7521 §4.1 call an unacceptable grant invalid_grant. Before open
		// has succeeded, the request itself is at fault.
		switch out.facts.Grant {
		case grantRefresh, grantJWTBearer, grantSAML2:
			sealed.Code, sealed.Description = InvalidGrant, InvalidGrant.description()
		}
	}
	// A user id can be presented as a token. It is a name then, and no secret.
	name := out.facts.Subject.Token.Subject
	isName := func(secret string) bool { return secret == name }
	secrets := slices.DeleteFunc(slices.Clone(out.secrets), isName)
	clean := func(text string) string { return redact.Text(text, secrets...) }
	// The cause is replaced only if its text has a token, since errors.Is cannot look into text.
	if text := sealed.Error(); clean(text) != text {
		sealed.Rule, sealed.Reason = clean(sealed.Rule), clean(sealed.Reason)
		sealed.Detail = clean(sealed.Detail)
		if sealed.Err != nil {
			sealed.Err = errors.New(clean(sealed.Err.Error()))
		}
	}
	sealed.Detail = shortened(sealed.Detail)
	return &sealed
}
