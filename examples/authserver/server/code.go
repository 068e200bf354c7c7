package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// codeLifetime is how long a code may be redeemed. Its record is kept longer, so that a second use
// is noticed.
const codeLifetime = time.Minute

// grantedCode is the record of a code. It does not contain the code.
type grantedCode struct {
	Authorization authorization
	Session       tokenexchange.Token
	Expires       time.Time
}

// newSecret returns 256 random bits as text.
func newSecret() string {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

// codeID names a code in the store and in the audit log. The code cannot be computed from it.
func codeID(code string) string {
	hash := sha256.Sum256([]byte(code))
	return "code-" + base64.RawURLEncoding.EncodeToString(hash[:])
}

// newCode makes a code for a request that the user has agreed to. The code is made from the
// session, and the tokens are made from the code, so revoking one ends everything made from it.
func (s *Server) newCode(ctx context.Context, a *authorization,
	session tokenexchange.Token) (string, error) {
	code, now := newSecret(), s.clock()
	g := grantedCode{*a, presented(session, a.Client, codeID(code)), now.Add(codeLifetime)}
	data, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	record := tokenstore.Record{Key: tokenstore.TokenKey(g.Session),
		Ancestors: []tokenstore.Key{tokenstore.TokenKey(session)},
		Expires:   now.Add(s.codes), Data: data}
	return code, s.Tokens.Store.Commit(ctx, now, tokenstore.Batch{Put: []tokenstore.Record{record}})
}

// presented is a session as the subject token of one client.
func presented(session tokenexchange.Token, client, id string) tokenexchange.Token {
	session.ClientID, session.ID = client, id
	return session
}

// preview decides what a request would be granted, without granting it. A refusal is recorded as at
// the token endpoint. A ticket is not previewed: it is decided when it is made.
func (s *Server) preview(ctx context.Context, a *authorization,
	session tokenexchange.Token) (tokenexchange.Decision, error) {
	ctx = withReason(ctx, a.Reason)
	c, _ := s.Directory.Client(a.Client)
	f := tokenexchange.Facts{Grant: world.GrantCode, Issuer: s.Issuer, Client: c.Registered(),
		Request: a.Request, Now: s.clock().UTC().Truncate(time.Second)}
	subject, actor := s.actAs.Tokens(a.ActFor, presented(session, a.Client, session.ID))
	if world.IsTicketResponse(a.ResponseType) {
		if !a.hasIDToken() {
			return tokenexchange.Decision{}, nil
		}
		f.Grant, f.Request = grantImplicit, idTokenRequest
	}
	d, err := s.decideAbout(ctx, f, subject, actor)
	if err == nil {
		return d, nil
	}
	event := tokenexchange.Event{Time: f.Now, Facts: f, Err: tokenexchange.AsError(err)}
	event.Facts.Subject.Token = subject
	if actor != nil {
		event.Facts.Actor = &tokenexchange.Subject{Token: *actor}
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	recorded := s.Exchanger.Audit.RecordExchange(ctx, event)
	return tokenexchange.Decision{}, errors.Join(denied(err), recorded)
}

// decideAbout does what an Exchanger does up to the decision.
func (s *Server) decideAbout(ctx context.Context, f tokenexchange.Facts,
	subject tokenexchange.Token, actor *tokenexchange.Token) (d tokenexchange.Decision, err error) {
	if f.Subject, err = s.ResolveSubject(ctx, subject); err != nil {
		return d, err
	}
	f.Subject.Token = subject
	if actor != nil {
		by, err := s.ResolveSubject(ctx, *actor)
		if err != nil {
			return d, err
		}
		by.Token = *actor
		f.Actor = &by
		if err := s.Exchanger.Authorizer.AuthorizeActor(ctx, f); err != nil {
			return d, err
		}
	}
	return s.decide(f)
}

// answerCode makes a code.
func (s *Server) answerCode(ctx context.Context, a *authorization,
	session tokenexchange.Token) (url.Values, error) {
	decision, err := s.preview(ctx, a, session)
	if err != nil {
		return nil, err
	}
	granted := *a
	granted.Request.Scope = decision.Scope
	code, err := s.newCode(ctx, &granted, session)
	return url.Values{"code": {code}}, err
}

// codeGrant is the authorization_code grant (RFC 6749 §4.1.3). It runs the exchange with the
// session of the code as subject token.
func (s *Server) codeGrant() http.Handler {
	authenticate := s.authenticate(world.GrantCode)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := readClient(w, r, authenticate)
		if err != nil {
			code := tokenexchange.AsError(err).Code // the code alone: the reason is in the log
			tokenexchange.AsError(code).ServeHTTP(w, r)
			return
		}
		answer, err := s.redeem(r.Context(), c, r.PostForm)
		if err != nil {
			tokenexchange.AsError(err).ServeHTTP(w, r)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// redeem issues the tokens of a code. A refusal after the code was accepted is invalid_grant (RFC
// 6749 §5.2).
func (s *Server) redeem(ctx context.Context, c tokenexchange.Client,
	form url.Values) (tokenexchange.Response, error) {
	var g grantedCode
	x := *s.Exchanger
	issuer := &loginIssuer{TokenIssuer: x.TokenIssuer, server: s}
	x.TokenIssuer = issuer
	answer, err := x.Run(ctx, world.GrantCode, c, func(ctx context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		var err error
		if g, err = s.spendCode(ctx, c, form, now); err != nil {
			return tokenexchange.Request{}, tokenexchange.Token{}, nil, err
		}
		issuer.nonce = g.Authorization.Nonce
		setReason(ctx, g.Authorization.Reason)
		subject, actor := s.actAs.Tokens(g.Authorization.ActFor, g.Session)
		return g.Authorization.Request, subject, actor, nil
	})
	if g.Session.ID != "" && errors.Is(err, tokenexchange.InvalidRequest) {
		err = tokenexchange.InvalidGrant
	}
	return answer, err
}

// spendCode finds the request of a code and uses the code up. The code is bound to its client, its
// redirect URI and the verifier of its challenge; a request without them does not use it up. A
// second use by the client revokes what the first use gave (RFC 6749 §4.1.2).
func (s *Server) spendCode(ctx context.Context, c tokenexchange.Client, form url.Values,
	now time.Time) (grantedCode, error) {
	for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
		if len(form[name]) != 1 || form.Get(name) == "" {
			return grantedCode{}, refuse(name + " is missing or repeated")
		}
	}
	record, g, err := s.findCode(ctx, form.Get("code"), now)
	switch {
	case err != nil:
		return grantedCode{}, err
	case g.Authorization.Client != c.ID:
		return grantedCode{}, invalidGrant("the code was issued to another client")
	case record.Spent:
		return grantedCode{}, s.reused(ctx, record, now)
	case !now.Before(g.Expires):
		return grantedCode{}, invalidGrant("the code has expired")
	case g.Authorization.RedirectURI != form.Get("redirect_uri"):
		return grantedCode{}, invalidGrant("redirect_uri differs from the authorization request")
	case !verifies(form.Get("code_verifier"), g.Authorization.Challenge):
		return grantedCode{}, invalidGrant("code_verifier does not match the challenge")
	}
	if g.Authorization.Request, err = narrowTargets(g.Authorization.Request, form); err != nil {
		return grantedCode{}, err
	}
	err = s.Tokens.Store.Commit(ctx, now,
		tokenstore.Batch{Spend: []tokenstore.Mark{{Key: record.Key, Until: record.Expires}}})
	if errors.Is(err, tokenstore.ErrSpent) {
		err = s.reused(ctx, record, now) // another request was faster, so two parties have the code
	}
	if isRefusal(err) {
		err = invalidGrant(err.Error())
	}
	return g, err
}

func invalidGrant(reason string) error {
	return fmt.Errorf("%w: %s", tokenexchange.InvalidGrant, reason)
}

func (s *Server) findCode(ctx context.Context, code string, now time.Time) (
	tokenstore.Record, grantedCode, error) {
	key := tokenstore.TokenKey(tokenexchange.Token{Issuer: s.Issuer, ID: codeID(code)})
	record, err := s.Tokens.Store.Get(ctx, now, key)
	if err != nil {
		if isRefusal(err) {
			err = invalidGrant(err.Error())
		}
		return tokenstore.Record{}, grantedCode{}, err
	}
	var g grantedCode
	err = json.Unmarshal(record.Data, &g)
	return record, g, err
}

// reused revokes everything that a code has given, and returns the refusal.
func (s *Server) reused(ctx context.Context, code tokenstore.Record, now time.Time) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := s.Tokens.Store.Revoke(ctx, now, code.Key, code.Expires); err != nil {
		return err
	}
	return invalidGrant("the code was used twice; its tokens are revoked")
}

// A verifier must be too long to guess (RFC 7636 §4.1).
var verifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

func verifies(value, challenge string) bool {
	hash := sha256.Sum256([]byte(value))
	want := base64.RawURLEncoding.EncodeToString(hash[:])
	return verifier.MatchString(value) &&
		subtle.ConstantTimeCompare([]byte(want), []byte(challenge)) == 1
}

// narrowTargets replaces the targets of the authorization request by those of the token request, if
// it has any. They must be among them (RFC 8707 §2.2).
func narrowTargets(req tokenexchange.Request, form url.Values) (tokenexchange.Request, error) {
	asked, err := clientRequest(url.Values{"audience": form["audience"],
		"resource": form["resource"]})
	if err != nil || len(asked.Targets()) == 0 {
		return req, err
	}
	if granted := req.Targets(); len(granted) > 0 {
		for _, target := range asked.Targets() {
			if !slices.Contains(granted, target) {
				return req, tokenexchange.InvalidTarget
			}
		}
	}
	req.Audience, req.Resource = asked.Audience, asked.Resource
	return req, nil
}
