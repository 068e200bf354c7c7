package tokenstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// typeLogin is the type of a login session of the host. It is evidence.
const typeLogin = tx.TokenType("urn:example:login")

// logIn is the authorization code grant of the host, which issues tokens to webapp for a session.
func (w *world) logIn(scope string) tx.Response {
	session := tx.Token{Type: typeLogin, Kind: tx.KindUser, ID: "session-1",
		Issuer: issuer, Subject: "alice", ClientID: "webapp", Issued: w.clock(),
		Expires: w.clock().Add(time.Hour), AuthTime: w.clock()}
	response, err := w.x.Run(w.Context(), "authorization_code", w.client["webapp"],
		func(context.Context, time.Time) (
			tx.Request, tx.Token, *tx.Token, error) {
			requested, err := tx.ParseScope(scope)
			return tx.Request{Scope: requested}, session, nil, err
		})
	require.NoError(w, err)
	return response
}

// loginRule lets webapp have what a login gives.
func loginRule() tx.Rule {
	user := tx.Identity{Kind: tx.KindUser, Tenant: "*", ID: "*"}
	return tx.Rule{Name: "login", Impersonate: &tx.Impersonation{RefreshLifetime: 24 * time.Hour},
		Clients: []string{"webapp"}, Subjects: []tx.Identity{user},
		SubjectTypes: []tx.TokenType{typeLogin},
		Types:        []tx.TokenType{access},
		Targets:      []string{api}, DefaultTargets: []string{api}, Scope: tx.Scope{"*"},
		Lifetime: 10 * time.Minute}
}

// refreshed refreshes after every step until a refresh is refused. It returns the time until then
// and the expiry of the last access token.
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

// Rotation does not move the end of a grant that begins with a login.
func TestLineage_GrantEnds(t *testing.T) {
	t.Run("at the expiry of the first refresh token", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		began := w.clock()
		lasted, last := w.refreshed(w.logIn("read offline_access").RefreshToken, 30*time.Minute)
		require.Equal(t, 24*time.Hour, lasted)
		require.False(t, last.After(began.Add(24*time.Hour)),
			"an access token expires at %s", last)
	})
	t.Run("at Subject.Until, which may be later than the session", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		end := w.clock().Add(72 * time.Hour)
		w.people.Add(tx.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: end})
		token := w.logIn("read offline_access").RefreshToken
		w.people.Add(tx.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: end.Add(72 * time.Hour)})
		lasted, last := w.refreshed(token, 2*time.Hour)
		require.Equal(t, 72*time.Hour, lasted, "a later Until does not move the end")
		require.False(t, last.After(end))
	})
	t.Run("no refresh token for a session that has ended", func(t *testing.T) {
		w := newWorld(t)
		w.setRules(append(usualRules(), loginRule())...)
		w.people.Add(tx.Subject{Identity: alice, Scope: w.client["webapp"].Scope,
			Until: w.clock()})
		_, err := w.x.Run(t.Context(), "authorization_code", w.client["webapp"],
			func(context.Context, time.Time) (
				tx.Request, tx.Token, *tx.Token, error) {
				return tx.Request{Scope: tx.Scope{"read", "offline_access"}},
					tx.Token{Type: typeLogin,
						Issuer: issuer, Subject: "alice", ClientID: "webapp",
						Expires: w.clock().Add(time.Hour)}, nil, nil
			})
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
}

// A grant that was recorded without an end gets one at its next refresh.
func TestLineage_GrantWithoutEnd(t *testing.T) {
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

// A refresh token has the may_act of its access token, because it may be exchanged like one.
func TestLineage_MayActOfRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		r.SubjectTypes = append(r.SubjectTypes, refresh)
		r.Clients = append(r.Clients, "webapp")
	})
	w.tokens.MayAct = func(context.Context, tx.Decision) (*tx.Actor, error) {
		return &tx.Actor{Subject: "carol"}, nil
	}
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read offline_access"))
	for _, name := range []string{"access_token", "refresh_token"} {
		kind := map[string]tx.TokenType{"access_token": access,
			"refresh_token": refresh}[name]
		w.client["gateway"] = tx.Client{ID: "gateway", Scope: w.client["gateway"].Scope}
		b := w.exchange("gateway", a.text(name), kind, "actor_token", w.opaque("bob"),
			"actor_token_type", string(access))
		w.refused(b, tx.InvalidRequest, "may_act_other_actor")
	}
}

// A token that is made from an opaque token, through opaque tokens or JWTs, keeps its limits.
func TestLineage_Records(t *testing.T) {
	for _, kind := range []tx.TokenType{access, jwt} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.changeRules(func(r *tx.Rule) {
				r.Types = append(r.Types, idToken, ticket)
				r.Targets = append(r.Targets, "helpdesk")
			})
			w.tokens.MayAct = func(_ context.Context,
				d tx.Decision) (*tx.Actor, error) {
				if d.Type == ticket {
					return &tx.Actor{Subject: "bob"}, nil
				}
				return nil, nil
			}
			first := w.opaque("alice")
			read := w.granted(w.exchange("gateway", first, access, "scope", "read",
				"requested_token_type", string(kind))).text("access_token")
			id := w.granted(w.exchange("gateway", read, access, "requested_token_type",
				string(idToken))).text("access_token")
			w.refused(w.exchange("gateway", id, idToken, "scope", "write"),
				tx.InvalidScope, "scope_not_allowed")
			over := w.granted(w.exchange("gateway", id, idToken, "scope",
				"read")).text("access_token")

			w.after(59 * time.Minute)
			made := w.granted(w.exchange("gateway", read, access, "requested_token_type",
				string(ticket), "audience", "helpdesk", "scope", "read")).text("access_token")
			b := w.exchange("helpdesk", made, ticket, "actor_token", w.opaque("bob"),
				"actor_token_type", string(access), "audience", api)
			w.granted(b)
			require.LessOrEqual(t, b.json["expires_in"], float64(60),
				"the ticket does not outlive the token that it was made from")

			require.True(t, w.active(over))
			tok, err := w.tokens.VerifyToken(t.Context(),
				tx.Credential{Token: first, Type: access, Issuer: issuer,
					Now: w.clock()})
			require.NoError(t, err)
			require.NoError(t, w.tokens.Revoke(t.Context(), tok))
			for name, token := range map[string]string{
				"narrower": read, "through an ID token": over,
				"through a ticket": b.text("access_token"),
			} {
				require.False(t, w.active(token), name)
			}
		})
	}
}

// Records and introspection have the organisation that was selected.
func TestLineage_Organisation(t *testing.T) {
	for _, kind := range []tx.TokenType{access, jwt} {
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

// A refresh of a grant from another issuer is refused once no rule names that issuer.
func TestLineage_ForeignIssuerAtRefresh(t *testing.T) {
	w := newWorld(t)
	idp := tokenexchangetest.NewMinter("https://idp.example")
	trust := idp.ForeignTrust(issuer)
	trust.Scopes = map[string]tx.Scope{"all": {"read", "offline_access"}}
	verifier, err := tx.NewVerifier(trust)
	require.NoError(t, err)
	w.x.Verify[jwt] = verifier.Verify
	w.people.Link(trust.Issuer, "ext-alice", alice)
	named := func(issuers ...string) {
		w.changeRules(func(r *tx.Rule) {
			if r.Name == "gateway" {
				r.Impersonate.Issuers = issuers
				r.SubjectTypes = append(r.SubjectTypes, jwt)
			}
		})
	}
	named(trust.Issuer)
	foreign := idp.AccessToken(tokenexchangetest.Claims{Subject: "ext-alice",
		Audience: []string{issuer}, Scope: tx.Scope{"all"}, Now: w.clock()})
	a := w.granted(w.exchange("gateway", foreign, jwt, "scope", "read offline_access"))
	a = w.granted(w.refresh("gateway", a.text("refresh_token")))
	w.setRules(usualRules()...)
	named()
	w.refused(w.refresh("gateway", a.text("refresh_token")), tx.InvalidGrant,
		"subject_issuer_not_allowed")
	named(trust.Issuer)
	w.granted(w.refresh("gateway", a.text("refresh_token")))
}
