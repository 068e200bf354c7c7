package tokenstore_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// delegated is an exchange with an actor and a refresh token.
func (w *world) delegated(more ...string) answer {
	w.Helper()
	return w.granted(w.exchange("helpdesk", w.opaque("alice"), access, append([]string{"actor_token", w.opaque("bob"),
		"actor_token_type", string(access), "scope", "read write openid offline_access"}, more...)...))
}

// Every refresh gives a new refresh token, keeps act, subject, targets and scope, and has an ID token of its own.
func TestRotation(t *testing.T) {
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		w := newWorld(t)
		a := w.delegated("requested_token_type", string(kind), "audience", down, "resource", api)
		first := w.introspect("helpdesk", a.text("access_token"))
		seen := map[string]bool{a.text("refresh_token"): true}
		for range 5 {
			w.after(time.Minute)
			b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
			require.False(t, seen[b.text("refresh_token")])
			seen[b.text("refresh_token")] = true
			require.Equal(t, a.text("scope"), b.text("scope"))
			require.Equal(t, string(kind), b.text("issued_token_type"))
			require.Equal(t, "bob", claims(t, b.text("id_token"))["act"].(map[string]any)["sub"])
			again := w.introspect("helpdesk", b.text("access_token"))
			for _, name := range []string{"sub", "act", "aud", "scope", "client_id", "auth_time", "acr"} {
				require.Equal(t, first[name], again[name], name)
				require.NotEmpty(t, again[name], name)
			}
			require.True(t, w.active(a.text("access_token")), "the token before lives to its end")
			a = b
		}
		require.Equal(t, "refresh_token", w.audit.Last().Facts.Grant)
		require.Equal(t, "bob", w.audit.Last().Facts.Actor.ID)
	}
}

// A refresh token that is used twice ends its grant: whoever used it first has nothing either.
func TestReuse(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	c := w.granted(w.refresh("helpdesk", b.text("refresh_token")))
	w.refused(w.refresh("other", a.text("refresh_token")), tokenexchange.InvalidGrant, "another client")
	require.True(t, w.active(c.text("access_token")), "another client's guess ends nothing")
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tokenexchange.InvalidGrant, "used twice")
	for _, x := range []answer{a, b, c} {
		require.False(t, w.active(x.text("access_token")))
		w.refused(w.refresh("helpdesk", x.text("refresh_token")), tokenexchange.InvalidGrant, "revoked")
	}
}

// Of two requests with one refresh token at most one is answered, and nothing of the grant lives on.
func TestRefreshRace(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		a := w.delegated()
		var won atomic.Int32
		var mu sync.Mutex
		all := []string{a.text("access_token")}
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				b := w.refresh("helpdesk", a.text("refresh_token"))
				if b.status != 200 {
					assert.Equal(t, "invalid_grant", b.text("error"))
					return
				}
				won.Add(1)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, b.text("access_token"))
				assert.Equal(t, 400, w.refresh("helpdesk", a.text("refresh_token")).status)
			})
		}
		group.Wait()
		require.EqualValues(t, 1, won.Load())
		for _, value := range all {
			require.False(t, w.active(value))
		}
	}
}

// The race in one thread: the other request commits between this one's look and its own commit.
func TestLosingTheRaceEndsTheGrant(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	var winner tokenexchange.Response
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		w.store.commit = nil
		var err error
		winner, err = w.tokens.Refresh(t.Context(), w.x, w.client["helpdesk"],
			map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {a.text("refresh_token")}})
		require.NoError(t, err)
		require.True(t, w.active(winner.AccessToken))
		return w.store.Store.Commit(ctx, now, b)
	}
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tokenexchange.InvalidGrant, "used twice")
	require.False(t, w.active(winner.AccessToken))
}

// Today's policy and today's state decide, not what was (Z19, D28); a refusal uses nothing up.
func TestPolicyRunsAgain(t *testing.T) {
	withoutRefresh := usualRules()
	withoutRefresh[1].RefreshToken, withoutRefresh[1].RefreshLifetime = false, 0
	for name, row := range map[string]struct {
		change func(*world)
		code   tokenexchange.Code
		cause  string
	}{
		"actor lost the role": {func(w *world) { w.actors.Fail(tokenexchange.InvalidRequest) }, tokenexchange.InvalidGrant, "D11"},
		"user disabled":       {func(w *world) { w.people.Disable(alice) }, tokenexchange.InvalidGrant, "resolve the subject"},
		"actor disabled":      {func(w *world) { w.people.Disable(bob) }, tokenexchange.InvalidGrant, "resolve the actor"},
		"rule gone":           {func(w *world) { w.setRules(usualRules()[0]) }, tokenexchange.InvalidGrant, "D02"},
		"switch off":          {func(w *world) { w.setRules(withoutRefresh...) }, tokenexchange.InvalidScope, "D23"},
		"client lost scope": {func(w *world) {
			w.client["helpdesk"] = tokenexchange.Client{ID: "helpdesk", Scope: tokenexchange.Scope{"read"}}
		}, tokenexchange.InvalidScope, "D21"},
		"another client":    {func(w *world) { w.client["helpdesk"] = w.client["other"] }, tokenexchange.InvalidGrant, "another client"},
		"subject expired":   {func(w *world) { w.after(121 * time.Minute) }, tokenexchange.InvalidGrant, "unknown or expired"},
		"directory is down": {func(w *world) { w.people.Fail(errBroken) }, tokenexchange.ServerError, "broken"},
		"store is down":     {func(w *world) { w.store.fail = errBroken }, tokenexchange.ServerError, "broken"},
		"user moved": {func(w *world) {
			moved := alice
			moved.Tenant = orgB
			w.people.Disable(alice)
			w.x.Subjects = resolver(func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
				if tok.Subject == "alice" {
					return tokenexchange.Subject{Identity: moved}, nil
				}
				return w.people.ResolveSubject(context.Background(), tok)
			})
		}, tokenexchange.InvalidGrant, "of another organisation"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.delegated()
			before := w.client["helpdesk"]
			row.change(w)
			w.refused(w.refresh("helpdesk", a.text("refresh_token")), row.code, row.cause)
			if name == "subject expired" {
				return
			}
			w.client["helpdesk"], w.store.fail, w.x.Subjects = before, nil, w.people
			w.actors.Fail(nil)
			w.people.Fail(nil)
			all := tokenexchange.Scope{"read", "write", "openid", "offline_access"}
			w.people.Add(tokenexchange.Subject{Identity: alice, Scope: all}, tokenexchange.Subject{Identity: bob, Scope: all})
			w.setRules(usualRules()...)
			w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		})
	}
}

type resolver func(tokenexchange.Token) (tokenexchange.Subject, error)

func (r resolver) ResolveSubject(_ context.Context, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	return r(tok)
}

// An input that has expired ends a refresh unless today's rule lets it be outlived; one that is revoked always does.
func TestOutlivedInputs(t *testing.T) {
	w := newWorld(t)
	rules := usualRules()
	rules[1].OutliveSubject, rules[1].OutliveActor = true, true
	w.setRules(rules...)
	until, all := w.clock().Add(48*time.Hour), tokenexchange.Scope{"read", "write", "openid", "offline_access"}
	w.people.Add(tokenexchange.Subject{Identity: alice, Scope: all, Until: until}, tokenexchange.Subject{Identity: bob, Scope: all, Until: until})
	session := tokenstore.KeyOf("session", issuer, "s1")
	a := w.granted(w.exchange("helpdesk", w.opaque("alice", session), access, "actor_token", w.opaque("bob"), "actor_token_type", string(access),
		"scope", "read offline_access"))
	for range 4 {
		w.after(11 * time.Hour)
		a = w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		w.churn()
	}
	require.NoError(t, w.store.Revoke(t.Context(), w.clock(), session, w.clock()))
	require.False(t, w.active(a.text("access_token")), "the session is long forgotten but for its tokens")
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tokenexchange.InvalidGrant, "revoked")
}

// churn is other business, in which the store forgets what it need not know.
func (w *world) churn() {
	for range 50 {
		w.opaque("bob")
	}
}

// Scope can be narrowed for an access token, and the grant keeps all of it (RFC 6749 §6).
func TestNarrowing(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token"), "scope", "read"))
	require.Equal(t, "read offline_access", b.text("scope"))
	require.Empty(t, b.text("id_token"))
	for _, scope := range []string{"read admin", "admin", " ", "read  write"} {
		w.refused(w.refresh("helpdesk", b.text("refresh_token"), "scope", scope), tokenexchange.InvalidScope, "D28")
	}
	c := w.granted(w.refresh("helpdesk", b.text("refresh_token"), "scope", ""))
	require.Equal(t, a.text("scope"), c.text("scope"))
}

// A scope that was known to be none stays none: nothing is inherited by a refresh.
func TestEmptyScopeStaysEmpty(t *testing.T) {
	w := newWorld(t)
	plain := w.x.Decide
	w.x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) { // a policy that needs no scope for a refresh token
		d, err := plain(f)
		if f.Grant == tokenexchange.GrantType {
			d.Scope = nil
		}
		d.RefreshToken, d.RefreshExpires = true, d.Expires
		return d, err
	}
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read"))
	require.Empty(t, a.text("scope"))
	b := w.granted(w.refresh("gateway", a.text("refresh_token")))
	require.Empty(t, b.text("scope"))
	require.NotNil(t, w.audit.Last().Facts.Request.Scope)
}

// What was granted is the ceiling, whatever the policy says today.
func TestNeverMoreThanGranted(t *testing.T) {
	for reason, change := range map[string]func(*tokenexchange.Decision){
		"more targets": func(d *tokenexchange.Decision) { d.Audience = append(d.Audience, down) },
		"more scope":   func(d *tokenexchange.Decision) { d.Scope = append(d.Scope, "admin") },
		"other actors": func(d *tokenexchange.Decision) { d.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: "eve"} },
		"another type": func(d *tokenexchange.Decision) { d.Type = jwt },
		"somebody":     func(d *tokenexchange.Decision) { d.Subject.Tenant = orgB },
	} {
		w := newWorld(t)
		a := w.delegated()
		plain := w.x.Decide
		w.x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
			d, err := plain(f)
			change(&d)
			return d, err
		}
		w.refused(w.refresh("helpdesk", a.text("refresh_token")), tokenexchange.InvalidGrant, reason)
		w.x.Decide = plain
		w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	}
	// A default that was added since is more, too.
	w := newWorld(t)
	a := w.delegated()
	rules := usualRules()
	rules[1].DefaultTargets = []string{api, down}
	w.setRules(rules...)
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	require.Equal(t, api, w.introspect("helpdesk", b.text("access_token"))["aud"])
}

// An organisation that was selected by target is selected again, or its border would be lost (D24).
func TestTenantIsSelectedAgain(t *testing.T) {
	for _, target := range [][]string{{orgB}, {orgB, api}, {down, orgB}} {
		w := newWorld(t)
		var more []string
		for _, name := range target {
			more = append(more, "audience", name)
		}
		a := w.granted(w.exchange("gateway", w.opaque("alice"), access, append(more, "scope", "read offline_access")...))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
		aud := w.audit.Last().Decision.Audience
		b := w.granted(w.refresh("gateway", a.text("refresh_token")))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
		require.Equal(t, aud, w.audit.Last().Decision.Audience)
		w.people.Add(tokenexchange.Subject{Identity: alice, Scope: tokenexchange.Scope{"read", "offline_access"}, Tenants: []string{orgA}})
		w.refused(w.refresh("gateway", b.text("refresh_token")), tokenexchange.InvalidTarget, "D24")
	}
}

// A grant that is bound to a key is refreshed with a key, by a public client with the same.
func TestBoundGrant(t *testing.T) {
	key, another := tokenexchange.Confirmation{JKT: "key"}, tokenexchange.Confirmation{JKT: "another"}
	for _, row := range []struct {
		client string
		proof  tokenexchange.Confirmation
		cause  string
	}{
		{"gateway", key, ""}, {"gateway", another, ""}, {"gateway", tokenexchange.Confirmation{}, "D30"},
		{"phone", key, ""}, {"phone", another, "D30"}, {"phone", tokenexchange.Confirmation{}, "D30"},
		{"phone", tokenexchange.Confirmation{X5T: "key"}, "D30"},
	} {
		w := newWorld(t)
		c := w.client[row.client]
		c.Confirmation = key
		w.client[row.client] = c
		a := w.granted(w.exchange(row.client, w.opaque("alice"), access, "scope", "read offline_access"))
		require.Equal(t, map[string]any{"jkt": "key"}, w.introspect("api", a.text("access_token"))["cnf"], row.client)
		c.Confirmation = row.proof
		w.client[row.client] = c
		b := w.refresh(row.client, a.text("refresh_token"))
		if row.cause != "" {
			w.refused(b, tokenexchange.InvalidGrant, row.cause)
			continue
		}
		require.Equal(t, "DPoP", w.granted(b).text("token_type"))
	}
}

// What the form may say (R02, R04), each refusal in the audit trail, the token in none.
func TestRefreshForm(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	value := a.text("refresh_token")
	last := value[:len(value)-1] + string(value[len(value)-1]^1)
	for _, row := range []struct {
		token string
		more  []string
		code  tokenexchange.Code
		cause string
	}{
		{"", nil, tokenexchange.InvalidRequest, "R03"},
		{value, []string{"scope", "read", "scope", "read"}, tokenexchange.InvalidRequest, "R04"},
		{value, []string{"refresh_token", value}, tokenexchange.InvalidRequest, "R04"},
		{value, []string{"audience", api}, tokenexchange.InvalidTarget, "R04"},
		{value, []string{"resource", api}, tokenexchange.InvalidTarget, "R04"},
		{value, []string{"authorization_details", "[]"}, tokenexchange.InvalidAuthorizationDetails, "R04"},
		{a.text("access_token"), nil, tokenexchange.InvalidGrant, "not an opaque token of this type"},
		{a.text("id_token"), nil, tokenexchange.InvalidGrant, "not an opaque token of this type"},
		{value[:len(value)-1], nil, tokenexchange.InvalidGrant, "not an opaque"},
		{value + "A", nil, tokenexchange.InvalidGrant, "not an opaque"},
		{"at_" + value[3:], nil, tokenexchange.InvalidGrant, "not an opaque"},
		{"RT_" + value[3:], nil, tokenexchange.InvalidGrant, "not an opaque"},
		{last, nil, tokenexchange.InvalidGrant, "unknown"},
		{strings.ToUpper(value), nil, tokenexchange.InvalidGrant, ""},
		{w.minted(refresh), nil, tokenexchange.InvalidGrant, "no exchange"},
	} {
		form := append([]string{}, row.more...)
		b := w.refresh("helpdesk", row.token, form...)
		require.Equal(t, string(row.code), b.text("error"), "%v", row)
		if row.cause != "" {
			w.refused(b, row.code, row.cause)
		}
	}
	direct := func(form map[string][]string) error {
		_, err := w.tokens.Refresh(t.Context(), w.x, w.client["helpdesk"], form)
		return err
	}
	require.ErrorIs(t, direct(map[string][]string{"refresh_token": {value}}), tokenexchange.InvalidRequest)
	require.ErrorIs(t, direct(map[string][]string{"refresh_token": {value}, "grant_type": {"password"}}), tokenexchange.UnsupportedGrantType)
	require.ErrorIs(t, direct(map[string][]string{"refresh_token": {value, value}, "grant_type": {"refresh_token"}}), tokenexchange.InvalidRequest)
	for _, ev := range w.audit.Events() {
		if ev.Err != nil {
			require.NotContains(t, ev.Err.Error(), value)
		}
	}
	require.Greater(t, len(w.audit.Events()), 15)
	w.granted(w.refresh("helpdesk", value, "scope", "", "resource", "", "unknown", "x"))
}

// minted is a refresh token of helpdesk that the host has made for a login.
func (w *world) minted(kind tokenexchange.TokenType) string {
	tok := w.login("alice")
	tok.Type, tok.ClientID = kind, "helpdesk"
	t, err := w.tokens.Mint(w.Context(), tok)
	require.NoError(w, err)
	return t.Value
}

// A refresh that could not be recorded uses nothing up (I06).
func TestRefreshIsDiscarded(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	w.audit.Fail(errBroken)
	require.Equal(t, 500, w.refresh("helpdesk", a.text("refresh_token")).status)
	w.audit.Fail(nil)
	w.granted(w.refresh("helpdesk", a.text("refresh_token")))
}

// An issuer of the host may stand between, and an Exchanger that issues elsewhere is noticed.
func TestRefreshThroughAnotherIssuer(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	y := *w.x
	y.Tokens = issuerFunc(w.tokens.IssueToken)
	form := map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {a.text("refresh_token")}}
	resp, err := w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.NoError(t, err)
	form["refresh_token"][0] = resp.RefreshToken
	y.Tokens = issuerFunc(func(context.Context, tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
		return tokenexchange.IssuedToken{Value: "v", ID: "1", Expires: w.clock().Add(time.Minute),
			IDToken: "i", RefreshToken: "r", RefreshExpires: w.clock().Add(time.Minute)}, nil
	})
	resp, err = w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.ErrorContains(t, err, "does not issue with these Tokens")
	require.Empty(t, resp)
	other := *w.tokens
	y.Tokens = &other
	_, err = w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.ErrorContains(t, err, "outside of Refresh")
}

type issuerFunc func(context.Context, tokenexchange.Decision) (tokenexchange.IssuedToken, error)

func (f issuerFunc) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	return f(ctx, d)
}

// A refresh token can be exchanged where the host has switched that on (D28, Z06), by its client, until it is rotated out.
func TestRefreshTokenAsSubject(t *testing.T) {
	w := newWorld(t)
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read offline_access"))
	value := a.text("refresh_token")
	b := w.granted(w.exchange("gateway", value, refresh, "scope", "read"))
	w.refused(w.exchange("other", value, refresh, "scope", "read"), tokenexchange.InvalidRequest, "another client")
	for _, declared := range []tokenexchange.TokenType{access, jwt, idToken, ticket} {
		require.Equal(t, "invalid_request", w.exchange("gateway", value, declared, "scope", "read").text("error"))
	}
	c := w.granted(w.refresh("gateway", value))
	require.True(t, w.active(b.text("access_token")))
	w.refused(w.exchange("gateway", value, refresh, "scope", "read"), tokenexchange.InvalidRequest, "used twice")
	for _, x := range []answer{a, b, c} {
		require.False(t, w.active(x.text("access_token")))
	}
	delete(w.x.Verify, refresh)
	w.refused(w.exchange("gateway", c.text("refresh_token"), refresh), tokenexchange.InvalidRequest, "not supported")
}

// Of the claims of the tokens that were exchanged, a refresh keeps those that the host names.
func TestKeep(t *testing.T) {
	for _, keep := range [][]string{nil, {"email"}, {"nickname"}} {
		w := newWorld(t)
		w.tokens.Keep = keep
		seen, decide := "", w.x.Decide
		w.x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
			seen = string(f.Subject.Token.Claims)
			return decide(f)
		}
		value := w.minter.AccessToken(tokenexchangetest.Claims{Subject: "alice", Client: "webapp", Audience: []string{api},
			Scope: tokenexchange.Scope{"read", "offline_access"}, Now: w.clock(), Lifetime: 2 * time.Hour, Extra: map[string]any{"jti": "1", "email": "alice@example.org"}})
		tok, err := tokenexchange.ParseToken(payload(t, value))
		require.NoError(t, err)
		tok.Type, tok.Kind = access, tokenexchange.KindUser
		require.NoError(t, w.tokens.Record(t.Context(), tok))
		a := w.granted(w.exchange("gateway", value, access, "scope", "read offline_access"))
		require.Contains(t, seen, "alice@example.org")
		require.Equal(t, slices.Contains(keep, "email"), strings.Contains(w.store.committed(), "alice@example.org"))
		w.granted(w.refresh("gateway", a.text("refresh_token")))
		want := ""
		if slices.Contains(keep, "email") {
			want = `{"email":"alice@example.org"}`
		}
		require.Equal(t, want, seen)
	}
}
