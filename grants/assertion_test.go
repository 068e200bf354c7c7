package grants_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// assert is an assertion about somebody, good unless changed; nil removes a claim.
func (w *world) assert(m *tokenexchangetest.Minter, iss, sub string, change map[string]any) string {
	claims := map[string]any{"iss": iss, "sub": sub, "aud": issuer, "iat": w.now.Unix(),
		"exp": w.now.Add(time.Minute).Unix(),
		"jti": fmt.Sprint("jti-", sub)}
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return m.Sign("JWT", claims)
}

// bearer is the form of the grant.
func bearer(assertion string, more ...string) url.Values {
	form := url.Values{"grant_type": {grants.GrantJWTBearer}, "assertion": {assertion}}
	for i := 0; i < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return form
}

func (w *world) redeem(at string, form url.Values) (tokenexchange.Response, error) {
	return w.assertions.Exchange(w.Context(), w.x, client(at), form)
}

// tokenOf is what an opaque token says.
func (w *world) tokenOf(r tokenexchange.Response) tokenexchange.Token {
	tok, err := w.tokens.VerifyToken(w.Context(),
		tokenexchange.Credential{Token: r.AccessToken, Type: tokenexchange.TypeAccessToken,
			Issuer: issuer, Now: w.now})
	require.NoError(w, err)
	return tok
}

// C03: the linked user of another issuer, by the word of that issuer.
func TestAssertions_ForeignIssuer(t *testing.T) {
	w := newWorld(t)
	got, err := w.redeem("portal",
		bearer(w.assert(w.partner, partner, "p-1", nil), "scope", "read write", "audience", down))
	require.NoError(t, err)
	tok := w.tokenOf(got)
	require.Equal(t, "alice", tok.Subject, "D19: an identity of this server")
	require.Equal(t, tokenexchange.Scope{"read", "write"}, tok.Scope, "scope by policy")
	require.Equal(t, []string{down}, tok.Audience)
	require.Equal(t, "portal", tok.ClientID)
	require.Nil(t, tok.Actor)
	require.EqualValues(t, 600, got.ExpiresIn,
		"D25: the expiry of an assertion limits its presenting only")
	ev := w.audit.Last()
	require.Len(t, w.audit.Events(), 1)
	require.Equal(t, []string{grants.GrantJWTBearer, "assertion", partner},
		[]string{ev.Facts.Grant, ev.Decision.Rule, ev.Facts.Subject.Token.Issuer})
	require.Len(t, w.actors.Asked(), 1, "D11: the client is asked about")
}

// C03: a client's own word about a user. What it says of scope is nothing.
func TestAssertions_OwnKey(t *testing.T) {
	w := newWorld(t)
	got, err := w.redeem("robot",
		bearer(w.assert(w.robot, "robot", "alice", map[string]any{"scope": "admin"}), "scope",
			"read"))
	require.NoError(t, err)
	require.Equal(t, tokenexchange.Scope{"read"}, w.tokenOf(got).Scope)
	_, err = w.redeem("portal",
		bearer(w.assert(w.robot, "robot", "alice", map[string]any{"jti": "2"})))
	w.refused(err, tokenexchange.InvalidGrant, "client_signed_other_client")
}

// D06, D22: an assertion that states a scope never counts as one without: Subject.Scope does not
// take the place of a scope that means nothing here or cannot be read.
func TestAssertions_StatedScope(t *testing.T) {
	type claims = map[string]any
	read, all := tokenexchange.Scope{"read"}, tokenexchange.Scope{"read", "write"}
	none := tokenexchange.Scope{}
	for name, row := range map[string]struct {
		claims  claims
		granted tokenexchange.Scope // of read and write
	}{
		"no scope":               {claims{}, all},
		"mapped":                 {claims{"scope": "orders.read"}, read},
		"mapped and not mapped":  {claims{"scope": "orders.read write"}, read},
		"not mapped":             {claims{"scope": "read write"}, none},
		"empty":                  {claims{"scope": ""}, none},
		"array":                  {claims{"scope": []string{"orders.read"}}, none},
		"number":                 {claims{"scope": 7}, none},
		"null":                   {claims{"scope": json.RawMessage("null")}, none},
		"trailing blank":         {claims{"scope": "orders.read "}, none},
		"scp, a string":          {claims{"scp": "orders.read"}, read},
		"scp, an array":          {claims{"scp": []string{"orders.read", "write"}}, read},
		"scp, not mapped":        {claims{"scp": []string{"read", "write"}}, none},
		"scp, an empty array":    {claims{"scp": []string{}}, none},
		"scp, a trailing blank":  {claims{"scp": "orders.read "}, none},
		"scp, not only strings":  {claims{"scp": []any{"orders.read", 7}}, none},
		"scp, a number":          {claims{"scp": 7}, none},
		"scope before scp":       {claims{"scope": "x", "scp": "orders.read"}, none},
		"a bad scope before scp": {claims{"scope": 7, "scp": "orders.read"}, none},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			trust := w.assertionTrust(w.partner)
			trust.Scopes = map[string]tokenexchange.Scope{"orders.read": {"read"}}
			w.assertions.Verify = w.verifier(trust, w.assertionTrust(w.robot)).Verify
			granted := tokenexchange.Scope{}
			for _, wanted := range all {
				said := maps.Clone(row.claims)
				said["jti"] = wanted
				form := bearer(w.assert(w.partner, partner, "p-1", said), "scope", wanted)
				got, err := w.redeem("portal", form)
				if err != nil {
					w.refused(err, tokenexchange.InvalidScope, "scope_not_allowed")
					continue
				}
				granted = append(granted, w.tokenOf(got).Scope...)
			}
			require.Equal(t, row.granted, granted)

			// A client's own word about scope is dropped, whatever it is.
			form := bearer(w.assert(w.robot, "robot", "alice", row.claims), "scope", "read")
			got, err := w.redeem("robot", form)
			require.NoError(t, err)
			require.Equal(t, read, w.tokenOf(got).Scope)
		})
	}
}

// RFC 7523 §3, R13: an assertion that is not good is invalid_grant, with a reason inside and
// without the assertion.
func TestAssertions_NotGood(t *testing.T) {
	minute := func(w *world, n int) int64 {
		return w.now.Add(time.Duration(n) * time.Minute).Unix()
	}
	for name, row := range map[string]struct {
		claims func(*world) map[string]any
		reason string
	}{
		"no aud": {
			func(*world) map[string]any { return map[string]any{"aud": nil} }, "aud_missing"},
		"another aud": {
			func(*world) map[string]any {
				return map[string]any{"aud": "https://elsewhere.example"}
			}, "assertion_for_others"},
		"two aud": {
			func(*world) map[string]any { return map[string]any{"aud": []string{issuer, partner}} },
			"assertion_for_others"},
		"the token endpoint": {
			func(*world) map[string]any { return map[string]any{"aud": issuer + "/token"} },
			"assertion_for_others"},
		"no exp": {
			func(*world) map[string]any { return map[string]any{"exp": nil} }, "exp_missing"},
		"expired": {
			func(w *world) map[string]any { return map[string]any{"exp": minute(w, 0)} },
			"token_expired"},
		"expired an hour ago": {
			func(w *world) map[string]any { return map[string]any{"exp": minute(w, -60)} },
			"token_expired"},
		"good for too long from now": {
			func(w *world) map[string]any {
				return map[string]any{"exp": minute(w, 6), "iat": nil}
			}, "assertion_valid_too_long"},
		"good for too long from iat": {
			func(w *world) map[string]any { return map[string]any{"iat": minute(w, -5)} },
			"assertion_valid_too_long"},
		"no jti": {
			func(*world) map[string]any { return map[string]any{"jti": nil} },
			"assertion_without_jti"},
		"nobody": {
			func(*world) map[string]any { return map[string]any{"sub": nil} }, "sub_missing"},
		"not yet": {
			func(w *world) map[string]any { return map[string]any{"nbf": minute(w, 2)} },
			"token_not_yet_valid"},
		"issued in the future": {
			func(w *world) map[string]any { return map[string]any{"iat": minute(w, 2)} },
			"token_issued_in_future"},
		"about the issuer": {
			func(*world) map[string]any { return map[string]any{"sub": partner} },
			"client_assertion"},
		"an account without a link": {
			func(*world) map[string]any { return map[string]any{"sub": "p-2"} },
			"subject_not_resolved"},
		"our own id at another issuer": {
			func(*world) map[string]any { return map[string]any{"sub": "alice"} },
			"subject_not_resolved"},
		"an issuer that nobody knows": {
			func(*world) map[string]any { return map[string]any{"iss": "https://x.example"} },
			"issuer_not_trusted"},
		"under the name of another": {
			func(*world) map[string]any { return map[string]any{"iss": "robot"} },
			"signature_not_valid"},
		"D06 act of an unbelieved issuer": {
			func(*world) map[string]any {
				return map[string]any{"act": map[string]any{"sub": "bob"}}
			}, "act_not_believed"},
		"D06 may_act": {
			func(*world) map[string]any {
				return map[string]any{"may_act": map[string]any{"sub": "bob"}}
			}, "act_not_believed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			assertion := w.assert(w.partner, partner, "p-1", row.claims(w))
			got, err := w.redeem("portal", bearer(assertion, "scope", "read"))
			w.refused(err, tokenexchange.InvalidGrant, row.reason, assertion,
				assertion[strings.LastIndexByte(assertion, '.')+1:])
			require.Equal(t, tokenexchange.Response{}, got)
			require.Len(t, w.audit.Events(), 1, "I07")
			require.Zero(t, w.live())
		})
	}
}

// An issuer may write the token endpoint as aud where its configuration says so, and no other may.
func TestAssertions_TokenEndpointAsAudience(t *testing.T) {
	w := newWorld(t)
	w.assertions.Audience = map[string]string{partner: issuer + "/token"}
	aud := map[string]any{"aud": issuer + "/token"}
	_, err := w.redeem("portal", bearer(w.assert(w.partner, partner, "p-1", aud)))
	require.NoError(t, err)
	_, err = w.redeem("robot", bearer(w.assert(w.robot, "robot", "alice", aud)))
	w.refused(err, tokenexchange.InvalidGrant, "assertion_for_others")
	_, err = w.redeem("portal",
		bearer(w.assert(w.partner, partner, "p-1", map[string]any{"aud": "", "jti": "2"})))
	w.refused(err, tokenexchange.InvalidGrant, "claims_malformed")
}

// The lifetime is a setting, to the second.
func TestAssertions_Longest(t *testing.T) {
	for name, row := range map[string]struct {
		longest time.Duration
		seconds int
		good    bool
	}{
		"the usual":          {0, 300, true},
		"beyond the usual":   {0, 301, false},
		"a setting":          {time.Hour, 3600, true},
		"beyond the setting": {time.Hour, 3601, false},
		"a shorter one":      {time.Minute, 61, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.assertions.Longest = row.longest
			_, err := w.redeem("portal",
				bearer(w.assert(w.partner, partner, "p-1",
					map[string]any{"exp": w.now.Unix() + int64(row.seconds)})))
			require.Equal(t, row.good, err == nil, "%v", err)
		})
	}
}

// A verifier of the host may look at less than ours. What this door stands for is looked at here.
func TestAssertions_LaxVerifier(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*tokenexchange.Token)
		reason string
	}{
		"another type": {func(tok *tokenexchange.Token) { tok.Type = tokenexchange.TypeJWT },
			"not_an_assertion"},
		"our own": {func(tok *tokenexchange.Token) { tok.Issuer = issuer },
			"assertion_issuer_not_accepted"},
		"no issuer": {func(tok *tokenexchange.Token) { tok.Issuer = "" },
			"assertion_issuer_not_accepted"},
		"no expiry": {func(tok *tokenexchange.Token) { tok.Expires = time.Time{} },
			"assertion_expired"},
		"expired": {func(tok *tokenexchange.Token) { tok.Expires = tok.Issued },
			"assertion_expired"},
		"two audiences": {
			func(tok *tokenexchange.Token) { tok.Audience = []string{issuer, issuer} },
			"assertion_for_others"},
		"no audience": {func(tok *tokenexchange.Token) { tok.Audience = nil },
			"assertion_for_others"},
		"no claims": {func(tok *tokenexchange.Token) { tok.Claims = nil },
			"assertion_without_jti"},
		"another ID": {func(tok *tokenexchange.Token) { tok.ID = "x" }, "assertion_without_jti"},
		"not JSON": {
			func(tok *tokenexchange.Token) { tok.Claims = json.RawMessage(`{"jti":"jti-p-1"`) },
			"assertion_without_jti"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			verify := w.assertions.Verify
			w.assertions.Verify = func(ctx context.Context, c tokenexchange.Credential) (
				tokenexchange.Token, error) {
				require.Equal(t,
					tokenexchange.Credential{Token: c.Token, Type: typeAssertion, Issuer: issuer,
						Client: client("portal"), Now: w.now}, c)
				tok, err := verify(ctx, c)
				row.change(&tok)
				return tok, err
			}
			_, err := w.redeem("portal", bearer(w.assert(w.partner, partner, "p-1", nil)))
			w.refused(err, tokenexchange.InvalidGrant, row.reason)
		})
	}
}

// R02, R03, R04, R05, R06, R10, I01: forms, and what a malformed one is. Nothing is used up by one.
func TestAssertions_Forms(t *testing.T) {
	set := func(name string, values ...string) func(url.Values) {
		return func(f url.Values) { f[name] = values }
	}
	for name, row := range map[string]struct {
		change func(url.Values)
		code   tokenexchange.Code // empty: good
		reason string
	}{
		"good": {set("x"), "", ""},
		"R02 no grant type": {set("grant_type"), tokenexchange.InvalidRequest,
			"parameter_missing"},
		"R02 another grant type": {set("grant_type", tokenexchange.GrantType),
			tokenexchange.UnsupportedGrantType, "grant_type_not_supported"},
		"R03 no assertion": {set("assertion"), tokenexchange.InvalidRequest,
			"parameter_missing"},
		"R03 an empty assertion": {set("assertion", ""), tokenexchange.InvalidRequest,
			"parameter_missing"},
		"R04 two grant types": {
			set("grant_type", grants.GrantJWTBearer, grants.GrantJWTBearer),
			tokenexchange.InvalidRequest, "parameter_repeated"},
		"R04 an empty second assertion": {func(f url.Values) { f.Add("assertion", "") },
			tokenexchange.InvalidRequest, "parameter_repeated"},
		"R04 two scopes": {set("scope", "read", "write"),
			tokenexchange.InvalidRequest, "parameter_repeated"},
		"R04 something unknown twice": {set("x", "1", "2"), tokenexchange.InvalidRequest,
			"parameter_repeated"},
		"R04 an actor token twice": {set("actor_token", "1", "2"),
			tokenexchange.InvalidRequest, "parameter_repeated"},
		"R04 something unknown": {set("x", "1"), "", ""},
		"R04 what only an exchange knows": {
			func(f url.Values) { f.Set("actor_token", "x"); f.Set("requested_token_type", "x") },
			"", ""},
		"R04 authorization_details": {set("authorization_details", "[]"),
			tokenexchange.InvalidAuthorizationDetails, "authorization_details_not_supported"},
		"R05 a relative resource": {set("resource", "/x"), tokenexchange.InvalidTarget,
			"parameter_malformed"},
		"R05 two targets": {
			func(f url.Values) { f.Set("audience", api); f.Set("resource", down) }, "", ""},
		"R05 an audience beyond the rule": {set("audience", "https://x.example"),
			tokenexchange.InvalidTarget, "target_not_allowed"},
		"R06 a malformed scope": {set("scope", "read  write"), tokenexchange.InvalidScope,
			"parameter_malformed"},
		"R06 an empty scope": {set("scope", ""), "", ""},
		"R10 an assertion without end": {set("assertion", strings.Repeat("a", 64<<10+1)),
			tokenexchange.InvalidRequest, "parameter_too_long"},
		"R10 too many targets": {set("audience", make17()...),
			tokenexchange.InvalidTarget, "too_many_targets"},
		"D21 a scope beyond the client": {set("scope", "admin"), tokenexchange.InvalidScope,
			"scope_not_allowed"},
		"R08 no JWT": {set("assertion", "x"), tokenexchange.InvalidGrant,
			"not_a_jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			good := bearer(w.assert(w.partner, partner, "p-1", nil))
			form := maps.Clone(good)
			row.change(form)
			_, err := w.redeem("portal", form)
			if row.code == "" {
				require.NoError(t, err)
				return
			}
			w.refused(err, row.code, row.reason, good.Get("assertion"))
			require.Len(t, w.audit.Events(), 1, "I07")
			_, err = w.redeem("portal", good)
			require.NoError(t, err, "a refusal has used the assertion up")
		})
	}
}

func make17() (list []string) {
	for i := range 17 {
		list = append(list, fmt.Sprint("https://x.example/", i))
	}
	return list
}

// I01: a part that is missing refuses, and that is on record.
func TestAssertions_Zero(t *testing.T) {
	for name, change := range map[string]func(*world){
		"all":       func(w *world) { *w.assertions = grants.Assertions{} },
		"verifier":  func(w *world) { w.assertions.Verify = nil },
		"type":      func(w *world) { w.assertions.Type = "" },
		"own type":  func(w *world) { w.assertions.Type = tokenexchange.TypeJWT },
		"store":     func(w *world) { w.assertions.Store = nil },
		"issuer":    func(w *world) { w.x.TokenIssuer = nil },
		"directory": func(w *world) { w.x.Resolver = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			assertion := w.assert(w.partner, partner, "p-1", nil)
			change(w)
			_, err := w.redeem("portal", bearer(assertion))
			reason := "assertions_incomplete"
			if w.x.Resolver == nil {
				reason = "exchanger_incomplete"
			}
			w.refused(err, tokenexchange.ServerError, reason, assertion)
			require.Len(t, w.audit.Events(), 1)
		})
	}
}

// C03: an assertion is good once, whatever is asked for, and whoever asks; the ids of two issuers
// are not the same.
func TestAssertions_Once(t *testing.T) {
	w := newWorld(t)
	assertion := w.assert(w.partner, partner, "p-1", map[string]any{"jti": "x"})
	_, err := w.redeem("portal", bearer(assertion))
	require.NoError(t, err)
	for _, again := range []string{assertion,
		w.assert(w.partner, partner, "p-1", map[string]any{"jti": "x", "iat": nil})} {
		_, err = w.redeem("portal", bearer(again, "scope", "read"))
		w.refused(err, tokenexchange.InvalidGrant, "assertion_used", again)
	}
	_, err = w.redeem("robot",
		bearer(w.assert(w.robot, "robot", "alice", map[string]any{"jti": "x"})))
	require.NoError(t, err)
	w.now = w.now.Add(59 * time.Second)
	_, err = w.redeem("portal", bearer(assertion))
	w.refused(err, tokenexchange.InvalidGrant, "assertion_used", assertion)
}

func TestAssertions_OnceConcurrently(t *testing.T) {
	w := newWorld(t)
	form := bearer(w.assert(w.partner, partner, "p-1", nil))
	require.Equal(t, 1, atOnce(32, func() error {
		_, err := w.redeem("portal", form)
		return err
	}))
	require.Len(t, w.audit.Events(), 32, "I07")
}

// A client that met a failure comes again with the same assertion, and gets its one token (I06).
func TestAssertions_AfterAFailure(t *testing.T) {
	isToken := func(b tokenstore.Batch) bool { return len(b.Spend) == 0 }
	for name, row := range map[string]struct{ fail, mend func(*world) }{
		"the sink": {func(w *world) { w.audit.Fail(errors.New("disk full")) },
			func(w *world) { w.audit.Fail(nil) }},
		"the store": {func(w *world) {
			w.store.fail = func(b tokenstore.Batch) error {
				if isToken(b) {
					return errors.New("down")
				}
				return nil
			}
		}, func(w *world) { w.store.fail = nil }},
		"a panic of the issuer": {func(w *world) {
			w.tokens.MayAct = func(context.Context, tokenexchange.Decision) (
				*tokenexchange.Actor, error) {
				panic("x")
			}
		}, func(w *world) { w.tokens.MayAct = nil }},
		"an issuer beyond the decision": {func(w *world) { w.x.TokenIssuer = lateIssuer{w.tokens} },
			func(w *world) { w.x.TokenIssuer = w.tokens }},
		"an issuer without records": {
			func(w *world) { w.x.TokenIssuer = lateIssuer{w.minter.JWTIssuer()} },
			func(w *world) { w.x.TokenIssuer = w.tokens }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			form := bearer(w.assert(w.partner, partner, "p-1", nil))
			row.fail(w)
			_, err := w.redeem("portal", form)
			require.ErrorIs(t, err, tokenexchange.ServerError)
			require.NotErrorIs(t, err, tokenexchange.InvalidGrant)
			require.Zero(t, w.live(), "I06")
			row.mend(w)
			_, err = w.redeem("portal", form)
			require.NoError(t, err, "the assertion was used up for nothing")
			_, err = w.redeem("portal", form)
			w.refused(err, tokenexchange.InvalidGrant, "assertion_used")
		})
	}
}

// lateIssuer makes tokens that live longer than was decided.
type lateIssuer struct{ tokenexchange.TokenIssuer }

func (i lateIssuer) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	t, err := i.TokenIssuer.IssueToken(ctx, d)
	t.Expires = d.Expires.Add(time.Second)
	return t, err
}

// What cannot be undone stays used up: never twice.
func TestAssertions_FailureOfTheUndoing(t *testing.T) {
	w := newWorld(t)
	form := bearer(w.assert(w.partner, partner, "p-1", nil))
	w.audit.Fail(errors.New("disk full"))
	w.store.discard = errors.New("down too")
	_, err := w.redeem("portal", form)
	require.ErrorIs(t, err, tokenexchange.ServerError)
	require.ErrorContains(t, err, "down too")
}

// A store that hangs while an assertion is given back is not waited for without end.
func TestAssertions_UndoingThatHangs(t *testing.T) {
	w := newWorld(t)
	form := bearer(w.assert(w.partner, partner, "p-1", nil))
	w.tokens.MayAct = func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error) {
		return nil, errors.New("no token is made")
	}
	synctest.Test(t, func(t *testing.T) {
		w.store.hang = make(chan struct{})
		begin := time.Now()
		_, err := w.redeem("portal", form)
		require.ErrorIs(t, err, tokenexchange.TemporarilyUnavailable)
		require.ErrorContains(t, err, "no token is made")
		require.Equal(t, 5*time.Second, time.Since(begin))
		close(w.store.hang)
	})
}

// I07, I08: a panic of the verifier is audited; what a host's error says of the assertion does not
// get out.
func TestAssertions_HostsThatFail(t *testing.T) {
	w := newWorld(t)
	assertion := w.assert(w.partner, partner, "p-1", nil)
	w.assertions.Verify = func(context.Context, tokenexchange.Credential) (
		tokenexchange.Token, error) {
		panic(assertion)
	}
	_, err := w.redeem("portal", bearer(assertion))
	w.refused(err, tokenexchange.ServerError, "", assertion)
	require.ErrorContains(t, err, "panic")
	w.assertions.Verify = func(_ context.Context, c tokenexchange.Credential) (
		tokenexchange.Token, error) {
		return tokenexchange.Token{}, fmt.Errorf("no keys for %s", c.Token)
	}
	_, err = w.redeem("portal", bearer(assertion))
	w.refused(err, tokenexchange.ServerError, "", assertion)
	require.ErrorContains(t, err, "no keys for")
	w.assertions.Verify = func(_ context.Context, c tokenexchange.Credential) (
		tokenexchange.Token, error) {
		return tokenexchange.Token{}, fmt.Errorf("%w: not %s", tokenexchange.InvalidRequest,
			c.Token)
	}
	_, err = w.redeem("portal", bearer(assertion))
	w.refused(err, tokenexchange.InvalidGrant, "assertion_refused", assertion)
	require.Len(t, w.audit.Events(), 3)
}

// C07: revoking the assertion, by the name that its issuer gave it, ends what was made from it.
func TestAssertions_Revoke(t *testing.T) {
	w := newWorld(t)
	got, err := w.redeem("portal", bearer(w.assert(w.partner, partner, "p-1", nil)))
	require.NoError(t, err)
	tok := w.tokenOf(got)
	require.NoError(t, w.tokens.Revoke(t.Context(), w.audit.Last().Facts.Subject.Token))
	require.ErrorIs(t, w.tokens.Live(t.Context(), tok), tokenstore.ErrRevoked)
}

// R01, R09, R12: the endpoint.
func TestAssertions_Handler(t *testing.T) {
	w := newWorld(t)
	var seen *http.Request
	handler := w.assertions.Handler(w.x, func(r *http.Request) (tokenexchange.Client, error) {
		seen = r
		id, _, _ := r.BasicAuth()
		switch id {
		case "":
			return tokenexchange.Client{}, nil
		case "panic":
			panic("the secret of a client")
		case "unregistered":
			return tokenexchange.Client{}, fmt.Errorf("%w: not this one",
				tokenexchange.UnauthorizedClient)
		}
		return client(id), nil
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	call := func(change func(*http.Request)) (*http.Response, map[string]any) {
		r, err := http.NewRequest(http.MethodPost, server.URL,
			strings.NewReader(bearer(w.assert(w.partner, partner, "p-1", nil)).Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("portal", "secret")
		change(r)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body := map[string]any{}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
		require.Equal(t, []string{"no-store", "no-cache", "application/json"},
			[]string{resp.Header.Get("Cache-Control"), resp.Header.Get("Pragma"),
				resp.Header.Get("Content-Type")}, "R12")
		return resp, body
	}
	for name, row := range map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"R01 GET": {
			func(r *http.Request) { r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0 },
			http.StatusMethodNotAllowed, "invalid_request"},
		"R01 JSON": {
			func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			http.StatusBadRequest, "invalid_request"},
		"R01 assertion in URL": {func(r *http.Request) { r.URL.RawQuery = "assertion=x" },
			http.StatusBadRequest, "invalid_request"},
		"R01 grant type in URL": {func(r *http.Request) { r.URL.RawQuery = "grant_type=x" },
			http.StatusBadRequest, "invalid_request"},
		"R01 scope in URL": {func(r *http.Request) { r.URL.RawQuery = "scope=x" },
			http.StatusBadRequest, "invalid_request"},
		"R09 nobody": {func(r *http.Request) { r.Header.Del("Authorization") },
			http.StatusUnauthorized, "invalid_client"},
		"R09 no such grant": {func(r *http.Request) { r.SetBasicAuth("unregistered", "x") },
			http.StatusBadRequest, "unauthorized_client"},
		"I12 a panic": {func(r *http.Request) { r.SetBasicAuth("panic", "x") },
			http.StatusInternalServerError, "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := call(row.change)
			require.Equal(t, row.status, resp.StatusCode)
			require.Equal(t, row.code, body["error"])
			require.NotContains(t, fmt.Sprint(body), "secret of a client", "I08")
			if resp.StatusCode == http.StatusMethodNotAllowed {
				require.Equal(t, "POST", resp.Header.Get("Allow"))
			}
		})
	}
	require.Empty(t, w.audit.Events(), "nobody has been authenticated yet")
	resp, body := call(func(*http.Request) {})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NotEmpty(t, body["access_token"])
	require.Equal(t, grants.GrantJWTBearer, seen.PostForm.Get("grant_type"),
		"the form is read before the client is authenticated")
	resp, body = call(func(*http.Request) {})
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Equal(t, "invalid_grant", body["error"], "R13")
	require.Equal(t, []string{"error", "error_description"}, slices.Sorted(maps.Keys(body)))
}
