package tokenstore_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// delegated is an exchange with an actor, an ID token and a refresh token.
func (w *world) delegated(more ...string) answer {
	w.Helper()
	form := append([]string{"scope", "read write openid offline_access"}, more...)
	return w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"), form...))
}

// A refresh issues a new refresh token and a new ID token, and keeps act, subject, targets and
// scope.
func TestRotation(t *testing.T) {
	for _, kind := range []tx.TokenType{access, jwt} {
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
			for _, name := range []string{
				"sub", "act", "aud", "scope", "client_id", "auth_time", "acr",
			} {
				require.Equal(t, first[name], again[name], name)
				require.NotEmpty(t, again[name], name)
			}
			require.True(t, w.active(a.text("access_token")), "an earlier access token stays live")
			a = b
		}
		require.Equal(t, "refresh_token", w.audit.Last().Facts.Grant)
		require.Equal(t, "bob", w.audit.Last().Facts.Actor.ID)
	}
}

// A refresh token that is used twice ends its grant, and the tokens of the first use with it.
func TestReuse(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	c := w.granted(w.refresh("helpdesk", b.text("refresh_token")))
	w.refused(w.refresh("other", a.text("refresh_token")), tx.InvalidGrant,
		"refresh_token_other_client")
	require.True(t, w.active(c.text("access_token")), "another client cannot end the grant")
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tx.InvalidGrant,
		"refresh_token_reused")
	for _, x := range []answer{a, b, c} {
		require.False(t, w.active(x.text("access_token")))
		w.refused(w.refresh("helpdesk", x.text("refresh_token")), tx.InvalidGrant, "token_revoked")
	}
}

// Of several requests with the same refresh token one succeeds, and then the whole grant ends.
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

// The same race in one goroutine: another request commits between the lookup and the commit.
func TestRefreshRace_Loser(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	var winner tx.Response
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		w.store.commit = nil
		var err error
		winner, err = w.tokens.Refresh(t.Context(), w.x, w.client["helpdesk"],
			refreshForm(a.text("refresh_token")))
		require.NoError(t, err)
		require.True(t, w.active(winner.AccessToken))
		return w.store.Store.Commit(ctx, now, b)
	}
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tx.InvalidGrant,
		"refresh_token_reused")
	require.False(t, w.active(winner.AccessToken))
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// A refresh is decided by today's policy and today's state (Z19, D28). A refused refresh uses
// nothing up.
func TestPolicyRunsAgain(t *testing.T) {
	withoutRefresh := usualRules()
	withoutRefresh[1].Delegate.RefreshLifetime = 0
	for name, row := range map[string]struct {
		change func(*world)
		code   tx.Code
		reason string
	}{
		"actor lost the role": {func(w *world) { w.actors.Fail(tx.InvalidRequest) },
			tx.InvalidGrant, "actor_not_authorized"},
		"user disabled": {func(w *world) { w.people.Disable(alice) },
			tx.InvalidGrant, "subject_not_resolved"},
		"actor disabled": {func(w *world) { w.people.Disable(bob) },
			tx.InvalidGrant, "actor_not_resolved"},
		"rule gone": {func(w *world) { w.setRules(usualRules()[0]) },
			tx.InvalidGrant, "rule_other_client"},
		"switch off": {func(w *world) { w.setRules(withoutRefresh...) },
			tx.InvalidScope, "scope_makes_no_token"},
		"client lost scope": {func(w *world) {
			w.client["helpdesk"] = tx.Client{ID: "helpdesk", Scope: tx.Scope{"read"}}
		}, tx.InvalidScope, "scope_not_allowed"},
		"refresh_token_other_client": {func(w *world) { w.client["helpdesk"] = w.client["other"] },
			tx.InvalidGrant, "refresh_token_other_client"},
		"subject expired": {func(w *world) { w.after(121 * time.Minute) },
			tx.InvalidGrant, "token_unknown"},
		"directory is down": {func(w *world) { w.people.Fail(errBroken) },
			tx.ServerError, "subject_not_resolved"},
		"store is down": {func(w *world) { w.store.fail = errBroken },
			tx.ServerError, ""},
		"user moved": {func(w *world) {
			moved := alice
			moved.Tenant = orgB
			w.people.Disable(alice)
			w.x.Resolver = resolver(func(tok tx.Token) (tx.Subject, error) {
				if tok.Subject == "alice" {
					return tx.Subject{Identity: moved}, nil
				}
				return w.people.ResolveSubject(context.Background(), tok)
			})
		}, tx.InvalidGrant, "grant_other_subject"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.delegated()
			before := w.client["helpdesk"]
			row.change(w)
			w.refused(w.refresh("helpdesk", a.text("refresh_token")), row.code, row.reason)
			if name == "subject expired" {
				return
			}
			w.client["helpdesk"], w.store.fail, w.x.Resolver = before, nil, w.people
			w.actors.Fail(nil)
			w.people.Fail(nil)
			all := tx.Scope{"read", "write", "openid", "offline_access"}
			w.people.Add(tx.Subject{Identity: alice, Scope: all},
				tx.Subject{Identity: bob, Scope: all})
			w.setRules(usualRules()...)
			w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		})
	}
}

type resolver func(tx.Token) (tx.Subject, error)

func (r resolver) ResolveSubject(_ context.Context, tok tx.Token) (tx.Subject, error) {
	return r(tok)
}

// A refresh is refused after an exchanged token has expired, unless today's rule lets the grant
// outlive it, and always after such a token is revoked.
func TestOutlivedInputs(t *testing.T) {
	w := newWorld(t)
	rules := usualRules()
	rules[1].Delegate.OutliveSubject, rules[1].Delegate.OutliveActor = true, true
	w.setRules(rules...)
	until := w.clock().Add(48 * time.Hour)
	all := tx.Scope{"read", "write", "openid", "offline_access"}
	w.people.Add(tx.Subject{Identity: alice, Scope: all, Until: until},
		tx.Subject{Identity: bob, Scope: all, Until: until})
	session := tokenstore.KeyOf("session", issuer, "s1")
	a := w.granted(w.actFor(w.opaque("alice", session), w.opaque("bob"),
		"scope", "read offline_access"))
	for range 4 {
		w.after(11 * time.Hour)
		a = w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		w.churn()
	}
	require.NoError(t, w.store.Revoke(t.Context(), w.clock(), session, w.clock()))
	require.False(t, w.active(a.text("access_token")), "the store still knows the session")
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tx.InvalidGrant, "token_revoked")
}

// churn makes other tokens, so that the store removes what has expired.
func (w *world) churn() {
	for range 50 {
		w.opaque("bob")
	}
}

// A refresh can narrow the scope of the access token, and the grant keeps its scope (RFC 6749 §6).
func TestNarrowing(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token"), "scope", "read"))
	require.Equal(t, "read offline_access", b.text("scope"))
	require.Empty(t, b.text("id_token"))
	for scope, reason := range map[string]string{
		"read admin": "grant_other_scope", "admin": "grant_other_scope",
		" ": "parameter_malformed", "read  write": "parameter_malformed",
	} {
		again := w.refresh("helpdesk", b.text("refresh_token"), "scope", scope)
		w.refused(again, tx.InvalidScope, reason)
	}
	c := w.granted(w.refresh("helpdesk", b.text("refresh_token"), "scope", ""))
	require.Equal(t, a.text("scope"), c.text("scope"))
}

// A refresh of a grant with an empty scope has an empty scope.
func TestEmptyScopeStaysEmpty(t *testing.T) {
	w := newWorld(t)
	plain := w.x.Decide
	w.x.Decide = func(f tx.Facts) (tx.Decision, error) { // issues refresh tokens for any scope
		d, err := plain(f)
		if f.Grant == tx.GrantType {
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

// A refresh never issues more than was granted, even if today's policy allows more.
func TestNeverMoreThanGranted(t *testing.T) {
	for reason, change := range map[string]func(*tx.Decision){
		"grant_other_target": func(d *tx.Decision) { d.Audience = append(d.Audience, down) },
		"grant_other_scope":  func(d *tx.Decision) { d.Scope = append(d.Scope, "admin") },
		"grant_other_actor": func(d *tx.Decision) {
			d.Actor = &tx.Actor{Issuer: issuer, Subject: "eve"}
		},
		"grant_other_type":    func(d *tx.Decision) { d.Type = jwt },
		"grant_other_subject": func(d *tx.Decision) { d.Subject.Tenant = orgB },
	} {
		w := newWorld(t)
		a := w.delegated()
		plain := w.x.Decide
		w.x.Decide = func(f tx.Facts) (tx.Decision, error) {
			d, err := plain(f)
			change(&d)
			return d, err
		}
		w.refused(w.refresh("helpdesk", a.text("refresh_token")), tx.InvalidGrant, reason)
		w.x.Decide = plain
		w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	}
	// A default target that the policy has now, and had not then, is more too.
	w := newWorld(t)
	a := w.delegated()
	rules := usualRules()
	rules[1].DefaultTargets = []string{api, down}
	w.setRules(rules...)
	b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	require.Equal(t, api, w.introspect("helpdesk", b.text("access_token"))["aud"])
}

// A refresh selects the same organisation as the exchange, if a target selected it (D24).
func TestTenantIsSelectedAgain(t *testing.T) {
	for _, target := range [][]string{{orgB}, {orgB, api}, {down, orgB}} {
		w := newWorld(t)
		var more []string
		for _, name := range target {
			more = append(more, "audience", name)
		}
		more = append(more, "scope", "read offline_access")
		a := w.granted(w.exchange("gateway", w.opaque("alice"), access, more...))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
		aud := w.audit.Last().Decision.Audience
		b := w.granted(w.refresh("gateway", a.text("refresh_token")))
		require.Equal(t, orgB, w.audit.Last().Decision.Subject.Tenant)
		require.Equal(t, aud, w.audit.Last().Decision.Audience)
		w.people.Add(tx.Subject{Identity: alice, Tenants: []string{orgA},
			Scope: tx.Scope{"read", "offline_access"}})
		w.refused(w.refresh("gateway", b.text("refresh_token")), tx.InvalidTarget,
			"target_not_allowed")
	}
}

// A refresh of a grant that is bound to a key needs a key, and for a public client the same key.
func TestBoundGrant(t *testing.T) {
	key, another := tx.Confirmation{JKT: "key"}, tx.Confirmation{JKT: "another"}
	for _, row := range []struct {
		client string
		proof  tx.Confirmation
		ok     bool
	}{
		{"gateway", key, true}, {"gateway", another, true}, {"gateway", tx.Confirmation{}, false},
		{"phone", key, true}, {"phone", another, false}, {"phone", tx.Confirmation{}, false},
		{"phone", tx.Confirmation{X5T: "key"}, false},
	} {
		w := newWorld(t)
		c := w.client[row.client]
		c.Confirmation = key
		w.client[row.client] = c
		a := w.granted(w.exchange(row.client, w.opaque("alice"), access,
			"scope", "read offline_access"))
		cnf := w.introspect("api", a.text("access_token"))["cnf"]
		require.Equal(t, map[string]any{"jkt": "key"}, cnf, row.client)
		c.Confirmation = row.proof
		w.client[row.client] = c
		b := w.refresh(row.client, a.text("refresh_token"))
		if !row.ok {
			w.refused(b, tx.InvalidGrant, "grant_key_not_proved")
			continue
		}
		require.Equal(t, "DPoP", w.granted(b).text("token_type"))
	}
}

// A malformed refresh is refused (R02, R04). The audit trail has every refusal, without the token.
func TestRefreshForm(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	value := a.text("refresh_token")
	last := value[:len(value)-1] + string(value[len(value)-1]^1)
	for _, row := range []struct {
		token  string
		more   []string
		code   tx.Code
		reason string
	}{
		{"", nil, tx.InvalidRequest, "parameter_missing"},
		{value, []string{"scope", "read", "scope", "read"}, tx.InvalidRequest,
			"parameter_repeated"},
		{value, []string{"refresh_token", value}, tx.InvalidRequest, "parameter_repeated"},
		{value, []string{"audience", api}, tx.InvalidTarget, "refresh_with_target"},
		{value, []string{"resource", api}, tx.InvalidTarget, "refresh_with_target"},
		{value, []string{"authorization_details", "[]"}, tx.InvalidAuthorizationDetails,
			"authorization_details_not_supported"},
		{a.text("access_token"), nil, tx.InvalidGrant, "not_an_opaque_token"},
		{a.text("id_token"), nil, tx.InvalidGrant, "not_an_opaque_token"},
		{value[:len(value)-1], nil, tx.InvalidGrant, "not_an_opaque_token"},
		{value + "A", nil, tx.InvalidGrant, "not_an_opaque_token"},
		{"at_" + value[3:], nil, tx.InvalidGrant, "not_an_opaque_token"},
		{"RT_" + value[3:], nil, tx.InvalidGrant, "not_an_opaque_token"},
		{last, nil, tx.InvalidGrant, "token_unknown"},
		{strings.ToUpper(value), nil, tx.InvalidGrant, "not_an_opaque_token"},
		{w.minted(refresh), nil, tx.InvalidGrant, "refresh_token_not_exchanged"},
	} {
		form := append([]string{}, row.more...)
		b := w.refresh("helpdesk", row.token, form...)
		w.refused(b, row.code, row.reason)
	}
	direct := func(change func(url.Values)) error {
		form := refreshForm(value)
		change(form)
		_, err := w.tokens.Refresh(t.Context(), w.x, w.client["helpdesk"], form)
		return err
	}
	require.ErrorIs(t, direct(func(f url.Values) { f.Del("grant_type") }), tx.InvalidRequest)
	require.ErrorIs(t, direct(func(f url.Values) { f.Set("grant_type", "password") }),
		tx.UnsupportedGrantType)
	require.ErrorIs(t, direct(func(f url.Values) { f.Add("refresh_token", value) }),
		tx.InvalidRequest)
	for _, ev := range w.audit.Events() {
		if ev.Err != nil {
			require.NotContains(t, ev.Err.Error(), value)
		}
	}
	require.Greater(t, len(w.audit.Events()), 15)
	w.granted(w.refresh("helpdesk", value, "scope", "", "resource", "", "unknown", "x"))
}

// minted returns a token of helpdesk that the host has minted for a login.
func (w *world) minted(kind tx.TokenType) string {
	tok := w.login("alice")
	tok.Type, tok.ClientID = kind, "helpdesk"
	t, err := w.tokens.Mint(w.Context(), tok)
	require.NoError(w, err)
	return t.Value
}

// A refresh that could not be audited uses nothing up (I06).
func TestRefreshIsDiscarded(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	w.audit.Fail(errBroken)
	require.Equal(t, 500, w.refresh("helpdesk", a.text("refresh_token")).status)
	w.audit.Fail(nil)
	w.granted(w.refresh("helpdesk", a.text("refresh_token")))
}

// An issuer of the host may call IssueToken. An Exchanger with other Tokens is an error.
func TestRefreshThroughAnotherIssuer(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	y := *w.x
	y.TokenIssuer = issuerFunc(w.tokens.IssueToken)
	form := refreshForm(a.text("refresh_token"))
	resp, err := w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.NoError(t, err)
	form["refresh_token"][0] = resp.RefreshToken
	y.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
		return tx.IssuedToken{Value: "v", ID: "1", Expires: w.clock().Add(time.Minute),
			IDToken: "i", RefreshToken: "r", RefreshExpires: w.clock().Add(time.Minute)}, nil
	})
	resp, err = w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.ErrorContains(t, err, "call IssueToken of these Tokens")
	require.Empty(t, resp)
	other := *w.tokens
	y.TokenIssuer = &other
	_, err = w.tokens.Refresh(t.Context(), &y, w.client["helpdesk"], form)
	require.ErrorContains(t, err, "needs Tokens.Refresh")
}

type issuerFunc func(context.Context, tx.Decision) (tx.IssuedToken, error)

func (f issuerFunc) IssueToken(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
	return f(ctx, d)
}

// A client can exchange its refresh token until it is rotated out, if the host allows it (D28,
// Z06).
func TestRefreshTokenAsSubject(t *testing.T) {
	w := newWorld(t)
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read offline_access"))
	value := a.text("refresh_token")
	b := w.granted(w.exchange("gateway", value, refresh, "scope", "read"))
	w.refused(w.exchange("other", value, refresh, "scope", "read"),
		tx.InvalidRequest, "refresh_token_other_client")
	for _, declared := range []tx.TokenType{access, jwt, idToken, ticket} {
		again := w.exchange("gateway", value, declared, "scope", "read")
		require.Equal(t, "invalid_request", again.text("error"))
	}
	c := w.granted(w.refresh("gateway", value))
	require.True(t, w.active(b.text("access_token")))
	w.refused(w.exchange("gateway", value, refresh, "scope", "read"),
		tx.InvalidRequest, "refresh_token_reused")
	for _, x := range []answer{a, b, c} {
		require.False(t, w.active(x.text("access_token")))
	}
	delete(w.x.Verify, refresh)
	w.refused(w.exchange("gateway", c.text("refresh_token"), refresh),
		tx.InvalidRequest, "parameter_not_supported")
}

// A grant records the claims of the exchanged tokens that the host names, and no others.
func TestKeep(t *testing.T) {
	for _, keep := range [][]string{nil, {"email"}, {"nickname"}} {
		w := newWorld(t)
		w.tokens.Keep = keep
		seen, decide := "", w.x.Decide
		w.x.Decide = func(f tx.Facts) (tx.Decision, error) {
			seen = string(f.Subject.Token.Claims)
			return decide(f)
		}
		const email = "alice@example.org"
		value := w.minter.AccessToken(tokenexchangetest.Claims{Subject: "alice",
			Client: "webapp", Audience: []string{api}, Now: w.clock(), Lifetime: 2 * time.Hour,
			Scope: tx.Scope{"read", "offline_access"},
			Extra: map[string]any{"jti": "1", "email": email}})
		tok, err := tx.ParseToken(payload(t, value))
		require.NoError(t, err)
		tok.Type, tok.Kind = access, tx.KindUser
		require.NoError(t, w.tokens.Record(t.Context(), tok))
		a := w.granted(w.exchange("gateway", value, access, "scope", "read offline_access"))
		require.Contains(t, seen, email)
		recorded := strings.Contains(w.store.committed(), email)
		require.Equal(t, slices.Contains(keep, "email"), recorded)
		w.granted(w.refresh("gateway", a.text("refresh_token")))
		want := ""
		if slices.Contains(keep, "email") {
			want = `{"email":"alice@example.org"}`
		}
		require.Equal(t, want, seen)
	}
}
