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

// brokenAt are the places where a host can fail while an exchange of JWTs is under way, ID tokens among them.
var brokenAt = []string{"token", "session", "Client", "KeySet", "SigningKey", "CreateAccessToken", "Claims"}

// useAll asks for an exchange that comes by every place of brokenAt.
func (h *host) useAll(t testing.TB, subject, actor string, more ...string) reply {
	return h.exchange(t, "helpdesk", append([]string{"subject_token", subject, "subject_token_type", "id_token", "actor_token", actor,
		"actor_token_type", "access_token", "scope", "orders:read"}, more...)...)
}

func (h *host) unbroken(t testing.TB) (subject, actor string) {
	return h.idToken(t, login{subject: "alice", client: "helpdesk"}), h.bob(t)
}

// I12: what goes wrong in the host is on record and in its log, and nowhere outside. No token is left of it.
func TestI06_I07_I12_Failures(t *testing.T) {
	var log bytes.Buffer
	usual := slog.Default()
	defer slog.SetDefault(usual)
	for _, test := range []struct {
		name   string
		broken error
		code   tokenexchange.Code
	}{
		{"an error", errors.New("a secret of the host"), tokenexchange.ServerError},
		{"an error of the framework", oidc.ErrInvalidScope().WithDescription("a secret of the host"), tokenexchange.ServerError},
		{"a deadline", fmt.Errorf("a secret of the host: %w", context.DeadlineExceeded), tokenexchange.TemporarilyUnavailable},
		{"a refusal", fmt.Errorf("%w: a secret of the host", tokenexchange.InvalidTarget), tokenexchange.InvalidTarget},
		{"a panic", nil, tokenexchange.ServerError},
	} {
		for _, place := range brokenAt {
			h := newHost(t, op.AccessTokenTypeJWT)
			subject, actor := h.unbroken(t)
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
			h.fails, h.broken = place, test.broken
			got := h.useAll(t, subject, actor)
			h.fails = ""
			what := test.name + " in " + place
			ev := h.refused(t, got, test.code)
			require.NotContains(t, got.text, "a secret of", what)
			require.Equal(t, tokenexchange.AsError(test.code).Description, got.body["error_description"], what)
			require.Len(t, h.audit.Events(), 1, what)
			require.Equal(t, "helpdesk", ev.Facts.Client.ID, what)
			if test.broken != nil {
				require.Contains(t, ev.Err.Error(), "a secret of the host", what)
			}
			require.Len(t, h.live(), 1, what+": nothing lives but bob's login")
			for _, token := range []string{subject, actor} {
				require.NotContains(t, log.String(), token, "I08")
				require.NotContains(t, fmt.Sprintf("%+v", ev), token, "I08")
			}
			h.useAll(t, subject, actor).granted(t) // nothing of it has stayed
		}
	}
	require.Contains(t, log.String(), "a secret of the host", "the framework's log has the cause")
}

// The framework asks for clients before the exchange. What it makes of a storage that fails is its own: no grant, and no
// event. Where clients sign, not even its text is kept inside.
func TestI12_ClientAuthenticationThatFails(t *testing.T) {
	for place, leaks := range map[string]bool{"GetClientByClientID": false, "AuthorizeClientIDSecret": false, "GetKeyByIDAndClientID": true} {
		h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
			if c := h.clients["helpdesk"]; leaks {
				c.auth, c.known.Secret = oidc.AuthMethodPrivateKeyJWT, ""
				h.clients["helpdesk"] = c
			}
		})
		subject, actor := h.unbroken(t)
		ask := func() reply {
			now := time.Now().Unix()
			return h.useAll(t, subject, actor, "client_assertion_type", oidc.ClientAssertionTypeJWTAssertion, "client_assertion", h.sign(t,
				map[string]any{"iss": "helpdesk", "sub": "helpdesk", "aud": issuer, "iat": now, "exp": now + 60}))
		}
		if !leaks {
			ask = func() reply { return h.useAll(t, subject, actor) }
		}
		ask().granted(t)
		require.False(t, h.audit.Last().Facts.Client.Public, "R09")
		h.fails, h.broken = place, errors.New("a secret of the host")
		got := ask()
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Empty(t, got.header.Values("WWW-Authenticate"))
		require.Len(t, h.audit.Events(), 1, "the exchange has not been asked")
		if leaks {
			require.Contains(t, got.text, "a secret of the host", "the framework sends it")
			continue
		}
		require.Equal(t, "invalid_client", got.error())
		require.NotContains(t, got.text, "a secret of")
	}
}

// I06: no token without its event, and no live record of one.
func TestI06_SinkFails(t *testing.T) {
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format)
		subject, actor := h.unbroken(t)
		h.audit.Fail(errors.New("a secret of the host"))
		got := h.useAll(t, subject, actor)
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.NotContains(t, got.text, "a secret of")
		require.Len(t, h.live(), 1, "bob's login")

		// A storage that cannot revoke either changes nothing for the client.
		h.fails, h.broken = "RevokeToken", errors.New("a secret of the host")
		got = h.useAll(t, subject, actor)
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.NotContains(t, got.text, "a secret of")
		h.audit.Fail(nil)
		h.useAll(t, subject, actor).granted(t)
	}
}

// I06: nor of one for which a host panicked while its client went away.
func TestI06_PanicAndGone(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	h.delegate(t).granted(t)
	d := h.audit.Last().Decision
	ctx, cancel := context.WithCancel(h.ctx(t))
	h.grant.Claims = func(context.Context, tokenexchange.Decision, map[string]any) error {
		cancel()
		panic("a secret of the host")
	}
	before := len(h.live())
	require.Panics(t, func() { _, _ = h.grant.Issuer(h.clients["helpdesk"]).IssueToken(ctx, d) })
	require.Len(t, h.live(), before)
}

// A Grant that lacks a part, and a server whose key is no crypto.Signer, make no tokens.
func TestI01_IncompleteGrants(t *testing.T) {
	for name, take := range map[string]func(h *host){
		"Provider": func(h *host) { h.grant.Provider = nil },
		"Token":    func(h *host) { h.grant.Token = nil },
		"Subjects": func(h *host) { h.grant.Exchanger.Resolver = nil },
		"Decide":   func(h *host) { h.grant.Exchanger.Decide = nil },
		"Actors":   func(h *host) { h.grant.Exchanger.Authorizer = nil },
	} {
		h := newHost(t, op.AccessTokenTypeBearer)
		alice, bob := h.alice(t), h.bob(t)
		take(h)
		h.refused(t, h.exchange(t, "helpdesk", "subject_token", alice, "subject_token_type", "access_token", "actor_token", bob,
			"actor_token_type", "access_token"), tokenexchange.ServerError)
		require.NotNil(t, name)
	}
	h := newHost(t, op.AccessTokenTypeBearer)
	alice := h.alice(t)
	h.grant.Provider = both{h.provider, keyless{h.provider, h.ledger}}
	require.Contains(t, h.refused(t, h.narrow(t, alice, "requested_token_type", "jwt"), tokenexchange.ServerError).Err.Error(), "no key to sign with")
	require.Len(t, h.live(), 1, "alice's login")
	h.narrow(t, alice).granted(t)
}

// keyless is a provider whose storage has a key that nobody can sign with here.
type keyless struct {
	op.OpenIDProvider
	storage op.Storage
}

func (k keyless) Storage() op.Storage { return keylessStorage{k.storage} }

type keylessStorage struct{ op.Storage }

func (k keylessStorage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	key, err := k.Storage.SigningKey(ctx)
	return opaqueKey{key}, err
}

type opaqueKey struct{ op.SigningKey }

func (opaqueKey) Key() any { return []byte("a shared secret") }

// Many clients at once, each with an actor of its own: nothing of one exchange is in another.
func TestConcurrentExchanges(t *testing.T) {
	for name, format := range map[string]op.AccessTokenType{"opaque": op.AccessTokenTypeBearer, "JWT": op.AccessTokenTypeJWT} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, format)
			actors := map[string]string{}
			for _, user := range []string{"bob", "carol", "root"} {
				actors[user] = h.logIn(t, login{subject: user, client: "helpdesk", audience: []string{"helpdesk"}, scope: []string{"orders:read"}})
			}
			subjects := map[string]string{}
			for _, user := range []string{"alice", "dave"} {
				subjects[user] = h.logIn(t, login{subject: user, client: "webapp", audience: []string{"helpdesk", "https://orders.example"}, scope: []string{"orders:read", "orders:write"}})
			}
			var wait sync.WaitGroup
			for i := range 48 {
				wait.Go(func() {
					actor, subject := []string{"bob", "carol", "root", ""}[i%4], []string{"alice", "dave"}[i/4%2]
					f := []string{"subject_token", subjects[subject], "subject_token_type", "access_token"}
					if actor == "" {
						got := h.exchange(t, "orders", append(f, "audience", "https://billing.example")...)
						checkWho(t, h, got, subject, "orders", "orders")
						return
					}
					got := h.exchange(t, "helpdesk", append(f, "actor_token", actors[actor], "actor_token_type", "access_token", "scope", "orders:read")...)
					if subject == "dave" && actor != "root" {
						assert.Equal(t, "invalid_request", got.error(), "%s may not act for dave", actor)
						return
					}
					checkWho(t, h, got, subject, actor, "helpdesk")
				})
			}
			wait.Wait()
			require.Len(t, h.audit.Events(), 48)
		})
	}
}

func checkWho(t *testing.T, h *host, got reply, subject, actor, client string) {
	if !assert.Equal(t, http.StatusOK, got.status, got.text) {
		return
	}
	said := h.read(t, got.token())
	assert.Equal(t, subject, said["sub"])
	assert.Equal(t, map[string]any{"iss": issuer, "sub": actor, "client_id": client}, said["act"])
}

// I12: a sink that panics is one that fails.
func TestI12_PanicInAnAuditSink(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.grant.Exchanger.Audit = panicking{} })
	got := h.delegate(t)
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.NotContains(t, got.text, "a secret of")
	require.Len(t, h.live(), 2, "the logins")
}

type panicking struct{}

func (panicking) RecordExchange(context.Context, tokenexchange.Event) error {
	panic("a secret of the host")
}
