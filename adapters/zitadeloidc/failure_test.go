package zitadelexchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// faultPoints are the places at which the host can fail in an exchange of an ID token and a JWT.
var faultPoints = []string{"token", "session", "Client", "KeySet", "SigningKey",
	"CreateAccessToken", "Claims"}

// exchangeAll sends a request that reaches every fault point.
func (h *host) exchangeAll(t testing.TB, subject, actor string, more ...string) reply {
	return h.exchange(t, "helpdesk",
		append([]string{"subject_token", subject, "subject_token_type", "id_token", "actor_token",
			actor,
			"actor_token_type", "access_token", "scope", "orders:read"}, more...)...)
}

// validTokens returns a subject token and an actor token for exchangeAll.
func (h *host) validTokens(t testing.TB) (subject, actor string) {
	return h.idToken(t, login{subject: "alice", client: "helpdesk"}), h.bob(t)
}

// TestI06_I07_I12_Failures checks that a failure of the host is in the audit event and in the
// framework's log, that the client does not see it, and that no token is left.
func TestI06_I07_I12_Failures(t *testing.T) {
	var log bytes.Buffer
	previous := slog.Default()
	defer slog.SetDefault(previous)
	for _, test := range []struct {
		name   string
		broken error
		code   tokenexchange.Code
	}{
		{"an error", errors.New("a secret of the host"), tokenexchange.ServerError},
		{"an error of the framework",
			oidc.ErrInvalidScope().WithDescription("a secret of the host"),
			tokenexchange.ServerError},
		{"a deadline", fmt.Errorf("a secret of the host: %w", context.DeadlineExceeded),
			tokenexchange.TemporarilyUnavailable},
		{"a refusal", fmt.Errorf("%w: a secret of the host", tokenexchange.InvalidTarget),
			tokenexchange.InvalidTarget},
		{"a panic", nil, tokenexchange.ServerError},
	} {
		for _, place := range faultPoints {
			h := newHost(t, op.AccessTokenTypeJWT)
			subject, actor := h.validTokens(t)
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
			h.failing, h.failure = place, test.broken
			got := h.exchangeAll(t, subject, actor)
			h.failing = ""
			label := test.name + " in " + place
			ev := h.refused(t, got, test.code)
			require.NotContains(t, got.text, "a secret of", label)
			require.Equal(t, tokenexchange.AsError(test.code).Description,
				got.body["error_description"], label)
			require.Len(t, h.audit.Events(), 1, label)
			require.Equal(t, "helpdesk", ev.Facts.Client.ID, label)
			if test.broken != nil {
				require.Contains(t, ev.Err.Error(), "a secret of the host", label)
			}
			require.Len(t, h.records(), 1, label+": only bob's login has a record")
			for _, token := range []string{subject, actor} {
				require.NotContains(t, log.String(), token, "I08")
				require.NotContains(t, fmt.Sprintf("%+v", ev), token, "I08")
			}
			h.exchangeAll(t, subject, actor).granted(t) // the next request succeeds
		}
	}
	require.Contains(t, log.String(), "a secret of the host", "the cause is in the framework's log")
}

// TestI12_ClientAuthenticationFails checks a storage that fails in the framework's client
// authentication: the request is refused and not audited. With private_key_jwt the client sees the
// error of the storage.
func TestI12_ClientAuthenticationFails(t *testing.T) {
	for place, leaks := range map[string]bool{"GetClientByClientID": false,
		"AuthorizeClientIDSecret": false, "GetKeyByIDAndClientID": true} {
		h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
			if c := h.clients["helpdesk"]; leaks {
				c.auth, c.registered.Secret = oidc.AuthMethodPrivateKeyJWT, ""
				h.clients["helpdesk"] = c
			}
		})
		subject, actor := h.validTokens(t)
		ask := func() reply {
			now := time.Now().Unix()
			return h.exchangeAll(t, subject, actor, "client_assertion_type",
				oidc.ClientAssertionTypeJWTAssertion, "client_assertion", h.sign(t,
					map[string]any{"iss": "helpdesk", "sub": "helpdesk", "aud": issuer, "iat": now,
						"exp": now + 60}))
		}
		if !leaks {
			ask = func() reply { return h.exchangeAll(t, subject, actor) }
		}
		ask().granted(t)
		require.False(t, h.audit.Last().Facts.Client.Public, "R09")
		h.failing, h.failure = place, errors.New("a secret of the host")
		got := ask()
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Empty(t, got.header.Values("WWW-Authenticate"))
		require.Len(t, h.audit.Events(), 1, "the exchange must not be called")
		if leaks {
			require.Contains(t, got.text, "a secret of the host", "the framework shows the error")
			continue
		}
		require.Equal(t, "invalid_client", got.error())
		require.NotContains(t, got.text, "a secret of")
	}
}

// TestI06_SinkFails checks that no token and no record is left if the event cannot be recorded.
func TestI06_SinkFails(t *testing.T) {
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format)
		subject, actor := h.validTokens(t)
		h.audit.Fail(errors.New("a secret of the host"))
		got := h.exchangeAll(t, subject, actor)
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.NotContains(t, got.text, "a secret of")
		require.Len(t, h.records(), 1, "bob's login")

		// The client sees the same if the storage cannot revoke the token either.
		h.failing, h.failure = "RevokeToken", errors.New("a secret of the host")
		got = h.exchangeAll(t, subject, actor)
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.NotContains(t, got.text, "a secret of")
		h.audit.Fail(nil)
		h.exchangeAll(t, subject, actor).granted(t)
	}
}

// TestI06_PanicAfterCancel checks that the record is revoked if a hook panics after the request was
// cancelled.
func TestI06_PanicAfterCancel(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	h.delegate(t).granted(t)
	d := h.audit.Last().Decision
	ctx, cancel := context.WithCancel(h.ctx(t))
	h.grant.Claims = func(context.Context, tokenexchange.Decision, map[string]any) error {
		cancel()
		panic("a secret of the host")
	}
	before := len(h.records())
	require.Panics(t, func() { _, _ = h.grant.Issuer(h.clients["helpdesk"]).IssueToken(ctx, d) })
	require.Len(t, h.records(), before)
}

// TestI01_IncompleteGrants checks that a Grant without a required field, or with a key that is no
// crypto.Signer, issues no token.
func TestI01_IncompleteGrants(t *testing.T) {
	for name, remove := range map[string]func(h *host){
		"Provider":   func(h *host) { h.grant.Provider = nil },
		"Token":      func(h *host) { h.grant.Token = nil },
		"Resolver":   func(h *host) { h.grant.Exchanger.Resolver = nil },
		"Decide":     func(h *host) { h.grant.Exchanger.Decide = nil },
		"Authorizer": func(h *host) { h.grant.Exchanger.Authorizer = nil },
	} {
		h := newHost(t, op.AccessTokenTypeBearer)
		alice, bob := h.alice(t), h.bob(t)
		remove(h)
		h.refused(t,
			h.exchange(t, "helpdesk", "subject_token", alice, "subject_token_type", "access_token",
				"actor_token", bob,
				"actor_token_type", "access_token"), tokenexchange.ServerError)
		require.NotNil(t, name)
	}
	h := newHost(t, op.AccessTokenTypeBearer)
	alice := h.alice(t)
	h.grant.Provider = withStorageOf{h.provider, providerWithoutSigner{h.provider, h.testStorage}}
	require.Contains(t,
		h.refused(t, h.narrow(t, alice, "requested_token_type", "jwt"),
			tokenexchange.ServerError).Err.Error(), "no key to sign with")
	require.Len(t, h.records(), 1, "alice's login")
	h.narrow(t, alice).granted(t)
}

// providerWithoutSigner is a provider whose storage has a key that is no crypto.Signer.
type providerWithoutSigner struct {
	op.OpenIDProvider
	storage op.Storage
}

func (k providerWithoutSigner) Storage() op.Storage { return storageWithoutSigner{k.storage} }

type storageWithoutSigner struct{ op.Storage }

func (k storageWithoutSigner) SigningKey(ctx context.Context) (op.SigningKey, error) {
	key, err := k.Storage.SigningKey(ctx)
	return opaqueKey{key}, err
}

type opaqueKey struct{ op.SigningKey }

func (opaqueKey) Key() any { return []byte("a shared secret") }

// TestConcurrentExchanges checks that concurrent exchanges with different actors get the right
// subject and chain each.
func TestConcurrentExchanges(t *testing.T) {
	for name, format := range map[string]op.AccessTokenType{"opaque": op.AccessTokenTypeBearer,
		"JWT": op.AccessTokenTypeJWT} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, format)
			actors := map[string]string{}
			for _, user := range []string{"bob", "carol", "root"} {
				actors[user] = h.logIn(t,
					login{subject: user, client: "helpdesk", audience: []string{"helpdesk"},
						scope: []string{"orders:read"}})
			}
			subjects := map[string]string{}
			for _, user := range []string{"alice", "dave"} {
				subjects[user] = h.logIn(t,
					login{subject: user, client: "webapp",
						audience: []string{"helpdesk", "https://orders.example"},
						scope:    []string{"orders:read", "orders:write"}})
			}
			var wait sync.WaitGroup
			for i := range 48 {
				wait.Go(func() {
					actor, subject := []string{"bob", "carol", "root", ""}[i%4], []string{"alice",
						"dave"}[i/4%2]
					f := []string{"subject_token", subjects[subject], "subject_token_type",
						"access_token"}
					if actor == "" {
						got := h.exchange(t, "orders",
							append(f, "audience", "https://billing.example")...)
						checkParties(t, h, got, subject, "orders", "orders")
						return
					}
					got := h.exchange(t, "helpdesk",
						append(f, "actor_token", actors[actor], "actor_token_type", "access_token",
							"scope", "orders:read")...)
					if subject == "dave" && actor != "root" {
						assert.Equal(t, "invalid_request", got.error(), "%s may not act for dave",
							actor)
						return
					}
					checkParties(t, h, got, subject, actor, "helpdesk")
				})
			}
			wait.Wait()
			require.Len(t, h.audit.Events(), 48)
		})
	}
}

func checkParties(t *testing.T, h *host, got reply, subject, actor, client string) {
	if !assert.Equal(t, http.StatusOK, got.status, got.text) {
		return
	}
	info := h.read(t, got.token())
	assert.Equal(t, subject, info["sub"])
	assert.Equal(t, map[string]any{"iss": issuer, "sub": actor, "client_id": client}, info["act"])
}

// TestI12_PanicInAnAuditSink checks that a panic of the sink is a failure.
func TestI12_PanicInAnAuditSink(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer,
		func(h *host) { h.grant.Exchanger.Audit = panicking{} })
	got := h.delegate(t)
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.NotContains(t, got.text, "a secret of")
	require.Len(t, h.records(), 2, "only the logins have records")
}

type panicking struct{}

func (panicking) RecordExchange(context.Context, tokenexchange.Event) error {
	panic("a secret of the host")
}
