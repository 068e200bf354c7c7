package tokenexchange_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// exchange asks without HTTP, as shop, and asserts that one event says what came out (I07).
func (w *world) exchange(f url.Values) (tx.Response, error) {
	before := len(w.events)
	resp, err := w.Exchange(context.Background(), w.clients["shop"], f)
	require.Len(w, w.events, before+1, "I07: one event")
	e := w.lastEvent()
	if err != nil {
		require.Equal(w, tx.Response{}, resp)
		require.IsType(w, &tx.Error{}, err)
		require.NotNil(w, e.Err)
		require.Equal(w, tx.AsError(err).Code, tx.AsError(e.Err).Code)
		require.Equal(w, tx.Decision{}, e.Decision)
		require.Empty(w, e.TokenID)
	} else {
		require.NoError(w, e.Err)
		require.NotEmpty(w, e.TokenID)
		require.Equal(w, e.Facts, e.Decision.Facts)
	}
	require.False(w, e.Time.IsZero())
	require.Empty(w, e.Facts.Request.SubjectToken+e.Facts.Request.ActorToken)
	return resp, err
}

func (w *world) delegation(patch claims) url.Values {
	return withActor(form(w.access(patch), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
}

func TestI01_MissingParts(t *testing.T) {
	for name, remove := range map[string]func(*tx.Exchanger){
		"Issuer": func(x *tx.Exchanger) { x.Issuer = "" }, "Verify": func(x *tx.Exchanger) { x.Verify = nil }, "Subjects": func(x *tx.Exchanger) { x.Resolver = nil },
		"Decide": func(x *tx.Exchanger) { x.Decide = nil }, "Actors": func(x *tx.Exchanger) { x.Authorizer = nil }, "Tokens": func(x *tx.Exchanger) { x.TokenIssuer = nil },
		"Audit": func(x *tx.Exchanger) { x.Audit = nil }, "all": func(x *tx.Exchanger) { *x = tx.Exchanger{} },
		"Subjects typed nil": func(x *tx.Exchanger) { x.Resolver = resolverFunc(nil) }, "Actors typed nil": func(x *tx.Exchanger) { x.Authorizer = authorizerFunc(nil) },
		"Tokens typed nil": func(x *tx.Exchanger) { x.TokenIssuer = (*tx.JWTIssuer)(nil) }, "Audit typed nil": func(x *tx.Exchanger) { x.Audit = sinkFunc(nil) },
		"Tokens zero": func(x *tx.Exchanger) { x.TokenIssuer = &tx.JWTIssuer{} }, "Audit zero": func(x *tx.Exchanger) { x.Audit = tx.LogSink{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.delegation(nil)
			remove(&w.Exchanger)
			w.post("shop", f).refused(t, tx.ServerError)
			_, err := w.Exchanger.Run(context.Background(), "any", tx.Client{ID: "shop"}, nil)
			require.ErrorIs(t, err, tx.ServerError)
		})
	}
	w := newWorld(t)
	t.Run("zero client", func(t *testing.T) {
		_, err := w.Exchange(context.Background(), tx.Client{}, w.delegation(nil))
		require.ErrorIs(t, err, tx.InvalidClient)
		require.Len(t, w.events, 1)
		require.Empty(t, w.resolved, "nobody is looked up for a stranger")
	})
	t.Run("no verifiers", func(t *testing.T) {
		f := w.delegation(nil)
		w.Verify = tx.Verifiers{}
		_, err := w.exchange(f)
		require.ErrorIs(t, err, tx.InvalidRequest)
		w.Verify = tx.Verifiers{tx.TypeAccessToken: nil}
		_, err = w.exchange(f)
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
	t.Run("zero verifier, zero policy, zero decision", func(t *testing.T) {
		var v *tx.Verifier
		for _, verify := range []func(context.Context, tx.Credential) (tx.Token, error){v.Verify, new(tx.Verifier).Verify} {
			w.Verify = tx.Verifiers{tx.TypeAccessToken: verify}
			_, err := w.exchange(w.delegation(nil))
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
		w.configure()
		var p *tx.Policy
		for _, decide := range []func(tx.Facts) (tx.Decision, error){p.Decide, new(tx.Policy).Decide} {
			w.Decide = decide
			_, err := w.exchange(w.delegation(nil))
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
		w.Decide = func(tx.Facts) (tx.Decision, error) { return tx.Decision{}, nil }
		_, err := w.exchange(w.delegation(nil))
		require.ErrorIs(t, err, tx.ServerError)
	})
	t.Run("a clock that panics", func(t *testing.T) {
		w := newWorld(t)
		f := w.delegation(nil)
		w.Now = func() time.Time { panic("clock") }
		_, err := w.exchange(f)
		require.ErrorIs(t, err, tx.ServerError)
	})
	t.Run("Now nil is the clock", func(t *testing.T) {
		w := newWorld(t)
		w.Now = nil
		now := time.Now().Unix()
		resp, err := w.exchange(form(w.access(claims{"iat": now, "exp": now + 60}), tx.TypeAccessToken))
		require.NoError(t, err)
		require.Positive(t, resp.ExpiresIn)
		require.WithinDuration(t, time.Now(), w.lastEvent().Time, 10*time.Second)
	})
}

// A policy that is not ours is held to who we are and who asked, and nothing is made for what it says of others or leaves
// open, whatever the issuer of the host looks at.
func TestI01_PolicyOfTheHost(t *testing.T) {
	w := newWorld(t)
	ours := w.Decide
	w.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
		t.Error("it was issued")
		return tx.IssuedToken{}, nil
	})
	const ofOthers, incomplete = "a decision for another issuer or client", "decision_incomplete"
	for name, c := range map[string]struct {
		change func(*tx.Decision)
		reason string
	}{
		"another client": {func(d *tx.Decision) { d.Client = "other" }, ofOthers},
		"another issuer": {func(d *tx.Decision) { d.Issuer, d.Subject.Issuer = idpIss, idpIss }, ofOthers},
		"no mode":        {func(d *tx.Decision) { d.Mode = "" }, incomplete},
		"no actor":       {func(d *tx.Decision) { d.Actor = nil }, incomplete},
		"no subject":     {func(d *tx.Decision) { d.Subject.ID = "" }, incomplete},
		"no type":        {func(d *tx.Decision) { d.Type = "" }, incomplete},
		"no audience":    {func(d *tx.Decision) { d.Audience = nil }, incomplete},
		"no end":         {func(d *tx.Decision) { d.Expires = time.Time{} }, incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := ours(f)
				require.NoError(t, err)
				c.change(&d)
				return d, nil
			}
			_, err := w.exchange(w.delegation(nil))
			require.ErrorIs(t, err, tx.ServerError)
			require.ErrorContains(t, err, c.reason)
		})
	}
}

// What another door brings is about somebody, or nobody is looked up.
func TestR08_TokensAboutNobody(t *testing.T) {
	w := newWorld(t)
	full := tx.Token{Type: tx.TypeAccessToken, Issuer: ownIss, Subject: "alice"}
	for name, empty := range map[string]func(*tx.Token){
		"type": func(t *tx.Token) { t.Type = "" }, "issuer": func(t *tx.Token) { t.Issuer = "" }, "subject": func(t *tx.Token) { t.Subject = "" },
	} {
		subject, actor := full, full
		empty(&subject)
		for role, tokens := range map[string][2]tx.Token{"subject": {subject, actor}, "actor": {actor, subject}} {
			_, err := w.Run(context.Background(), "any", w.clients["shop"], func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
				return tx.Request{}, tokens[0], &tokens[1], nil
			})
			require.ErrorIs(t, err, tx.InvalidRequest, "%s of the %s token", name, role)
			require.Empty(t, w.resolved)
		}
	}
}

// A host may put a verifier of its own: an empty answer is nobody (SECURITY: opaque token → nil claims).
func TestR08_VerifierOfTheHost(t *testing.T) {
	w := newWorld(t)
	full := tx.Token{Type: tx.TypeAccessToken, Issuer: ownIss, Subject: "alice", ClientID: "shop", Audience: []string{api}, Scope: tx.Scope{"read"}, Expires: at.Add(time.Hour)}
	for name, c := range map[string]struct {
		change func(*tx.Token)
		code   tx.Code
	}{
		"full": {func(*tx.Token) {}, ""}, "empty": {func(t *tx.Token) { *t = tx.Token{} }, tx.InvalidRequest}, "no type": {func(t *tx.Token) { t.Type = "" }, tx.InvalidRequest},
		"another type": {func(t *tx.Token) { t.Type = tx.TypeIDToken }, tx.InvalidRequest}, "no issuer": {func(t *tx.Token) { t.Issuer = "" }, tx.InvalidRequest},
		"no subject": {func(t *tx.Token) { t.Subject = "" }, tx.InvalidRequest}, "no expiry": {func(t *tx.Token) { t.Expires = time.Time{} }, tx.InvalidRequest},
		"expired": {func(t *tx.Token) { t.Expires = at }, tx.InvalidRequest}, "foreign": {func(t *tx.Token) { t.Issuer = idpIss; t.Subject = "ext-alice" }, tx.InvalidRequest},
		"D22 no scope": {func(t *tx.Token) { t.Scope = nil }, ""}, "chain without sub": {func(t *tx.Token) { t.Actor = &tx.Actor{} }, tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			tok := full
			c.change(&tok)
			w.Verify[tx.TypeAccessToken] = func(context.Context, tx.Credential) (tx.Token, error) { return tok, nil }
			resp, err := w.exchange(form("opaque", tx.TypeAccessToken))
			if c.code == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.code)
			}
			require.Equal(t, map[string]string{"full": "read"}[name], resp.Scope)
		})
	}
}

// What a verifier found must be what was declared, or anything where that was jwt.
func TestR07_FoundAndDeclared(t *testing.T) {
	w := newWorld(t)
	found := tx.TypeIDToken
	host := func(context.Context, tx.Credential) (tx.Token, error) {
		tok := accessOf("alice", "shop")
		tok.Type = found
		return tok, nil
	}
	w.Verify[tx.TypeAccessToken], w.Verify[tx.TypeJWT] = host, host
	for _, c := range []struct {
		declared, found tx.TokenType
		good            bool
	}{{tx.TypeAccessToken, tx.TypeAccessToken, true}, {tx.TypeAccessToken, tx.TypeIDToken, false}, {tx.TypeAccessToken, tx.TypeJWT, false}, {tx.TypeJWT, tx.TypeIDToken, true}, {tx.TypeJWT, tx.TypeAccessToken, true}, {tx.TypeJWT, "", false}} {
		found = c.found
		_, err := w.exchange(withActor(form("opaque-1", c.declared), w.id(claims{"sub": "admin"}), tx.TypeIDToken))
		require.Equal(t, c.good, err == nil, "%v %v", c, err)
	}
}

func TestI06_NoTokenWithoutItsEvent(t *testing.T) {
	for name, c := range map[string]struct {
		record sinkFunc
		code   tx.Code
	}{
		"fails":           {func(context.Context, tx.Event) error { return errors.New("disk full") }, tx.ServerError},
		"panics":          {func(context.Context, tx.Event) error { panic("disk full") }, tx.ServerError},
		"panics with nil": {func(context.Context, tx.Event) error { panic(nil) }, tx.ServerError},
		"a typed nil":     {func(context.Context, tx.Event) error { return (*hostError)(nil) }, tx.ServerError},
		"deadline":        {func(context.Context, tx.Event) error { return deadline() }, tx.TemporarilyUnavailable},
		"says no":         {func(context.Context, tx.Event) error { return fmt.Errorf("%w: x", tx.InvalidRequest) }, tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			for _, discard := range []func(context.Context) error{nil, func(context.Context) error { return nil }, func(context.Context) error { return errors.New("also down") }, func(context.Context) error { panic("also down") }} {
				w, discarded := newWorld(t), 0
				inner := w.TokenIssuer
				w.TokenIssuer = issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
					issued, err := inner.IssueToken(ctx, d)
					if discard != nil {
						issued.Discard = func(ctx context.Context) error { discarded++; return discard(ctx) }
					}
					return issued, err
				})
				w.Audit = c.record
				a := w.post("shop", w.delegation(nil)).refused(t, c.code)
				require.NotContains(t, a.raw, "eyJ")
				require.NotContains(t, a.raw, "disk full")
				require.Equal(t, discard != nil, discarded == 1)
				w.post("shop", form("garbled", tx.TypeAccessToken)).refused(t, c.code)
				require.Equal(t, discard != nil, discarded == 1)
			}
		})
	}
	t.Run("the request is gone, its event is not", func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(context.Background())
		inner, discards := w.TokenIssuer, 0
		w.TokenIssuer = issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			defer cancel()
			issued, err := inner.IssueToken(ctx, d)
			issued.Discard = func(ctx context.Context) error { discards++; return ctx.Err() }
			return issued, err
		})
		recorded := 0
		w.Audit = sinkFunc(func(ctx context.Context, e tx.Event) error { recorded++; return ctx.Err() })
		_, err := w.Exchange(ctx, w.clients["shop"], w.delegation(nil))
		require.Equal(t, 1, recorded)
		require.NoError(t, err)
		require.Zero(t, discards)
		_, err = w.Exchange(ctx, w.clients["shop"], w.delegation(nil))
		require.Error(t, err)
		require.Equal(t, 2, recorded)
	})
}

func TestD07_EverybodyIsAskedAtEveryExchange(t *testing.T) {
	w := newWorld(t)
	chain := claims{"sub": "bob", "client_id": "x", "act": claims{"sub": "carol"}}
	names := func() (list []string) {
		for _, tok := range w.resolved {
			list = append(list, tok.Issuer+" "+tok.Subject+" "+string(tok.Type))
		}
		w.resolved = nil
		return list
	}
	access := " " + string(tx.TypeAccessToken)
	for range 2 {
		w.post("shop", w.delegation(claims{"act": chain})).granted(t)
		everyone := []string{ownIss + " alice" + access, ownIss + " admin" + access,
			ownIss + " bob "}
		require.Equal(t, everyone, names(), "the current actor too, who is history in the result")
		w.post("shop", form(w.access(claims{"act": chain}), tx.TypeAccessToken)).granted(t)
		require.Equal(t, []string{ownIss + " alice" + access, ownIss + " bob "}, names(), "narrow")
		w.post("gateway", form(w.access(claims{"act": chain}), tx.TypeAccessToken)).granted(t)
		require.Equal(t, []string{ownIss + " alice" + access, ownIss + " bob "}, names(), "impersonate")
	}
	for name, c := range map[string]struct {
		answer tx.Subject
		err    error
		code   tx.Code
	}{
		"unknown": {tx.Subject{}, fmt.Errorf("%w: unknown", tx.InvalidRequest), tx.InvalidRequest}, "empty": {tx.Subject{}, nil, tx.InvalidRequest},
		"without kind": {tx.Subject{Identity: tx.Identity{Issuer: ownIss, ID: "x"}}, nil, tx.InvalidRequest}, "without id": {tx.Subject{Identity: tx.Identity{Issuer: ownIss, Kind: tx.KindUser}}, nil, tx.InvalidRequest},
		"a kind of its own": {tx.Subject{Identity: tx.Identity{Issuer: ownIss, Kind: "root", ID: "x"}}, nil, tx.InvalidRequest},
		"fails":             {tx.Subject{}, errors.New("directory is down"), tx.ServerError}, "deadline": {tx.Subject{}, deadline(), tx.TemporarilyUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			for _, who := range []string{"alice", "admin", "bob"} {
				w := newWorld(t)
				inner := w.Resolver
				w.Resolver = resolverFunc(func(ctx context.Context, tok tx.Token) (tx.Subject, error) {
					if tok.Subject == who {
						return c.answer, c.err
					}
					return inner.ResolveSubject(ctx, tok)
				})
				patch := claims{"act": chain}
				if who != "bob" {
					w.post("shop", w.delegation(patch)).refused(t, c.code)
				}
				if who != "admin" {
					w.post("shop", form(w.access(patch), tx.TypeAccessToken)).refused(t, c.code)
					w.post("gateway", form(w.access(patch), tx.TypeAccessToken)).refused(t, c.code)
				}
			}
		})
	}
	t.Run("D19 a foreign subject that is not one of ours", func(t *testing.T) {
		w.people[idpIss+" ext-alice"] = tx.Subject{Identity: tx.Identity{Issuer: idpIss, Kind: tx.KindUser, ID: "ext-alice"}}
		w.post("gateway", form(w.foreignToken(nil), tx.TypeJWT)).refused(t, tx.InvalidRequest)
	})
	t.Run("a disabled client does not authenticate", func(t *testing.T) {
		delete(w.clients, "shop")
		w.post("shop", w.delegation(nil)).refused(t, tx.InvalidClient)
	})
}

func TestD11_TheAuthorizerIsAsked(t *testing.T) {
	w := newWorld(t)
	who := func(s *tx.Subject) string {
		if s == nil {
			return "-"
		}
		return s.ID
	}
	ask := func(a answer) (asked []string) {
		for _, f := range w.asked {
			asked = append(asked, fmt.Sprintf("%s for %s at %s", who(f.Actor), f.Subject.ID, f.Client.ID))
		}
		w.asked = nil
		return asked
	}
	require.Equal(t, []string{"admin for alice at shop"}, ask(w.post("shop", w.delegation(nil))), "delegate")
	require.Equal(t, []string{"- for alice at backend"}, ask(w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken))), "client-as-actor")
	require.Equal(t, []string{"- for alice at gateway"}, ask(w.post("gateway", form(w.access(nil), tx.TypeAccessToken))), "impersonate")
	carried := claims{"act": claims{"sub": "bob"}}
	require.Equal(t, []string{"bob for alice at gateway"}, ask(w.post("gateway", form(w.access(carried), tx.TypeAccessToken))), "D13: about the current actor")
	require.Empty(t, ask(w.post("shop", form(w.access(nil), tx.TypeAccessToken))), "not for narrow")
	require.Empty(t, ask(w.post("shop", form(w.access(carried), tx.TypeAccessToken))), "not for narrow with a chain")
	require.Equal(t, []string{"admin for alice at shop"}, ask(w.post("shop", w.delegation(claims{"client_id": "other"}))), "before the policy")
	require.Empty(t, ask(w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken, "scope", "admin"))), "after the policy")
	t.Run("with all the facts", func(t *testing.T) {
		s := person("alice")
		s.Privileges = []string{"administrator"}
		s.Tenant = "acme"
		w.people[ownIss+" alice"] = s
		w.post("shop", w.delegation(nil)).granted(t)
		f := w.asked[0]
		require.Equal(t, []string{"administrator"}, f.Subject.Privileges)
		require.Equal(t, "acme", f.Subject.Tenant)
		require.Equal(t, "alice", f.Subject.Token.Subject)
		require.Equal(t, "admin", f.Actor.Token.Subject)
		require.Equal(t, at, f.Now)
		require.Equal(t, tx.GrantType, f.Grant)
		require.Empty(t, f.Request.SubjectToken+f.Request.ActorToken)
	})
	for code, err := range map[tx.Code]error{tx.InvalidRequest: fmt.Errorf("%w: never", tx.InvalidRequest), tx.ServerError: errors.New("down"), tx.TemporarilyUnavailable: deadline()} {
		w.Authorizer = authorizerFunc(func(context.Context, tx.Facts) error { return err })
		w.post("shop", w.delegation(nil)).refused(t, code)
		w.post("gateway", form(w.access(nil), tx.TypeAccessToken)).refused(t, code)
		w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken)).refused(t, code)
		w.post("shop", form(w.access(nil), tx.TypeAccessToken)).granted(t)
	}
}

func TestI04_AnIssuerThatGoesBeyondTheDecision(t *testing.T) {
	good := tx.IssuedToken{Value: "v", ID: "i", Expires: at.Add(time.Hour)}
	for name, change := range map[string]func(*tx.IssuedToken){
		"a second too long": func(i *tx.IssuedToken) { i.Expires = i.Expires.Add(time.Second) }, "no expiry": func(i *tx.IssuedToken) { i.Expires = time.Time{} },
		"expired": func(i *tx.IssuedToken) { i.Expires = at }, "a refresh token": func(i *tx.IssuedToken) { i.RefreshToken = "r" }, "an ID token": func(i *tx.IssuedToken) { i.IDToken = "d" },
		"no value": func(i *tx.IssuedToken) { i.Value = "" }, "nothing": func(i *tx.IssuedToken) { *i = tx.IssuedToken{} },
	} {
		t.Run(name, func(t *testing.T) {
			w, discarded := newWorld(t), false
			w.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
				i := good
				change(&i)
				i.Discard = func(context.Context) error { discarded = true; return nil }
				return i, nil
			})
			_, err := w.exchange(w.delegation(nil))
			require.ErrorIs(t, err, tx.ServerError)
			require.True(t, discarded)
		})
	}
	t.Run("an ID with a token in it", func(t *testing.T) {
		const value = "eyJ0eXAiOiJhdCtqd3QifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl+/=="
		const refresh, id = "rt_refresh+token", "an ID token"
		for name, bad := range map[string]bool{
			"i": false, "record 7": false, "sha256:eyJ0eXAi": false, "rt_": false,
			value: true, refresh: true, id: true, "jti:" + value: true, value + "#1": true,
			"[" + refresh + "]": true, url.QueryEscape(value): true, url.QueryEscape(refresh): true,
			"c2lnbmF0dXJl+/==": true,
		} {
			w, decide := newWorld(t), newWorld(t).Decide
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := decide(f)
				d.RefreshToken, d.RefreshExpires, d.IDToken = true, at.Add(time.Hour), true
				return d, err
			}
			w.TokenIssuer = issuerFunc(func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				return tx.IssuedToken{Value: value, ID: name, Expires: d.Expires, IDToken: id,
					RefreshToken: refresh, RefreshExpires: d.RefreshExpires}, nil
			})
			_, err := w.exchange(w.delegation(nil))
			require.Equal(t, bad, err != nil, name)
			event := fmt.Sprintf("%+v", w.lastEvent())
			for _, token := range []string{value, refresh, id} {
				require.NotContains(t, event, token, "I08")
			}
			if bad {
				require.ErrorContains(t, err, "I08")
			}
		}
		w := newWorld(t)
		w.TokenIssuer = issuerFunc(func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{Value: "v", ID: "v", Expires: d.Expires}, nil
		})
		_, err := w.exchange(w.delegation(nil))
		require.ErrorContains(t, err, "I08", "a short one")
	})
	t.Run("a refresh token", func(t *testing.T) {
		for within, want := range map[time.Duration]bool{0: true, -time.Minute: true, time.Second: false, -1000 * time.Hour: false} {
			w := newWorld(t)
			decide := w.Decide
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := decide(f)
				d.RefreshToken, d.RefreshExpires = true, at.Add(time.Hour)
				return d, err
			}
			w.TokenIssuer = issuerFunc(func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				i := tx.IssuedToken{Value: "v", ID: "i", Expires: d.Expires, RefreshToken: "r", RefreshExpires: d.RefreshExpires.Add(within)}
				if within < -time.Hour {
					i.RefreshExpires = time.Time{}
				}
				return i, nil
			})
			_, err := w.exchange(w.delegation(nil))
			require.Equal(t, want, err == nil, "%s beyond the decision", within)
		}
	})
	t.Run("an error and a token", func(t *testing.T) {
		w, discarded := newWorld(t), false
		w.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			i := good
			i.Discard = func(context.Context) error { discarded = true; return nil }
			return i, errors.New("half done")
		})
		_, err := w.exchange(w.delegation(nil))
		require.ErrorIs(t, err, tx.ServerError)
		require.True(t, discarded)
	})
	t.Run("less than decided is fine", func(t *testing.T) {
		w := newWorld(t)
		w.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{Value: "v", ID: "i", Expires: at.Add(time.Minute)}, nil
		})
		resp, err := w.exchange(w.delegation(nil))
		require.NoError(t, err)
		require.EqualValues(t, 60, resp.ExpiresIn)
	})
	t.Run("D23 an ID token that was decided and not made", func(t *testing.T) {
		w := newWorld(t)
		w.TokenIssuer = issuerFunc(func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			require.True(t, d.IDToken)
			return good, nil
		})
		f := w.delegation(claims{"scope": "openid read"})
		f.Set("scope", "openid")
		_, err := w.exchange(f)
		require.ErrorIs(t, err, tx.ServerError)
	})
}

func TestI09_OneNowAndOneIssuerPerRequest(t *testing.T) {
	w, asked := newWorld(t), 0
	w.Now = func() time.Time { asked++; return at.Add(time.Duration(asked) * 700 * time.Millisecond) }
	var seen []time.Time
	inner := w.Verify[tx.TypeAccessToken]
	w.Verify[tx.TypeAccessToken] = func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		seen = append(seen, c.Now)
		require.Equal(t, ownIss, c.Issuer)
		require.Equal(t, "shop", c.Client.ID)
		require.Equal(t, len(seen) == 2, c.Actor)
		return inner(ctx, c)
	}
	_, err := w.exchange(w.delegation(nil))
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	d := w.lastEvent().Decision
	require.Len(t, seen, 2)
	for _, now := range append(seen, d.Facts.Now, w.lastEvent().Time) {
		require.Equal(t, at.Add(700*time.Millisecond), now,
			"the time as it is: no token lives a fraction longer")
	}
	require.Equal(t, at, d.Issued, "whole seconds")
	w.configure()
	w.Issuer = "https://other-name.example"
	require.Equal(t, http.StatusBadRequest, w.post("shop", w.delegation(nil)).status, "our token under another name")
}

// TestI08_TokenAsItsOwnHandle: a verifier that returns what was presented as Token.ID would put it
// on record.
func TestI08_TokenAsItsOwnHandle(t *testing.T) {
	w := newWorld(t)
	inner := w.Verify[tx.TypeAccessToken]
	for _, actor := range []bool{false, true} {
		w.Verify[tx.TypeAccessToken] = func(ctx context.Context, c tx.Credential) (
			tx.Token, error) {
			tok, err := inner(ctx, c)
			if c.Actor == actor {
				tok.ID = "handle:" + c.Token
			}
			return tok, err
		}
		f := w.delegation(nil)
		w.post("shop", f).refused(t, tx.ServerError)
		written := fmt.Sprintf("%+v %v", w.lastEvent(), w.lastEvent().LogValue())
		require.NotContains(t, written, f.Get("subject_token"))
		require.NotContains(t, written, f.Get("actor_token"))
	}
}
