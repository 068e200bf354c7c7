package fositeexchange_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/hmac"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

func user(id string) tokenexchange.Identity {
	return tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: id}
}

// TestD07_IntrospectionResolvesParties checks that introspection resolves the subject and the
// current actor of a token, whichever grant made it.
func TestD07_IntrospectionResolvesParties(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		access, refresh := h.code(t, "alice")
		bobs := h.logIn(t, bob)
		first, second := h.hops(t, access, bobs)
		ordersToken := h.logIn(t, login{client: "orders",
			audience: []string{"https://orders.example"}})
		foreign := h.logIn(t, alice.withClaims("act",
			map[string]any{"sub": "bob"})) // an actor without iss
		ordersClient := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient,
			ID: "orders"}
		all := map[string]string{"access": access, "refresh": refresh, "bob's": bobs,
			"first": first, "second": second,
			"client's": ordersToken, "with an actor without iss": foreign}
		for party, affected := range map[tokenexchange.Identity][]string{
			user("alice"): {"access", "refresh", "first", "second", "with an actor without iss"},
			user("bob"):   {"bob's", "first", "with an actor without iss"},
			// bob is also the prior actor of the second token, which is not checked
			ordersClient:  {"second", "client's"},
			user("carol"): nil,
		} {
			for name, token := range all {
				require.NotNil(t, h.active(t, token), name)
			}
			h.directory().Disable(party)
			for name, token := range all {
				if info := h.active(t, token); info != nil {
					require.NotContains(t, affected, name, "%s is disabled", party.ID)
				} else {
					require.Contains(t, affected, name, "%s is disabled", party.ID)
				}
			}
			h.directory().Add(tokenexchange.Subject{Identity: party,
				Scope: tokenexchange.Scope{"openid", "orders:read", "orders:write"}})
		}
	})
}

// TestI12_IntrospectionWithoutAnIdentity checks that a token is inactive if the resolver fails or
// returns no identity. The caller of the introspector can tell a refusal from a failure.
func TestI12_IntrospectionWithoutAnIdentity(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		token, _ := h.hops(t, h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob))
		introspect := func() error {
			introspector := h.exchange.Factory(h.config, h.store,
				h.strategy).(fosite.TokenIntrospector)
			_, err := introspector.IntrospectToken(t.Context(), token, fosite.AccessToken, nil, nil)
			return err
		}
		require.ErrorIs(t, introspect(), fosite.ErrUnknownRequest, "it accepts no token itself")
		for name, test := range map[string]struct {
			answer  answers
			failure bool
		}{
			"a failure": {answers{err: errors.New(secretText)}, true},
			"a timeout": {answers{err: fmt.Errorf("%s: %w", secretText,
				context.DeadlineExceeded)}, true},
			"fosite's unknown": {answers{err: fosite.ErrUnknownRequest}, true},
			"a refusal": {answers{err: fmt.Errorf("%w: %s", tokenexchange.InvalidRequest,
				secretText)}, false},
			"an empty identity": {answers{}, false},
			"an identity without a kind": {answers{subject: tokenexchange.Subject{
				Identity: tokenexchange.Identity{Issuer: issuer, ID: "alice"}}}, false},
		} {
			h.exchange.Exchanger.Resolver = test.answer
			err := introspect()
			require.ErrorIs(t, err, fosite.ErrInactiveToken, name)
			require.NotErrorIs(t, err, fosite.ErrUnknownRequest, "fosite would ignore this error")
			require.Equal(t, test.failure, errors.Is(err, fosite.ErrServerError), name)
			h.serve(t)
			got := h.post(t, "/introspect", "backend", url.Values{"token": {token}})
			require.Equal(t, map[string]any{"active": false}, got.body, name)
		}
		h.exchange.Exchanger.Resolver = nil // the host has no resolver
		require.ErrorIs(t, introspect(), fosite.ErrUnknownRequest)
	})
}

// answers is a resolver that returns the same for every token.
type answers struct {
	subject tokenexchange.Subject
	err     error
}

func (a answers) ResolveSubject(context.Context,
	tokenexchange.Token) (tokenexchange.Subject, error) {
	return a.subject, a.err
}

// TestR08_OneTextOfAToken checks that only one of the texts that fosite accepts for a token is
// accepted here.
func TestR08_OneTextOfAToken(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		// bytes of an opaque token, which leave two or four bits unused
		for _, entropy := range []int{32, 34} {
			h := newHost(t, format, func(h *host) { h.config.TokenEntropy = entropy })
			for name, token := range map[string]string{"login": h.logIn(t, alice),
				"exchanged": h.ask(t, "webapp", "subject_token", h.logIn(t, alice)).token()} {
				h.granted(t, h.ask(t, "webapp", "subject_token", token))
				texts, accepted := variants(token), 0
				for _, text := range texts {
					record := h.store.AccessTokens[h.strategy.AccessTokenSignature(t.Context(),
						text)]
					if record != nil && h.strategy.ValidateAccessToken(t.Context(), record,
						text) == nil {
						accepted++
					}
					for _, declared := range []string{"access_token", "jwt", "id_token"} {
						got := h.ask(t, "webapp", "subject_token", text, "subject_token_type",
							declared)
						h.refused(t, got, tokenexchange.InvalidRequest, "")
						require.Empty(t, h.last(t).Facts.Subject.ID, "%s: %q", name, text)
					}
					require.Nil(t, h.active(t, text), "%s: %q", name, text)
				}
				require.Greater(t, accepted, 1, "fosite accepts other texts")
			}
		}
	})
}

// variants returns texts that differ from the token in unused bits, in the prefix or by blanks.
func variants(token string) (list []string) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	add := func(text string) {
		if text != token {
			list = append(list, text)
		}
	}
	for i := range token + "." {
		if i != len(token) && token[i] != '.' {
			continue
		}
		for _, c := range alphabet {
			add(token[:i-1] + string(c) + token[i:])
		}
		add(token[:i] + "=" + token[i:])
		add(token[:i] + "==" + token[i:])
	}
	for i := 0; i <= len(token); i += max(len(token)/40, 1) {
		for _, blank := range []string{" ", "\n", "\r", "\t", "\u00a0"} {
			add(token[:i] + blank + token[i:])
		}
	}
	add(strings.TrimPrefix(token, "ory_at_"))
	add("ory_at_" + token)
	add("ory_rt_" + token)
	return list
}

// TestR08_StrategyWithoutPrefix checks the canonical text for a strategy whose tokens have no
// prefix.
func TestR08_StrategyWithoutPrefix(t *testing.T) {
	h := newHost(t, opaque, func(h *host) { h.strategy.CoreStrategy = unprefixed(h) })
	token := h.logIn(t, alice)
	require.False(t, strings.HasPrefix(token, "ory_at_"))
	h.granted(t, h.ask(t, "webapp", "subject_token", token))
	for _, text := range variants(token) {
		got := h.ask(t, "webapp", "subject_token", text)
		require.Equal(t, http.StatusBadRequest, got.status, text)
	}
}

// unprefixed returns fosite's strategy for opaque tokens without a prefix.
func unprefixed(h *host) oauth2.CoreStrategy {
	return oauth2.NewHMACSHAStrategyUnPrefixed(&hmac.HMACStrategy{Config: h.config}, h.config)
}
