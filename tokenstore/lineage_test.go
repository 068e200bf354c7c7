package tokenstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// typeLogin is evidence that only the login of the host brings.
const typeLogin = tokenexchange.TokenType("urn:example:login")

// logIn is the code grant of the host: a session becomes tokens of webapp.
func (w *world) logIn(scope string) tokenexchange.Response {
	session := tokenexchange.Token{Type: typeLogin, Kind: tokenexchange.KindUser, ID: "session-1",
		Issuer: issuer, Subject: "alice", ClientID: "webapp", Issued: w.clock(),
		Expires: w.clock().Add(time.Hour), AuthTime: w.clock()}
	answer, err := w.x.Run(w.Context(), "authorization_code", w.client["webapp"],
		func(context.Context, time.Time) (
			tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			asked, err := tokenexchange.ParseScope(scope)
			return tokenexchange.Request{Scope: asked}, session, nil, err
		})
	require.NoError(w, err)
	return answer
}

// loginRule lets webapp have what a login gives.
func loginRule() tokenexchange.Rule {
	user := tokenexchange.Identity{Kind: tokenexchange.KindUser, Tenant: "*", ID: "*"}
	return tokenexchange.Rule{Name: "login", Mode: tokenexchange.Impersonate,
		Clients: []string{"webapp"}, Subjects: []tokenexchange.Identity{user},
		SubjectTypes: []tokenexchange.TokenType{typeLogin},
		Types:        []tokenexchange.TokenType{access},
		Targets:      []string{api}, DefaultTargets: []string{api}, Scope: tokenexchange.Scope{"*"},
		Lifetime: 10 * time.Minute, RefreshLifetime: 24 * time.Hour, RefreshToken: true}
}

// refreshed refreshes every step until that is refused, and returns how long it went on and the
// last expiry of an access token.
func (w *world) refreshed(token string, step time.Duration) (lasted time.Duration, last time.Time) {
	began := w.clock()
	for range 800 {
		w.after(step)
		a := w.refresh("webapp", token)
		if a.status != 200 {
			require.Equal(w, "invalid_grant", a.text("error"), a.body)
			return w.clock().Sub(began), last
		}
		token = a.text("refresh_token")
		last = w.audit.Last().Decision.Expires
	}
	require.Fail(w, "the grant never ends")
	return 0, last
}

// TestLineage_GrantEnds: rotation does not move the end of a grant that begins with a login.
func TestLineage_GrantEnds(t *testing.T) {
	t.Run("with the first refresh token", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		began := w.clock()
		lasted, last := w.refreshed(w.logIn("read offline_access").RefreshToken, 30*time.Minute)
		require.Equal(t, 24*time.Hour, lasted)
		require.False(t, last.After(began.Add(24*time.Hour)),
			"nor does an access token live longer: %s", last)
	})
	t.Run("at Subject.Until, which may be later than the session", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		end := w.clock().Add(72 * time.Hour)
		w.people.Add(tokenexchange.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: end})
		token := w.logIn("read offline_access").RefreshToken
		w.people.Add(tokenexchange.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: end.Add(72 * time.Hour)})
		lasted, last := w.refreshed(token, 2*time.Hour)
		require.Equal(t, 72*time.Hour, lasted, "a later answer does not move it")
		require.False(t, last.After(end))
	})
	t.Run("a session that is over gives no refresh token", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		w.people.Add(tokenexchange.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: w.clock()})
		_, err := w.x.Run(t.Context(), "authorization_code", w.client["webapp"],
			func(context.Context, time.Time) (
				tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
				return tokenexchange.Request{Scope: tokenexchange.Scope{"read", "offline_access"}},
					tokenexchange.Token{Type: typeLogin,
						Issuer: issuer, Subject: "alice", ClientID: "webapp",
						Expires: w.clock().Add(time.Hour)}, nil, nil
			})
		require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	})
}

// TestLineage_GrantFromBefore: a grant whose record states no end gets one at its next refresh.
func TestLineage_GrantFromBefore(t *testing.T) {
	w := newWorld(t)
	w.setRules(append(usualRules(), loginRule())...)
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		for i, r := range b.Put {
			tok, g, err := tokenstore.Decode(issuer, r)
			require.NoError(t, err)
			if g == nil {
				continue
			}
			g.Subject.Lineage = nil
			b.Put[i].Data, err = tokenstore.Encode(tok, g)
			require.NoError(t, err)
		}
		return w.store.Store.Commit(ctx, now, b)
	}
	token := w.logIn("read offline_access").RefreshToken
	w.store.commit = nil
	lasted, _ := w.refreshed(token, 30*time.Minute)
	require.Equal(t, 24*time.Hour, lasted)
}

// TestLineage_RefreshTokenNamesWhoMayAct: a refresh token may be exchanged like an access token, so
// it says the same of it.
func TestLineage_RefreshTokenNamesWhoMayAct(t *testing.T) {
	w := newWorld(t)
	w.lets(func(r *tokenexchange.Rule) {
		r.SubjectTypes = append(r.SubjectTypes, refresh)
		r.Clients = append(r.Clients, "webapp")
	})
	w.tokens.MayAct = func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error) {
		return &tokenexchange.Actor{Subject: "carol"}, nil
	}
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read offline_access"))
	for _, name := range []string{"access_token", "refresh_token"} {
		kind := map[string]tokenexchange.TokenType{"access_token": access,
			"refresh_token": refresh}[name]
		w.client["gateway"] = tokenexchange.Client{ID: "gateway", Scope: w.client["gateway"].Scope}
		b := w.exchange("gateway", a.text(name), kind, "actor_token", w.opaque("bob"),
			"actor_token_type", string(access))
		w.refused(b, tokenexchange.InvalidRequest, "may_act")
	}
}

// TestLineage_Records: what is made from an opaque token, over records and over JWTs, keeps its
// limits.
func TestLineage_Records(t *testing.T) {
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.lets(func(r *tokenexchange.Rule) {
				r.Types = append(r.Types, idToken, ticket)
				r.Targets = append(r.Targets, "helpdesk")
			})
			w.tokens.MayAct = func(_ context.Context,
				d tokenexchange.Decision) (*tokenexchange.Actor, error) {
				if d.Type == ticket {
					return &tokenexchange.Actor{Subject: "bob"}, nil
				}
				return nil, nil
			}
			first := w.opaque("alice") // an hour to live
			read := w.granted(w.exchange("gateway", first, access, "scope", "read",
				"requested_token_type", string(kind))).text("access_token")
			id := w.granted(w.exchange("gateway", read, access, "requested_token_type",
				string(idToken))).text("access_token")
			w.refused(w.exchange("gateway", id, idToken, "scope", "write"),
				tokenexchange.InvalidScope, "D21")
			over := w.granted(w.exchange("gateway", id, idToken, "scope",
				"read")).text("access_token")

			w.after(59 * time.Minute)
			made := w.granted(w.exchange("gateway", read, access, "requested_token_type",
				string(ticket), "audience", "helpdesk", "scope", "read")).text("access_token")
			b := w.exchange("helpdesk", made, ticket, "actor_token", w.opaque("bob"),
				"actor_token_type", string(access), "audience", api)
			w.granted(b)
			require.LessOrEqual(t, b.json["expires_in"], float64(60),
				"no longer than the first token")

			require.True(t, w.active(over))
			tok, err := w.tokens.VerifyToken(t.Context(),
				tokenexchange.Credential{Token: first, Type: access, Issuer: issuer,
					Now: w.clock()})
			require.NoError(t, err)
			require.NoError(t, w.tokens.Revoke(t.Context(), tok))
			for name, token := range map[string]string{"narrower": read, "over an ID token": over,
				"over a ticket": b.text("access_token")} {
				require.False(t, w.active(token), name)
			}
		})
	}
}

// TestLineage_Organisation: records and introspection say the organisation that was selected.
func TestLineage_Organisation(t *testing.T) {
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		w := newWorld(t)
		switched := w.granted(w.exchange("gateway", w.opaque("alice"), access, "audience", orgB,
			"scope", "read offline_access",
			"requested_token_type", string(kind)))
		seen := w.introspect("gateway", switched.text("access_token"))
		require.Equal(t, orgB, seen["lineage"].(map[string]any)["tenant"], "%s: %v", kind, seen)
		again := w.granted(w.exchange("gateway", switched.text("access_token"), access, "scope",
			"read", "requested_token_type", string(kind)))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
		require.Equal(t, orgB, w.introspect("gateway",
			again.text("access_token"))["lineage"].(map[string]any)["tenant"])
		w.granted(w.refresh("gateway", switched.text("refresh_token")))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
	}
}

// TestLineage_ForeignIssuerAtRefresh: an issuer that no rule names any more serves no refresh of
// what was made from it.
func TestLineage_ForeignIssuerAtRefresh(t *testing.T) {
	w := newWorld(t)
	idp := tokenexchangetest.NewMinter("https://idp.example")
	trust := idp.ForeignTrust(issuer)
	trust.Scopes = map[string]tokenexchange.Scope{"all": {"read", "offline_access"}}
	verifier, err := tokenexchange.NewVerifier(trust)
	require.NoError(t, err)
	w.x.Verify[jwt] = verifier.Verify
	w.people.Link(trust.Issuer, "ext-alice", alice)
	named := func(issuers ...string) {
		w.lets(func(r *tokenexchange.Rule) {
			r.Issuers = issuers
			if r.Name == "gateway" {
				r.SubjectTypes = append(r.SubjectTypes, jwt)
			}
		})
	}
	named(trust.Issuer)
	foreign := idp.AccessToken(tokenexchangetest.Claims{Subject: "ext-alice",
		Audience: []string{issuer}, Scope: tokenexchange.Scope{"all"}, Now: w.clock()})
	a := w.granted(w.exchange("gateway", foreign, jwt, "scope", "read offline_access"))
	a = w.granted(w.refresh("gateway", a.text("refresh_token")))
	w.setRules(usualRules()...)
	named()
	w.refused(w.refresh("gateway", a.text("refresh_token")), tokenexchange.InvalidGrant,
		"foreign issuer")
	named(trust.Issuer)
	w.granted(w.refresh("gateway", a.text("refresh_token")))
}
