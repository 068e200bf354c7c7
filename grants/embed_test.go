package grants_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// atGateway exchanges a token that was sent to the gateway for one that carries another.
func (w *world) atGateway(token string, more ...string) (tokenexchange.Response, error) {
	form := url.Values{"grant_type": {tokenexchange.GrantType}, "subject_token": {token},
		"subject_token_type":   {string(tokenexchange.TypeAccessToken)},
		"requested_token_type": {string(tokenexchange.TypeJWT)}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return w.x.Exchange(w.Context(), client("gateway"), form)
}

// jwtOf is what a JWT of ours is found to be, by somebody who looks at its audience.
func (w *world) jwtOf(value string, audience string) (tokenexchange.Token, error) {
	tok, err := w.tokens.VerifyToken(w.Context(),
		tokenexchange.Credential{Token: value, Type: tokenexchange.TypeJWT, Issuer: issuer,
			Now: w.now})
	if err == nil {
		require.Equal(w, []string{audience}, tok.Audience)
	}
	return tok, err
}

// C05: two tokens, two decisions, two events, the inner one first.
func TestEmbedded(t *testing.T) {
	w := newWorld(t)
	w.embedded.Rules["inner"] = w.embedded.Rules["gateway"] // which would go on for ever
	got, err := w.atGateway(w.accessToken("alice", "portal", "read", "write"), "scope",
		"read write")
	require.NoError(t, err)
	outer := payload(t, got.AccessToken)
	inner := payload(t, outer["downstream"].(string))
	require.Equal(t, []any{api, "read write", "alice"},
		[]any{outer["aud"], outer["scope"], outer["sub"]})
	require.Equal(t, []any{down, "read", "alice", "gateway", issuer},
		[]any{inner["aud"], inner["scope"], inner["sub"], inner["client_id"], inner["iss"]})
	require.Equal(t, outer["act"], inner["act"])
	require.Equal(t, outer["exp"], inner["exp"], "its rule would let it live for an hour")
	require.NotContains(t, inner, "downstream", "nothing is embedded twice")

	tok, err := w.jwtOf(outer["downstream"].(string), down)
	require.NoError(t, err)
	require.Equal(t, "gateway", tok.Actor.Subject)
	events := w.audit.Events()
	require.Len(t, events, 2)
	require.Equal(t, []string{grants.GrantEmbedded, "inner", inner["jti"].(string)},
		[]string{events[0].Facts.Grant, events[0].Decision.Rule, events[0].TokenID})
	require.Equal(t, []string{tokenexchange.GrantType, "gateway", outer["jti"].(string)},
		[]string{events[1].Facts.Grant, events[1].Decision.Rule, events[1].TokenID})
	require.Equal(t, events[1].Decision.Expires, events[0].Decision.Expires,
		"the event says when it ends")
	require.Len(t, w.actors.Asked(), 2, "D11")
}

// D17: the inner token carries who may act with the outer one, whether that was carried or the hook
// has said it, and the policy of the inner token is not asked about it.
func TestEmbedded_MayAct(t *testing.T) {
	bob := map[string]any{"iss": issuer, "sub": "bob"}
	t.Run("carried", func(t *testing.T) {
		w := newWorld(t)
		list := rules()
		for i := range list {
			if list[i].Name == "gateway" {
				list[i].ClientActs = nil
				list[i].Impersonate = &tokenexchange.Impersonation{
					OtherTokens: true, MayActClient: true}
			}
		}
		w.setRules(list...)
		login, err := w.tokens.Mint(t.Context(), tokenexchange.Token{
			Type: tokenexchange.TypeAccessToken, Issuer: issuer, Subject: "alice",
			ClientID: "portal", Audience: []string{api}, Scope: tokenexchange.Scope{"read"},
			Expires: w.now.Add(time.Hour),
			MayAct:  &tokenexchange.Actor{Subject: "bob", ClientID: "gateway"},
		})
		require.NoError(t, err)
		got, err := w.atGateway(login.Value)
		require.NoError(t, err)
		outer := payload(t, got.AccessToken)
		want := map[string]any{"iss": issuer, "sub": "bob", "client_id": "gateway"}
		require.Equal(t, want, outer["may_act"])
		require.Equal(t, want, payload(t, outer["downstream"].(string))["may_act"])
	})
	t.Run("said by the hook", func(t *testing.T) {
		w := newWorld(t)
		hook := w.tokens.JWT.Claims
		w.tokens.JWT.Claims = func(ctx context.Context, d tokenexchange.Decision,
			c map[string]any) error {
			if d.Rule == "gateway" {
				c["may_act"] = bob
			}
			return hook(ctx, d, c)
		}
		got, err := w.atGateway(w.accessToken("alice", "portal", "read", "write"))
		require.NoError(t, err)
		outer := payload(t, got.AccessToken)
		require.Equal(t, bob, outer["may_act"])
		require.Equal(t, bob, payload(t, outer["downstream"].(string))["may_act"])
	})
}

// C05: where there is none, and why.
func TestEmbedded_None(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*world)
		more   []string
	}{
		"another rule": {func(w *world) {
			w.embedded.Rules = map[string]tokenexchange.Request{"own": w.embedded.Rules["gateway"]}
		}, nil},
		"no rules":             {func(w *world) { w.embedded.Rules = nil }, nil},
		"nothing of the scope": {nil, []string{"scope", "write"}},
		"an opaque token": {nil,
			[]string{"requested_token_type", string(tokenexchange.TypeAccessToken)}},
		"without the hook": {func(w *world) { w.tokens.JWT.Claims = nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if row.change != nil {
				row.change(w)
			}
			got, err := w.atGateway(w.accessToken("alice", "portal", "read", "write"), row.more...)
			require.NoError(t, err)
			require.Len(t, w.audit.Events(), 1)
			if got.IssuedTokenType == tokenexchange.TypeJWT {
				require.NotContains(t, payload(t, got.AccessToken), "downstream")
			}
		})
	}
}

// C05: never wider, whatever the policy of the inner token decides.
func TestEmbedded_NeverWider(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*tokenexchange.Decision)
		reason string // empty: it is cut, and not refused
	}{
		"another subject": {func(d *tokenexchange.Decision) { d.Subject.ID = "bob" },
			"embedded_other_subject"},
		"another tenant": {func(d *tokenexchange.Decision) { d.Subject.Tenant = "x" },
			"embedded_other_subject"},
		"no actor": {func(d *tokenexchange.Decision) { d.Actor = nil },
			"embedded_other_actor"},
		"one more actor": {func(d *tokenexchange.Decision) {
			d.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: "x", Prior: d.Actor}
		}, "embedded_other_actor"},
		"more scope": {func(d *tokenexchange.Decision) { d.Scope = append(d.Scope, "write") },
			"embedded_other_scope"},
		"another key": {func(d *tokenexchange.Decision) { d.Confirmation.JKT = "k" },
			"embedded_other_key"},
		"an ID token": {func(d *tokenexchange.Decision) { d.IDToken = true },
			"embedded_further_tokens"},
		"a refresh token": {
			func(d *tokenexchange.Decision) { d.RefreshToken, d.RefreshExpires = true, d.Expires },
			"embedded_further_tokens"},
		"a longer life": {
			func(d *tokenexchange.Decision) { d.Expires = d.Expires.Add(time.Hour) }, ""},
		"a shorter life": {
			func(d *tokenexchange.Decision) { d.Expires = d.Issued.Add(time.Minute) }, ""},
		"less scope": {func(d *tokenexchange.Decision) { d.Scope = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			subject := w.accessToken("alice", "portal", "read", "write")
			decide := w.x.Decide
			w.x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
				d, err := decide(f)
				if err == nil && f.Grant == grants.GrantEmbedded {
					row.change(&d)
				}
				return d, err
			}
			got, err := w.atGateway(subject, "scope", "read")
			if row.reason == "" {
				require.NoError(t, err)
				outer := payload(t, got.AccessToken)
				inner := payload(t, outer["downstream"].(string))
				require.LessOrEqual(t, inner["exp"], outer["exp"])
				return
			}
			w.refused(err, tokenexchange.InvalidRequest, row.reason, subject)
			require.Len(t, w.audit.Events(), 2, "both are refused, and on record")
			require.ErrorIs(t, w.audit.Events()[0].Err, tokenexchange.InvalidRequest)
			require.Zero(t, w.live()-1, "the subject token alone")
		})
	}
}

// C05, I06, I07: where the inner token is refused or fails, so does the outer one, and nothing is
// left.
func TestEmbedded_Refusals(t *testing.T) {
	inner := func(change func(*tokenexchange.Rule)) func(*world) {
		return func(w *world) {
			list := rules()
			change(&list[len(list)-1])
			w.setRules(list...)
		}
	}
	asks := func(req tokenexchange.Request) func(*world) {
		return func(w *world) { w.embedded.Rules["gateway"] = req }
	}
	for name, row := range map[string]struct {
		change func(*world)
		code   tokenexchange.Code
		events int
	}{
		"no rule": {
			inner(
				func(r *tokenexchange.Rule) { r.Clients = []string{"other"} }),
			tokenexchange.InvalidRequest, 2},
		"another target": {inner(func(r *tokenexchange.Rule) { r.Targets = []string{api} }),
			tokenexchange.InvalidTarget, 2},
		"no target": {
			asks(tokenexchange.Request{RequestedTokenType: tokenexchange.TypeJWT}),
			tokenexchange.InvalidTarget, 2},
		"not its scope": {
			inner(
				func(r *tokenexchange.Rule) { r.Scope = tokenexchange.Scope{"write"} }),
			tokenexchange.InvalidScope, 2},
		"another type": {
			asks(tokenexchange.Request{Audience: []string{down},
				RequestedTokenType: tokenexchange.TypeIDToken}), tokenexchange.InvalidRequest, 2},
		"a malformed target": {asks(tokenexchange.Request{Audience: []string{"x"}}),
			tokenexchange.InvalidTarget, 2},
		"the authorizer": {
			func(w *world) { w.actors.Func = refuseGrant(grants.GrantEmbedded) },
			tokenexchange.InvalidRequest, 2},
		"a failing sink": {func(w *world) { w.audit.Fail(errors.New("disk full")) },
			tokenexchange.ServerError, 0},
		"a failing store": {
			func(w *world) {
				w.store.fail = func(tokenstore.Batch) error { return errors.New("down") }
			}, tokenexchange.ServerError, 1},
		"no claim": {func(w *world) { w.embedded.Claim = "" },
			tokenexchange.ServerError, 1},
		"a claim of the issuer": {func(w *world) { w.embedded.Claim = "nbf" },
			tokenexchange.ServerError, 1},
		"a claim that is there": {func(w *world) { w.embedded.Claim = "act" },
			tokenexchange.ServerError, 1},
		"a claim of a hook": {func(w *world) {
			w.tokens.JWT.Claims = func(ctx context.Context, d tokenexchange.Decision,
				claims map[string]any) error {
				claims["downstream"] = "x"
				return w.embedded.AddClaims(ctx, d, claims)
			}
		}, tokenexchange.ServerError, 1},
		"a known type": {
			func(w *world) { w.embedded.Type = tokenexchange.TypeAccessToken },
			tokenexchange.ServerError, 1},
		"no exchanger": {func(w *world) { w.embedded.Exchanger = nil },
			tokenexchange.ServerError, 1},
		"an empty exchanger": {
			func(w *world) { w.embedded.Exchanger = &tokenexchange.Exchanger{} },
			tokenexchange.ServerError, 1},
		"no policy": {
			func(w *world) { other := *w.x; other.Decide = nil; w.embedded.Exchanger = &other },
			tokenexchange.ServerError, 2},
		"no issuer in front": {func(w *world) { w.x.TokenIssuer = w.tokens },
			tokenexchange.ServerError, 1},
		"an issuer before none": {func(w *world) { w.x.TokenIssuer = w.embedded.Issuer(nil) },
			tokenexchange.ServerError, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			subject := w.accessToken("alice", "portal", "read", "write")
			row.change(w)
			got, err := w.atGateway(subject, "scope", "read")
			require.ErrorIs(t, err, row.code)
			require.Equal(t, row.code, tokenexchange.AsError(err).Code)
			require.Equal(t, tokenexchange.Response{}, got)
			if row.events > 0 {
				require.Len(t, w.audit.Events(), row.events, "I07")
				require.NotContains(t, err.Error(), subject, "I08")
			}
			w.store.fail = nil
			require.Equal(t, 1, w.live(), "the subject token alone")
		})
	}
}

// refuseGrant is an authorizer that says no at one door.
func refuseGrant(grant string) func(context.Context, tokenexchange.Facts) error {
	return func(_ context.Context, f tokenexchange.Facts) error {
		if f.Grant == grant {
			return tokenexchange.InvalidRequest
		}
		return nil
	}
}

// I06: an inner token that was made is undone where its outer one is not, or must not leave.
func TestEmbedded_Undone(t *testing.T) {
	for name, break_ := range map[string]func(*world){
		"the outer event": func(w *world) {
			sink := w.x.Audit
			w.x.Audit = onlyFor(sink, grants.GrantEmbedded)
			other := *w.x
			w.embedded.Exchanger = &other
		},
		"the outer record": func(w *world) {
			w.store.fail = func(b tokenstore.Batch) error {
				// the subject token, the name of the outer one, the inner one
				if len(w.store.written) > 3 {
					return errors.New("down")
				}
				return nil
			}
		},
		"a hook after it": func(w *world) {
			add := w.tokens.JWT.Claims
			w.tokens.JWT.Claims = func(ctx context.Context, d tokenexchange.Decision,
				claims map[string]any) error {
				if err := add(ctx, d, claims); err != nil || d.Facts.Grant == grants.GrantEmbedded {
					return err
				}
				return errors.New("the hook fails")
			}
		},
		"a panic after it": func(w *world) {
			add := w.tokens.JWT.Claims
			w.tokens.JWT.Claims = func(ctx context.Context, d tokenexchange.Decision,
				claims map[string]any) error {
				if err := add(ctx, d, claims); err != nil || d.Facts.Grant == grants.GrantEmbedded {
					return err
				}
				panic("x")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			subject := w.accessToken("alice", "portal", "read")
			break_(w)
			_, err := w.atGateway(subject)
			require.ErrorIs(t, err, tokenexchange.ServerError)
			require.Equal(t, grants.GrantEmbedded, w.audit.Events()[0].Facts.Grant)
			require.NoError(t, w.audit.Events()[0].Err,
				"the inner token had been granted, and stays on record")
			require.Equal(t, 1, w.live(), "the subject token alone")
		})
	}
}

// sinkFor fails for every grant but one.
type sinkFor struct {
	tokenexchange.AuditSink
	grant string
}

func onlyFor(sink tokenexchange.AuditSink, grant string) tokenexchange.AuditSink {
	return sinkFor{sink, grant}
}

func (s sinkFor) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	if ev.Facts.Grant != s.grant {
		return errors.New("disk full")
	}
	return s.AuditSink.RecordExchange(ctx, ev)
}

// C07: what ends the outer token, or what it was made from, ends the inner one.
func TestEmbedded_EndsWithTheOuter(t *testing.T) {
	for name, end := range map[string]func(w *world, outer, subject tokenexchange.Token) error{
		"the outer token": func(w *world, outer, _ tokenexchange.Token) error {
			return w.tokens.Revoke(w.Context(), outer)
		},
		"the subject token": func(w *world, _, subject tokenexchange.Token) error {
			return w.tokens.Revoke(w.Context(), subject)
		},
		"the delegation": func(w *world, _, _ tokenexchange.Token) error {
			list, err := w.tokens.Delegations(w.Context(), user("alice"))
			require.NoError(w, err)
			require.NotEmpty(w, list)
			for _, d := range list {
				err = errors.Join(err, w.tokens.EndDelegation(w.Context(), user("alice"), d.ID))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got, err := w.atGateway(w.accessToken("alice", "portal", "read"))
			require.NoError(t, err)
			outer, err := w.jwtOf(got.AccessToken, api)
			require.NoError(t, err)
			inner := payload(t, got.AccessToken)["downstream"].(string)
			_, err = w.jwtOf(inner, down)
			require.NoError(t, err)
			require.NoError(t, end(w, outer, w.audit.Last().Facts.Subject.Token))
			_, err = w.jwtOf(inner, down)
			require.ErrorIs(t, err, tokenstore.ErrRevoked)
		})
	}
}

// C07, D28: a refresh token that is revoked ends the tokens inside of what was issued with it and
// by it.
func TestEmbedded_EndsWithTheRefreshToken(t *testing.T) {
	for name, refreshes := range map[string]int{"the first": 0, "a later one": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			list := rules()
			for i := range list {
				if list[i].Name == "gateway" {
					list[i].ClientActs.RefreshLifetime = time.Hour
				}
			}
			w.setRules(list...)
			got, err := w.atGateway(w.accessToken("alice", "portal", "read", "offline_access"),
				"scope", "read offline_access")
			require.NoError(t, err)
			var inner []string
			for i := range refreshes + 1 {
				if i > 0 {
					got, err = w.tokens.Refresh(t.Context(), w.x, client("gateway"),
						url.Values{"grant_type": {"refresh_token"},
							"refresh_token": {got.RefreshToken}})
					require.NoError(t, err)
				}
				inner = append(inner, payload(t, got.AccessToken)["downstream"].(string))
			}
			for _, value := range inner {
				_, err = w.jwtOf(value, down)
				require.NoError(t, err)
			}
			refresh, err := w.tokens.VerifyRefreshToken(t.Context(),
				tokenexchange.Credential{Token: got.RefreshToken,
					Type: tokenexchange.TypeRefreshToken, Issuer: issuer, Client: client("gateway"),
					Now: w.now})
			require.NoError(t, err)
			require.NoError(t, w.tokens.Revoke(t.Context(), refresh))
			for _, value := range inner {
				_, err = w.jwtOf(value, down)
				require.ErrorIs(t, err, tokenstore.ErrRevoked)
			}
		})
	}
}

// Without a store nothing is linked, as befits an issuer without records.
func TestEmbedded_WithoutStore(t *testing.T) {
	w := newWorld(t)
	subject := w.accessToken("alice", "portal", "read")
	signer := w.minter.JWTIssuer()
	signer.Claims = w.embedded.AddClaims
	w.embedded.Store, w.x.TokenIssuer = nil, w.embedded.Issuer(signer)
	written := len(w.store.written)
	got, err := w.atGateway(subject)
	require.NoError(t, err)
	require.Equal(t, down, payload(t, payload(t, got.AccessToken)["downstream"].(string))["aud"])
	require.Len(t, w.store.written, written)
}

// D30: bound to the key that the outer one is bound to.
func TestEmbedded_Key(t *testing.T) {
	w := newWorld(t)
	c := client("gateway")
	c.Confirmation = tokenexchange.Confirmation{JKT: "the key of the gateway"}
	got, err := w.x.Exchange(t.Context(), c,
		url.Values{"grant_type": {tokenexchange.GrantType},
			"subject_token":        {w.accessToken("alice", "portal", "read")},
			"subject_token_type":   {string(tokenexchange.TypeAccessToken)},
			"requested_token_type": {string(tokenexchange.TypeJWT)}})
	require.NoError(t, err)
	outer := payload(t, got.AccessToken)
	require.Equal(t, map[string]any{"jkt": "the key of the gateway"}, outer["cnf"])
	require.Equal(t, outer["cnf"], payload(t, outer["downstream"].(string))["cnf"])
}

// Many at once share nothing but the Embedded.
func TestEmbedded_AtOnce(t *testing.T) {
	w := newWorld(t)
	subject := w.accessToken("alice", "portal", "read")
	require.Equal(t, 16, atOnce(16, func() error {
		got, err := w.atGateway(subject)
		if err == nil && payload(t, got.AccessToken)["downstream"] == nil {
			err = errors.New("no inner token")
		}
		return err
	}))
	require.Len(t, w.audit.Events(), 32)
}
