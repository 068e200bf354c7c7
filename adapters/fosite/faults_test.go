package fositeexchange_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	fositeexchange "github.com/go-tokenexchange/tokenexchange/adapters/fosite"
)

// secretText must not appear in a response.
const secretText = "postgres://admin:hunter2@db"

// failed checks that the response is a failure without any detail, and that no new token is stored.
func (h *host) failed(t testing.TB, r reply, code tokenexchange.Code, tokens int) {
	t.Helper()
	require.Equal(t, string(code), r.error(), r.text)
	require.Equal(t, code.Status(), r.status)
	require.Equal(t, tokenexchange.AsError(code).Description, r.description())
	require.NotContains(t, r.text, "hunter2")
	require.Len(t, h.store.AccessTokens, tokens, "I06: no new record")
}

// TestI12_StorageFails checks that an error or a panic of the storage is a failure, whose text the
// client does not see.
func TestI12_StorageFails(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		for _, method := range []string{"get", "create"} {
			for name, test := range map[string]struct {
				err  error
				code tokenexchange.Code
			}{
				"an error": {errors.New(secretText), tokenexchange.ServerError},
				"fosite's unknown": {
					fmt.Errorf("%w: %s", fosite.ErrUnknownRequest, secretText),
					tokenexchange.ServerError},
				"fosite's serialization": {fosite.ErrSerializationFailure.WithDebug(secretText),
					tokenexchange.ServerError},
				"fosite's server error": {
					fosite.ErrServerError.WithDebug(secretText).WithHint(secretText),
					tokenexchange.ServerError},
				"a timeout": {
					fmt.Errorf("%s: %w", secretText, context.DeadlineExceeded),
					tokenexchange.TemporarilyUnavailable},
			} {
				t.Run(method+" "+name, func(t *testing.T) {
					h := newHost(t, format)
					subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
					h.store.fail(method, test.err)
					h.failed(t, h.delegate(t, subject, actor), test.code, 2)
					require.Len(t, h.audit.Events(), 1, "I07")
					h.store.panic = true
					h.failed(t, h.delegate(t, subject, actor), tokenexchange.ServerError, 2)
					require.Len(t, h.audit.Events(), 2, "I07")
					h.store.fail(method, nil)
					h.granted(t, h.delegate(t, subject, actor))
				})
			}
		}
	})
}

// TestI12_StorageFailsForOtherTypes checks that a token is not passed to the host's verifier if the
// storage cannot say whether it is an access token.
func TestI12_StorageFailsForOtherTypes(t *testing.T) {
	verifiers(t, jwtForm, func(t *testing.T, h *host) {
		actor := h.logIn(t, bob)
		token := h.idToken(t, "helpdesk", jwt.IDTokenClaims{Subject: "alice",
			ExpiresAt: time.Now().Add(time.Hour)})
		for declared := range h.exchange.Exchanger.Verify {
			h.store.fail("get", errors.New(secretText))
			got := h.delegate(t, token, actor, "subject_token_type", string(declared))
			h.failed(t, got, tokenexchange.ServerError, 1)
			require.Empty(t, h.last(t).Facts.Subject.Token.Subject,
				"the verifier must not be called")
			h.store.fail("get", nil)
		}
	})
}

// TestI12_IntrospectionFailsClosed checks that a token is inactive if the storage cannot say
// whether an origin is revoked.
func TestI12_IntrospectionFailsClosed(t *testing.T) {
	h := newHost(t, opaque)
	subject := h.logIn(t, aliceAtHelpdesk)
	got := h.delegate(t, subject, h.logIn(t, bob))
	h.granted(t, got)
	origin := h.strategy.AccessTokenSignature(t.Context(), subject)
	broken := &oneFails{h.store, origin, nil}
	introspector := h.exchange.Factory(h.config, broken, h.strategy).(fosite.TokenIntrospector)
	introspect := func() error {
		_, err := introspector.IntrospectToken(t.Context(), got.token(), fosite.AccessToken, nil,
			nil)
		return err
	}
	require.ErrorIs(t, introspect(), fosite.ErrUnknownRequest, "it accepts no token itself")
	for _, err := range []error{errors.New(secretText), fosite.ErrUnknownRequest,
		fosite.ErrServerError, fosite.ErrNotFound, fosite.ErrInactiveToken} {
		broken.err = err
		require.ErrorIs(t, introspect(), fosite.ErrInactiveToken)
		require.NotErrorIs(t, introspect(), fosite.ErrUnknownRequest,
			"fosite would ignore this error")
	}
}

// oneFails is a storage that fails for one signature.
type oneFails struct {
	oauth2.AccessTokenStorage
	signature string
	err       error
}

func (s *oneFails) GetAccessTokenSession(ctx context.Context, signature string,
	session fosite.Session) (fosite.Requester, error) {
	if signature == s.signature && s.err != nil {
		return nil, s.err
	}
	return s.AccessTokenStorage.GetAccessTokenSession(ctx, signature, session)
}

// TestI12_HostFails makes every piece of host code fail that the adapter calls.
func TestI12_HostFails(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*host)
		code tokenexchange.Code
	}{
		"Client panics": {func(h *host) {
			h.exchange.Client = func(*http.Request, fosite.Client, *tokenexchange.Client) error {
				panic(secretText)
			}
		}, tokenexchange.ServerError},
		"Client fails": {func(h *host) {
			h.exchange.Client = func(*http.Request, fosite.Client, *tokenexchange.Client) error {
				return errors.New(secretText)
			}
		}, tokenexchange.ServerError},
		"Client refuses": {func(h *host) {
			h.exchange.Client = func(*http.Request, fosite.Client, *tokenexchange.Client) error {
				return fmt.Errorf("%w: %s", tokenexchange.UnauthorizedClient, secretText)
			}
		}, tokenexchange.UnauthorizedClient},
		"NewSession panics": {
			func(h *host) { h.exchange.NewSession = func() fosite.Session { panic(secretText) } },
			tokenexchange.ServerError},
		"NewSession returns nil": {
			func(h *host) { h.exchange.NewSession = func() fosite.Session { return nil } },
			tokenexchange.ServerError},
		"Resolver panics": {func(h *host) { h.exchange.Exchanger.Resolver = panicking{} },
			tokenexchange.ServerError},
		"Authorizer panics": {func(h *host) { h.exchange.Exchanger.Authorizer = panicking{} },
			tokenexchange.ServerError},
		"Decide panics": {func(h *host) {
			h.exchange.Exchanger.Decide = func(
				tokenexchange.Facts) (tokenexchange.Decision, error) {
				panic(secretText)
			}
		}, tokenexchange.ServerError},
		"no Resolver": {func(h *host) { h.exchange.Exchanger.Resolver = nil },
			tokenexchange.ServerError},
		"the strategy cannot verify": {
			func(h *host) { h.strategy.CoreStrategy = keyless{h.strategy.CoreStrategy} },
			tokenexchange.ServerError},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, jwtForm, test.set)
			subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
			h.failed(t, h.delegate(t, subject, actor), test.code, 2)
			require.Equal(t, "helpdesk", h.last(t).Facts.Client.ID, "I07")
			require.ErrorIs(t, h.last(t).Err, test.code)
		})
	}
}

// panicking is host code that panics.
type panicking struct{}

func (panicking) ResolveSubject(context.Context,
	tokenexchange.Token) (tokenexchange.Subject, error) {
	panic(secretText)
}
func (panicking) AuthorizeActor(context.Context, tokenexchange.Facts) error { panic(secretText) }

// keyless is a strategy that has lost its key.
type keyless struct{ oauth2.CoreStrategy }

func (keyless) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errors.New(secretText)
}

// withUntil is a resolver that sets Until to an hour from now.
type withUntil struct{ tokenexchange.SubjectResolver }

func (u withUntil) ResolveSubject(ctx context.Context,
	t tokenexchange.Token) (tokenexchange.Subject, error) {
	s, err := u.SubjectResolver.ResolveSubject(ctx, t)
	s.Until = time.Now().Add(time.Hour)
	return s, err
}

// TestI06_NoTokenWithoutEvent checks that the record of a new token is deleted if the event cannot
// be recorded.
func TestI06_NoTokenWithoutEvent(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
		h.audit.Fail(errors.New(secretText))
		h.failed(t, h.delegate(t, subject, actor), tokenexchange.ServerError, 2)
	})
}

// TestR08_MalformedTokensAreRefused checks that no text that a client sends as a token is a server
// error.
func TestR08_MalformedTokensAreRefused(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		good := h.logIn(t, alice)
		signature := h.strategy.AccessTokenSignature(t.Context(), good)
		first := good[:strings.LastIndexByte(good, '.')]
		for _, bad := range []string{"x", ".", "..", "...", "x.", ".x", "." + signature,
			"ory_at_." + signature, "%%%." + signature, "a.b." + signature, "e30.e30." + signature,
			"eyJhbGciOiJub25lIn0.e30." + signature, first + ".", first + "." + signature + "x",
			first + "x." + signature, " " + good, good + " ", "\u00a0" + good,
			first + "\u2003." + signature, strings.ToUpper(good)} {
			for _, declared := range []string{"access_token", "jwt"} {
				h.refused(t,
					h.ask(t, "webapp", "subject_token", bad, "subject_token_type", declared),
					tokenexchange.InvalidRequest, "")
			}
		}
		require.NotNil(t, h.active(t, good))
	})
}

// TestR15_SessionWithOtherClaims checks that no token is issued with more or fewer claims than were
// decided.
func TestR15_SessionWithOtherClaims(t *testing.T) {
	for name, test := range map[string]struct {
		format  string
		session func() fosite.Session
	}{
		"no extra claims": {opaque,
			func() fosite.Session { return &openid.DefaultSession{} }},
		"a copy of the extra claims": {opaque, func() fosite.Session { return &copyingSession{} }},
		"claims of another type":     {jwtForm, func() fosite.Session { return &otherClaims{} }},
		"more than was decided": {opaque, func() fosite.Session {
			return &fosite.DefaultSession{
				Extra: map[string]any{"may_act": map[string]any{"sub": "eve"}}}
		}},
		"a key that was not proved": {opaque, func() fosite.Session {
			return &fosite.DefaultSession{Extra: map[string]any{"cnf": map[string]any{"jkt": "x"}}}
		}},
		"act_as": {jwtForm, func() fosite.Session {
			return &oauth2.JWTSession{
				JWTClaims: &jwt.JWTClaims{
					Extra: map[string]any{"act_as": map[string]any{"sub": "eve"}}}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, test.format)
			subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
			h.exchange.NewSession = test.session
			h.serve(t)
			h.failed(t, h.delegate(t, subject, actor), tokenexchange.ServerError, 2)
			require.Contains(t, h.last(t).Err.Error(), "other claims than were decided")
		})
	}
}

// copyingSession returns a copy of its extra claims.
type copyingSession struct{ fosite.DefaultSession }

func (*copyingSession) GetExtraClaims() map[string]any { return map[string]any{} }

// otherClaims has JWT claims that differ from those that introspection shows.
type otherClaims struct{ fosite.DefaultSession }

func (*otherClaims) GetJWTHeader() *jwt.Headers { return &jwt.Headers{} }
func (s *otherClaims) GetJWTClaims() jwt.JWTClaimsContainer {
	return container{
		&jwt.JWTClaims{Subject: s.Subject, Extra: map[string]any{"client_id": "helpdesk"}}}
}

type container struct{ *jwt.JWTClaims }

// TestR08_AnotherIssuersKey checks that a JWT with another signature is refused, even if the
// storage has a record for that signature.
func TestR08_AnotherIssuersKey(t *testing.T) {
	h := newHost(t, jwtForm)
	good := h.logIn(t, alice)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	forger := &jwt.DefaultSigner{
		GetPrivateKey: func(context.Context) (any, error) { return key, nil }}
	forged, signature, err := forger.Generate(t.Context(),
		jwt.MapClaims{"iss": issuer, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()},
		&jwt.Headers{})
	require.NoError(t, err)
	h.refused(t, h.ask(t, "webapp", "subject_token", forged), tokenexchange.InvalidRequest,
		"token_unknown")
	h.store.AccessTokens[signature] = h.store.AccessTokens[h.strategy.AccessTokenSignature(
		t.Context(), good)]
	h.refused(t, h.ask(t, "webapp", "subject_token", forged), tokenexchange.InvalidRequest,
		"token_not_valid")
}

// TestR08_AnotherIssuerName checks that a token is refused under another issuer than the one that
// it was issued under.
func TestR08_AnotherIssuerName(t *testing.T) {
	h := newHost(t, jwtForm)
	token := h.logIn(t, alice)
	h.exchange.Exchanger.Issuer = "https://other.example"
	h.serve(t)
	h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
		"record_malformed")
}

// TestFactory checks that Factory panics if the Config cannot work.
func TestFactory(t *testing.T) {
	h := newHost(t, opaque)
	require.Panics(t, func() { fositeexchange.Config{}.Factory(h.config, h.store, h.strategy) })
	require.Panics(t, func() { h.exchange.Factory(h.config, struct{}{}, h.strategy) })
	require.Panics(t, func() { h.exchange.Factory(h.config, storage.NewMemoryStore(), struct{}{}) })
	made := h.exchange.Factory(h.config, storage.NewMemoryStore(), h.strategy)
	require.Implements(t, (*fosite.TokenEndpointHandler)(nil), made)
	require.Implements(t, (*fosite.TokenIntrospector)(nil), made)
	require.False(t, made.(fosite.TokenEndpointHandler).CanSkipClientAuth(t.Context(), nil), "R09")
}
