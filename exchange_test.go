package tokenexchange_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestI01_MissingParts leaves out one part of an Exchanger at a time. Every exchange is refused.
func TestI01_MissingParts(t *testing.T) {
	for name, remove := range map[string]func(*tx.Exchanger){
		"Issuer":             func(x *tx.Exchanger) { x.Issuer = "" },
		"Verify":             func(x *tx.Exchanger) { x.Verify = nil },
		"Subjects":           func(x *tx.Exchanger) { x.Resolver = nil },
		"Decide":             func(x *tx.Exchanger) { x.Decide = nil },
		"Actors":             func(x *tx.Exchanger) { x.Authorizer = nil },
		"Tokens":             func(x *tx.Exchanger) { x.TokenIssuer = nil },
		"Audit":              func(x *tx.Exchanger) { x.Audit = nil },
		"all":                func(x *tx.Exchanger) { *x = tx.Exchanger{} },
		"Subjects typed nil": func(x *tx.Exchanger) { x.Resolver = world.ResolverFunc(nil) },
		"Actors typed nil":   func(x *tx.Exchanger) { x.Authorizer = world.AuthorizerFunc(nil) },
		"Tokens typed nil":   func(x *tx.Exchanger) { x.TokenIssuer = (*tx.JWTIssuer)(nil) },
		"Audit typed nil":    func(x *tx.Exchanger) { x.Audit = world.SinkFunc(nil) },
		"Tokens zero":        func(x *tx.Exchanger) { x.TokenIssuer = &tx.JWTIssuer{} },
		"Audit zero":         func(x *tx.Exchanger) { x.Audit = auditlog.Sink{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			f := w.Delegation(nil)
			remove(&w.Exchanger)
			w.Post("shop", f).Refused(t, tx.ServerError)
			_, err := w.Exchanger.Run(context.Background(), "any", tx.Client{ID: "shop"}, nil)
			require.ErrorIs(t, err, tx.ServerError)
		})
	}
	w := world.New(t)
	t.Run("zero client", func(t *testing.T) {
		_, err := w.Exchange(context.Background(), tx.Client{}, w.Delegation(nil))
		require.ErrorIs(t, err, tx.InvalidClient)
		require.Len(t, w.Events, 1)
		require.Empty(t, w.Resolved, "no lookup without a client")
	})
	t.Run("no verifiers", func(t *testing.T) {
		f := w.Delegation(nil)
		w.Verify = tx.Verifiers{}
		_, err := w.Call(f)
		require.ErrorIs(t, err, tx.InvalidRequest)
		w.Verify = tx.Verifiers{tx.TypeAccessToken: nil}
		_, err = w.Call(f)
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
	t.Run("zero verifier, zero policy, zero decision", func(t *testing.T) {
		var v *tx.Verifier
		for _, verify := range []func(context.Context, tx.Credential) (tx.Token, error){
			v.Verify, new(tx.Verifier).Verify,
		} {
			w.Verify = tx.Verifiers{tx.TypeAccessToken: verify}
			_, err := w.Call(w.Delegation(nil))
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
		w.Configure()
		var p *tx.Policy
		for _, decide := range []func(tx.Facts) (tx.Decision, error){
			p.Decide, new(tx.Policy).Decide,
		} {
			w.Decide = decide
			_, err := w.Call(w.Delegation(nil))
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
		w.Decide = func(tx.Facts) (tx.Decision, error) { return tx.Decision{}, nil }
		_, err := w.Call(w.Delegation(nil))
		require.ErrorIs(t, err, tx.ServerError)
	})
	t.Run("a clock that panics", func(t *testing.T) {
		w := world.New(t)
		f := w.Delegation(nil)
		w.Now = func() time.Time { panic("clock") }
		_, err := w.Call(f)
		require.ErrorIs(t, err, tx.ServerError)
	})
	t.Run("Now nil is the clock", func(t *testing.T) {
		w := world.New(t)
		w.Now = nil
		now := time.Now().Unix()
		resp, err := w.Call(w.AccessForm(claims{"iat": now, "exp": now + 60}))
		require.NoError(t, err)
		require.Positive(t, resp.ExpiresIn)
		require.WithinDuration(t, time.Now(), w.LastEvent().Time, 10*time.Second)
	})
}

// TestI01_PolicyOfTheHost decides with a function of the host. A decision that is incomplete, or is
// for another issuer or client, reaches no TokenIssuer.
func TestI01_PolicyOfTheHost(t *testing.T) {
	w := world.New(t)
	ours := w.Decide
	issue := func(context.Context, tx.Decision) (tx.IssuedToken, error) {
		t.Error("a token was issued")
		return tx.IssuedToken{}, nil
	}
	w.TokenIssuer = world.IssuerFunc(issue)
	const ofOthers, incomplete = "a decision for another issuer or client", "decision_incomplete"
	for name, c := range map[string]struct {
		change func(*tx.Decision)
		reason string
	}{
		"another client": {func(d *tx.Decision) { d.Client = "other" }, ofOthers},
		"another issuer": {
			func(d *tx.Decision) { d.Issuer, d.Subject.Issuer = world.IDP, world.IDP }, ofOthers,
		},
		"no mode":     {func(d *tx.Decision) { d.Mode = "" }, incomplete},
		"no actor":    {func(d *tx.Decision) { d.Actor = nil }, incomplete},
		"no subject":  {func(d *tx.Decision) { d.Subject.ID = "" }, incomplete},
		"no type":     {func(d *tx.Decision) { d.Type = "" }, incomplete},
		"no audience": {func(d *tx.Decision) { d.Audience = nil }, incomplete},
		"no end":      {func(d *tx.Decision) { d.Expires = time.Time{} }, incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := ours(f)
				require.NoError(t, err)
				c.change(&d)
				return d, nil
			}
			_, err := w.Call(w.Delegation(nil))
			require.ErrorIs(t, err, tx.ServerError)
			require.ErrorContains(t, err, c.reason)
		})
	}
}

// TestR08_TokensAboutNobody calls Run with tokens that lack a type, an issuer or a subject. They
// are refused before anyone is looked up.
func TestR08_TokensAboutNobody(t *testing.T) {
	w := world.New(t)
	full := tx.Token{Type: tx.TypeAccessToken, Issuer: world.Own, Subject: "alice"}
	for name, empty := range map[string]func(*tx.Token){
		"type":    func(t *tx.Token) { t.Type = "" },
		"issuer":  func(t *tx.Token) { t.Issuer = "" },
		"subject": func(t *tx.Token) { t.Subject = "" },
	} {
		subject, actor := full, full
		empty(&subject)
		for role, tokens := range map[string][2]tx.Token{
			"subject": {subject, actor}, "actor": {actor, subject},
		} {
			_, err := w.Run(context.Background(), "any", w.Clients["shop"],
				func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
					return tx.Request{}, tokens[0], &tokens[1], nil
				})
			require.ErrorIs(t, err, tx.InvalidRequest, "%s of the %s token", name, role)
			require.Empty(t, w.Resolved)
		}
	}
}

// TestR08_VerifierOfTheHost verifies with a function of the host. An incomplete Token is refused,
// as from a verifier that does not know an opaque token and returns the zero Token.
func TestR08_VerifierOfTheHost(t *testing.T) {
	w := world.New(t)
	full := tx.Token{
		Type: tx.TypeAccessToken, Issuer: world.Own, Subject: "alice", ClientID: "shop",
		Audience: []string{world.API}, Scope: tx.Scope{"read"}, Expires: world.Now.Add(time.Hour),
	}
	for name, c := range map[string]struct {
		change func(*tx.Token)
		code   tx.Code
	}{
		"full":         {func(*tx.Token) {}, ""},
		"empty":        {func(t *tx.Token) { *t = tx.Token{} }, tx.InvalidRequest},
		"no type":      {func(t *tx.Token) { t.Type = "" }, tx.InvalidRequest},
		"another type": {func(t *tx.Token) { t.Type = tx.TypeIDToken }, tx.InvalidRequest},
		"no issuer":    {func(t *tx.Token) { t.Issuer = "" }, tx.InvalidRequest},
		"no subject":   {func(t *tx.Token) { t.Subject = "" }, tx.InvalidRequest},
		"no expiry":    {func(t *tx.Token) { t.Expires = time.Time{} }, tx.InvalidRequest},
		"expired":      {func(t *tx.Token) { t.Expires = world.Now }, tx.InvalidRequest},
		"foreign": {
			func(t *tx.Token) { t.Issuer, t.Subject = world.IDP, "ext-alice" }, tx.InvalidRequest,
		},
		"D22 no scope":      {func(t *tx.Token) { t.Scope = nil }, ""},
		"chain without sub": {func(t *tx.Token) { t.Actor = &tx.Actor{} }, tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			tok := full
			c.change(&tok)
			w.Verify[tx.TypeAccessToken] = func(context.Context, tx.Credential) (tx.Token, error) {
				return tok, nil
			}
			resp, err := w.Call(world.Present("opaque"))
			if c.code == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.code)
			}
			require.Equal(t, map[string]string{"full": "read"}[name], resp.Scope)
		})
	}
}

// TestR07_FoundAndDeclared checks that a token must have the type that was declared for it. TypeJWT
// may be any type.
func TestR07_FoundAndDeclared(t *testing.T) {
	w := world.New(t)
	found := tx.TypeIDToken
	host := func(context.Context, tx.Credential) (tx.Token, error) {
		tok := world.Record("alice", "shop")
		tok.Type = found
		return tok, nil
	}
	w.Verify[tx.TypeAccessToken], w.Verify[tx.TypeJWT] = host, host
	for _, c := range []struct {
		declared, found tx.TokenType
		good            bool
	}{
		{tx.TypeAccessToken, tx.TypeAccessToken, true},
		{tx.TypeAccessToken, tx.TypeIDToken, false},
		{tx.TypeAccessToken, tx.TypeJWT, false},
		{tx.TypeJWT, tx.TypeIDToken, true},
		{tx.TypeJWT, tx.TypeAccessToken, true},
		{tx.TypeJWT, "", false},
	} {
		found = c.found
		f := world.Form("opaque-1", c.declared)
		admin := w.ID(claims{"sub": "admin"})
		_, err := w.Call(world.WithActor(f, admin, tx.TypeIDToken))
		require.Equal(t, c.good, err == nil, "%v %v", c, err)
	}
}

// TestI06_NoTokenWithoutItsEvent lets the sink fail. No token leaves, and the issued token is
// discarded once, even if that fails as well.
func TestI06_NoTokenWithoutItsEvent(t *testing.T) {
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	panics := func(v any) func(context.Context) error {
		return func(context.Context) error { panic(v) }
	}
	for name, c := range map[string]struct {
		record func(context.Context) error
		code   tx.Code
	}{
		"fails":           {fails(errors.New("disk full")), tx.ServerError},
		"panics":          {panics("disk full"), tx.ServerError},
		"panics with nil": {panics(nil), tx.ServerError},
		"a typed nil":     {fails((*hostError)(nil)), tx.ServerError},
		"deadline":        {fails(world.ErrDeadline), tx.TemporarilyUnavailable},
		"says no":         {fails(fmt.Errorf("%w: x", tx.InvalidRequest)), tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			for _, discard := range []func(context.Context) error{
				nil, fails(nil), fails(errors.New("also down")), panics("also down"),
			} {
				w, times := world.New(t), int64(0)
				discarded := new(atomic.Int64)
				if discard != nil {
					discarded, times = countDiscards(w, discard), 1
				}
				w.Audit = world.SinkFunc(func(ctx context.Context, _ tx.Event) error {
					return c.record(ctx)
				})
				a := w.Post("shop", w.Delegation(nil)).Refused(t, c.code)
				require.NotContains(t, a.Raw, "eyJ")
				require.NotContains(t, a.Raw, "disk full")
				require.Equal(t, times, discarded.Load())
				w.Post("shop", world.Present("garbled")).Refused(t, c.code)
				require.Equal(t, times, discarded.Load(), "no token was issued")
			}
		})
	}
	t.Run("the request is gone, its event is not", func(t *testing.T) {
		w := world.New(t)
		ctx, cancel := context.WithCancel(context.Background())
		inner, discards := w.TokenIssuer, 0
		issue := func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			defer cancel()
			issued, err := inner.IssueToken(ctx, d)
			issued.Discard = func(ctx context.Context) error { discards++; return ctx.Err() }
			return issued, err
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		recorded := 0
		w.Audit = world.SinkFunc(func(ctx context.Context, e tx.Event) error {
			recorded++
			return ctx.Err()
		})
		_, err := w.Exchange(ctx, w.Clients["shop"], w.Delegation(nil))
		require.Equal(t, 1, recorded)
		require.NoError(t, err)
		require.Zero(t, discards)
		_, err = w.Exchange(ctx, w.Clients["shop"], w.Delegation(nil))
		require.Error(t, err)
		require.Equal(t, 2, recorded)
	})
}

// TestD07_EverybodyIsAskedAtEveryExchange checks that each exchange resolves the subject, the actor
// and the current actor of a chain, and that a refusal of any of them ends it.
func TestD07_EverybodyIsAskedAtEveryExchange(t *testing.T) {
	w := world.New(t)
	chain := claims{"sub": "bob", "client_id": "x", "act": claims{"sub": "carol"}}
	names := func() (list []string) {
		for _, tok := range w.Resolved {
			require.Equal(t, world.Own, tok.Issuer)
			list = append(list, tok.Subject+" "+string(tok.Type))
		}
		w.Resolved = nil
		return list
	}
	access := " " + string(tx.TypeAccessToken)
	for range 2 {
		w.Post("shop", w.Delegation(claims{"act": chain})).Granted(t)
		alice, admin, bob := "alice"+access, "admin"+access, "bob "
		require.Equal(t, []string{alice, admin, bob}, names(),
			"bob too, who is a prior actor of the result")
		w.Post("shop", w.AccessForm(claims{"act": chain})).Granted(t)
		require.Equal(t, []string{alice, bob}, names(), "narrow")
		w.Post("gateway", w.AccessForm(claims{"act": chain})).Granted(t)
		require.Equal(t, []string{alice, bob}, names(), "impersonate")
	}
	for name, c := range map[string]struct {
		answer tx.Identity
		err    error
		code   tx.Code
	}{
		"unknown": {
			tx.Identity{}, fmt.Errorf("%w: unknown", tx.InvalidRequest), tx.InvalidRequest,
		},
		"empty":        {tx.Identity{}, nil, tx.InvalidRequest},
		"without kind": {tx.Identity{Issuer: world.Own, ID: "x"}, nil, tx.InvalidRequest},
		"without id": {
			tx.Identity{Issuer: world.Own, Kind: tx.KindUser}, nil, tx.InvalidRequest,
		},
		"a kind of its own": {
			tx.Identity{Issuer: world.Own, Kind: "root", ID: "x"}, nil, tx.InvalidRequest,
		},
		"fails":    {tx.Identity{}, errors.New("directory is down"), tx.ServerError},
		"deadline": {tx.Identity{}, world.ErrDeadline, tx.TemporarilyUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			for _, who := range []string{"alice", "admin", "bob"} {
				w := world.New(t)
				inner := w.Resolver
				resolve := func(ctx context.Context, tok tx.Token) (tx.Subject, error) {
					if tok.Subject == who {
						return tx.Subject{Identity: c.answer}, c.err
					}
					return inner.ResolveSubject(ctx, tok)
				}
				w.Resolver = world.ResolverFunc(resolve)
				patch := claims{"act": chain}
				if who != "bob" {
					w.Post("shop", w.Delegation(patch)).Refused(t, c.code)
				}
				if who != "admin" {
					w.Post("shop", w.AccessForm(patch)).Refused(t, c.code)
					w.Post("gateway", w.AccessForm(patch)).Refused(t, c.code)
				}
			}
		})
	}
	t.Run("D19 a foreign subject that is not one of ours", func(t *testing.T) {
		w.People[world.IDP+" ext-alice"] = tx.Subject{
			Identity: tx.Identity{Issuer: world.IDP, Kind: tx.KindUser, ID: "ext-alice"},
		}
		w.Post("gateway", world.Form(w.ForeignToken(), tx.TypeJWT)).Refused(t, tx.InvalidRequest)
	})
	t.Run("a disabled client does not authenticate", func(t *testing.T) {
		delete(w.Clients, "shop")
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidClient)
	})
}

// TestD11_TheAuthorizerIsAsked checks in which modes the authorizer is asked, about whom, and when.
func TestD11_TheAuthorizerIsAsked(t *testing.T) {
	w := world.New(t)
	asked := func(client string, f url.Values) (about []string) {
		w.Asked = nil
		w.Post(client, f)
		for _, f := range w.Asked {
			actor := "-"
			if f.Actor != nil {
				actor = f.Actor.ID
			}
			about = append(about, fmt.Sprintf("%s for %s", actor, f.Subject.ID))
			require.Equal(t, client, f.Client.ID)
		}
		return about
	}
	ofBackend := claims{"client_id": "backend"}
	carried := claims{"act": claims{"sub": "bob"}}
	require.Equal(t, []string{"admin for alice"}, asked("shop", w.Delegation(nil)), "delegate")
	require.Equal(t, []string{"- for alice"}, asked("backend", w.AccessForm(ofBackend)),
		"client_as_actor")
	require.Equal(t, []string{"- for alice"}, asked("gateway", w.AccessForm(nil)), "impersonate")
	require.Equal(t, []string{"bob for alice"}, asked("gateway", w.AccessForm(carried)),
		"D13: about the current actor")
	require.Empty(t, asked("shop", w.AccessForm(nil)), "not for narrow")
	require.Empty(t, asked("shop", w.AccessForm(carried)), "not for narrow with a chain")
	require.Equal(t, []string{"admin for alice"},
		asked("shop", w.Delegation(claims{"client_id": "other"})), "before the policy")
	require.Empty(t, asked("backend", w.AccessForm(ofBackend, "scope", "admin")),
		"after the policy")
	t.Run("with all the facts", func(t *testing.T) {
		s := world.Person("alice")
		s.Privileges = []string{"administrator"}
		s.Tenant = "acme"
		w.People[world.Own+" alice"] = s
		w.Asked = nil
		w.Post("shop", w.Delegation(nil)).Granted(t)
		f := w.Asked[0]
		require.Equal(t, []string{"administrator"}, f.Subject.Privileges)
		require.Equal(t, "acme", f.Subject.Tenant)
		require.Equal(t, "alice", f.Subject.Token.Subject)
		require.Equal(t, "admin", f.Actor.Token.Subject)
		require.Equal(t, world.Now, f.Now)
		require.Equal(t, tx.GrantType, f.Grant)
		require.Empty(t, f.Request.SubjectToken+f.Request.ActorToken)
	})
	for code, err := range map[tx.Code]error{
		tx.InvalidRequest:         fmt.Errorf("%w: never", tx.InvalidRequest),
		tx.ServerError:            errors.New("down"),
		tx.TemporarilyUnavailable: world.ErrDeadline,
	} {
		w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error { return err })
		w.Post("shop", w.Delegation(nil)).Refused(t, code)
		w.Post("gateway", w.AccessForm(nil)).Refused(t, code)
		w.Post("backend", w.AccessForm(claims{"client_id": "backend"})).Refused(t, code)
		w.Post("shop", w.AccessForm(nil)).Granted(t)
	}
}

// TestI04_AnIssuerThatGoesBeyondTheDecision issues more than was decided, less, or nothing. A token
// that goes beyond the decision is discarded.
func TestI04_AnIssuerThatGoesBeyondTheDecision(t *testing.T) {
	good := tx.IssuedToken{Value: "v", ID: "i", Expires: world.Now.Add(time.Hour)}
	for name, change := range map[string]func(*tx.IssuedToken){
		"a second too long": func(i *tx.IssuedToken) { i.Expires = i.Expires.Add(time.Second) },
		"no expiry":         func(i *tx.IssuedToken) { i.Expires = time.Time{} },
		"expired":           func(i *tx.IssuedToken) { i.Expires = world.Now },
		"a refresh token":   func(i *tx.IssuedToken) { i.RefreshToken = "r" },
		"an ID token":       func(i *tx.IssuedToken) { i.IDToken = "d" },
		"no value":          func(i *tx.IssuedToken) { i.Value = "" },
		"nothing":           func(i *tx.IssuedToken) { *i = tx.IssuedToken{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			issue := func(context.Context, tx.Decision) (tx.IssuedToken, error) {
				i := good
				change(&i)
				return i, nil
			}
			w.TokenIssuer = world.IssuerFunc(issue)
			discarded := countDiscards(w, func(context.Context) error { return nil })
			_, err := w.Call(w.Delegation(nil))
			require.ErrorIs(t, err, tx.ServerError)
			require.EqualValues(t, 1, discarded.Load())
		})
	}
	t.Run("an ID with a token in it", func(t *testing.T) {
		const value = "eyJ0eXAiOiJhdCtqd3QifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl+/=="
		const refresh, id = "rt_refresh+token", "an ID token"
		for name, bad := range map[string]bool{
			"i": false, "record 7": false, "sha256:eyJ0eXAi": false, "rt_": false,
			value: true, refresh: true, id: true, "c2lnbmF0dXJl+/==": true,
			"jti:" + value: true, value + "#1": true, "[" + refresh + "]": true,
			url.QueryEscape(value): true, url.QueryEscape(refresh): true,
		} {
			w, decide := world.New(t), world.New(t).Decide
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := decide(f)
				d.RefreshToken, d.RefreshExpires, d.IDToken = true, world.Now.Add(time.Hour), true
				return d, err
			}
			issue := func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				return tx.IssuedToken{
					Value: value, ID: name, Expires: d.Expires, IDToken: id,
					RefreshToken: refresh, RefreshExpires: d.RefreshExpires,
				}, nil
			}
			w.TokenIssuer = world.IssuerFunc(issue)
			_, err := w.Call(w.Delegation(nil))
			require.Equal(t, bad, err != nil, name)
			event := fmt.Sprintf("%+v", w.LastEvent())
			for _, token := range []string{value, refresh, id} {
				require.NotContains(t, event, token, "I08")
			}
			if bad {
				require.ErrorContains(t, err, "I08")
			}
		}
		w := world.New(t)
		issue := func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{Value: "v", ID: "v", Expires: d.Expires}, nil
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		_, err := w.Call(w.Delegation(nil))
		require.ErrorContains(t, err, "I08", "a short one")
	})
	t.Run("a refresh token", func(t *testing.T) {
		for within, want := range map[time.Duration]bool{
			0: true, -time.Minute: true, time.Second: false, -1000 * time.Hour: false,
		} {
			w := world.New(t)
			decide := w.Decide
			w.Decide = func(f tx.Facts) (tx.Decision, error) {
				d, err := decide(f)
				d.RefreshToken, d.RefreshExpires = true, world.Now.Add(time.Hour)
				return d, err
			}
			issue := func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				i := tx.IssuedToken{
					Value: "v", ID: "i", Expires: d.Expires,
					RefreshToken: "r", RefreshExpires: d.RefreshExpires.Add(within),
				}
				if within < -time.Hour {
					i.RefreshExpires = time.Time{}
				}
				return i, nil
			}
			w.TokenIssuer = world.IssuerFunc(issue)
			_, err := w.Call(w.Delegation(nil))
			require.Equal(t, want, err == nil, "%s beyond the decision", within)
		}
	})
	t.Run("an error and a token", func(t *testing.T) {
		w := world.New(t)
		issue := func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return good, errors.New("half done")
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		discarded := countDiscards(w, func(context.Context) error { return nil })
		_, err := w.Call(w.Delegation(nil))
		require.ErrorIs(t, err, tx.ServerError)
		require.EqualValues(t, 1, discarded.Load())
	})
	t.Run("less than decided is fine", func(t *testing.T) {
		w := world.New(t)
		issue := func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{Value: "v", ID: "i", Expires: world.Now.Add(time.Minute)}, nil
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		resp, err := w.Call(w.Delegation(nil))
		require.NoError(t, err)
		require.EqualValues(t, 60, resp.ExpiresIn)
	})
	t.Run("D23 an ID token that was decided and not made", func(t *testing.T) {
		w := world.New(t)
		issue := func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			require.True(t, d.IDToken)
			return good, nil
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		_, err := w.Call(w.Delegation(claims{"scope": "openid read"}, "scope", "openid"))
		require.ErrorIs(t, err, tx.ServerError)
	})
}

// TestI09_OneNowAndOneIssuerPerRequest checks that the clock is read once, and that every step has
// the same time and the same issuer.
func TestI09_OneNowAndOneIssuerPerRequest(t *testing.T) {
	w, asked := world.New(t), 0
	w.Now = func() time.Time {
		asked++
		return world.Now.Add(time.Duration(asked) * 700 * time.Millisecond)
	}
	var seen []time.Time
	inner := w.Verify[tx.TypeAccessToken]
	w.Verify[tx.TypeAccessToken] = func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		seen = append(seen, c.Now)
		require.Equal(t, world.Own, c.Issuer)
		require.Equal(t, "shop", c.Client.ID)
		require.Equal(t, len(seen) == 2, c.Actor)
		return inner(ctx, c)
	}
	_, err := w.Call(w.Delegation(nil))
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	d := w.LastEvent().Decision
	require.Len(t, seen, 2)
	for _, now := range append(seen, d.Facts.Now, w.LastEvent().Time) {
		require.Equal(t, world.Now.Add(700*time.Millisecond), now,
			"the time with its fraction")
	}
	require.Equal(t, world.Now, d.Issued, "whole seconds")
	w.Configure()
	w.Issuer = "https://other-name.example"
	require.Equal(t, http.StatusBadRequest, w.Post("shop", w.Delegation(nil)).Status,
		"our token has another issuer now")
}

// TestI08_TokenAsItsOwnHandle lets the verifier return a Token.ID that contains the token. The
// event must not record it.
func TestI08_TokenAsItsOwnHandle(t *testing.T) {
	w := world.New(t)
	inner := w.Verify[tx.TypeAccessToken]
	for _, actor := range []bool{false, true} {
		verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
			tok, err := inner(ctx, c)
			if c.Actor == actor {
				tok.ID = "handle:" + c.Token
			}
			return tok, err
		}
		w.Verify[tx.TypeAccessToken] = verify
		f := w.Delegation(nil)
		w.Post("shop", f).Refused(t, tx.ServerError)
		written := fmt.Sprintf("%+v %v", w.LastEvent(), w.LastEvent().LogValue())
		require.NotContains(t, written, f.Get("subject_token"))
		require.NotContains(t, written, f.Get("actor_token"))
	}
}

// TestExchange_RefusalOfTheHost checks that an *Error of a host keeps its reason, its cause and at
// most 1000 bytes of its detail, and is not repeated as its own cause.
func TestExchange_RefusalOfTheHost(t *testing.T) {
	w := world.New(t)
	cause := errors.New("a cause")
	w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error {
		return &tx.Error{Code: tx.InvalidRequest, Reason: "no_training", Err: cause,
			Detail: strings.Repeat("x", 2000)}
	})
	w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
	e := tx.AsError(w.LastEvent().Err)
	require.Equal(t, "no_training", e.Reason)
	require.Equal(t, strings.Repeat("x", 1000)+"…", e.Detail)
	require.Equal(t, cause, e.Err)
}

// TestI08_UserIDInAnError presents a user id as the subject token of another grant. It is a name,
// so that errors may contain it; the actor token beside it is a secret.
func TestI08_UserIDInAnError(t *testing.T) {
	const user, secret = "user-0123456789", "secret-0123456789"
	w := world.New(t)
	open := func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		err := fmt.Errorf("%w: %s and %s", tx.InvalidRequest, user, secret)
		r := tx.Request{SubjectToken: user, ActorToken: secret}
		return r, tx.Token{Name: true, Issuer: world.Own, Subject: user}, nil, err
	}
	_, err := w.Run(t.Context(), "other", tx.Client{ID: "shop"}, open)
	require.ErrorContains(t, err, user)
	require.NotContains(t, err.Error(), secret)
}

// hanging are calls of a host that do not return before until is closed.
var hanging = map[string]func(ctx context.Context, until <-chan struct{}) error{
	"heeds its context": func(ctx context.Context, until <-chan struct{}) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-until:
			return nil
		}
	},
	"ignores its context": func(_ context.Context, until <-chan struct{}) error {
		<-until
		return nil
	},
	"panics too late": func(_ context.Context, until <-chan struct{}) error {
		<-until
		panic("late")
	},
}

// TestI06_SinkThatHangs checks that an exchange waits for its sink no longer than RecordTimeout.
// Recording has failed then, so no token leaves, and the issued token is discarded.
func TestI06_SinkThatHangs(t *testing.T) {
	for name, record := range hanging {
		t.Run(name, func(t *testing.T) {
			w, until := world.New(t), make(chan struct{})
			defer close(until)
			discarded := countDiscards(w, func(context.Context) error { return nil })
			granted, refused := w.Delegation(nil), world.Present("garbled")
			w.Audit = world.SinkFunc(func(ctx context.Context, _ tx.Event) error {
				return record(ctx, until)
			})
			w.RecordTimeout = 20 * time.Millisecond
			for _, f := range []url.Values{granted, refused} {
				a := inTime(w, f).Refused(t, tx.TemporarilyUnavailable)
				require.NotContains(t, a.Raw, "eyJ")
			}
			require.EqualValues(t, 1, discarded.Load(), "no token was issued for the garbled one")
		})
	}
}

// TestI06_DiscardThatHangs checks that Discard has RecordTimeout too.
func TestI06_DiscardThatHangs(t *testing.T) {
	for name, discard := range hanging {
		t.Run(name, func(t *testing.T) {
			w, until := world.New(t), make(chan struct{})
			defer close(until)
			discarded := countDiscards(w, func(ctx context.Context) error {
				return discard(ctx, until)
			})
			f := w.Delegation(nil)
			w.Audit = world.SinkFunc(func(context.Context, tx.Event) error {
				return errors.New("disk full")
			})
			w.RecordTimeout = 20 * time.Millisecond
			inTime(w, f).Refused(t, tx.ServerError)
			require.EqualValues(t, 1, discarded.Load())
		})
	}
}

// TestI06_TimeOfRecordingAndDiscarding checks that each of the two calls has RecordTimeout, by
// default 5 seconds, and that the deadline of the request does not shorten it.
func TestI06_TimeOfRecordingAndDiscarding(t *testing.T) {
	for name, c := range map[string]struct{ set, each time.Duration }{
		"default": {0, 5 * time.Second}, "set": {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			synctest.Test(t, func(t *testing.T) {
				until := make(chan struct{})
				left := make(chan time.Duration, 2)
				forever := func(ctx context.Context) error {
					end, _ := ctx.Deadline()
					left <- time.Until(end)
					<-until
					return nil
				}
				countDiscards(w, forever)
				w.Audit = world.SinkFunc(func(ctx context.Context, _ tx.Event) error {
					return forever(ctx)
				})
				w.RecordTimeout = c.set
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begin := time.Now()
				_, err := w.Exchange(ctx, w.Clients["shop"], w.Delegation(nil))
				require.ErrorIs(t, err, tx.TemporarilyUnavailable)
				require.ErrorContains(t, err, "no answer within "+c.each.String())
				require.Equal(t, 2*c.each, time.Since(begin))
				require.Equal(t, []time.Duration{c.each, c.each}, []time.Duration{<-left, <-left})
				close(until)
			})
		})
	}
}

// TestI06_SlowSink checks that the exchange waits for a sink that needs almost RecordTimeout.
func TestI06_SlowSink(t *testing.T) {
	w := world.New(t)
	synctest.Test(t, func(t *testing.T) {
		recorded := false
		w.Audit = world.SinkFunc(func(ctx context.Context, _ tx.Event) error {
			time.Sleep(5*time.Second - time.Nanosecond)
			recorded = true
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Exchange(ctx, w.Clients["shop"], w.Delegation(nil))
		require.NoError(t, err)
		require.True(t, recorded)
	})
}

// TestI06_SinkThatExits ends the goroutine of the sink. The exchange does not wait for
// RecordTimeout, and has no record.
func TestI06_SinkThatExits(t *testing.T) {
	w := world.New(t)
	w.Audit = world.SinkFunc(func(context.Context, tx.Event) error { runtime.Goexit(); return nil })
	w.RecordTimeout = time.Hour
	inTime(w, w.Delegation(nil)).Refused(t, tx.ServerError)
}

// TestI12_WhereTheSinkPanicked checks that the error names the function of the host that panicked,
// though another goroutine calls it, and does not contain the value.
func TestI12_WhereTheSinkPanicked(t *testing.T) {
	w := world.New(t)
	countDiscards(w, func(context.Context) error { return brokenHost("discarding") })
	w.Audit = world.SinkFunc(func(context.Context, tx.Event) error {
		return brokenHost("recording")
	})
	_, err := w.Exchange(t.Context(), w.Clients["shop"], w.Delegation(nil))
	require.ErrorIs(t, err, tx.ServerError)
	const place = `panic in .*brokenHost, line \d+: value of type string`
	require.Regexp(t, `(?s)`+place+`.*`+place, err)
	require.NotContains(t, err.Error(), "recording token")
}

//go:noinline
func brokenHost(what string) error { panic(what + " token") }

// countDiscards makes discard the Discard of all issued tokens, and counts its calls.
func countDiscards(w *world.World, discard func(context.Context) error) *atomic.Int64 {
	inner, n := w.TokenIssuer, new(atomic.Int64)
	issue := func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		issued, err := inner.IssueToken(ctx, d)
		issued.Discard = func(ctx context.Context) error { n.Add(1); return discard(ctx) }
		return issued, err
	}
	w.TokenIssuer = world.IssuerFunc(issue)
	return n
}

// inTime posts as shop. It fails if no answer comes within a time that is much longer than the
// RecordTimeout of the tests that call it.
func inTime(w *world.World, f url.Values) world.Answer {
	came := make(chan world.Answer, 1)
	go func() { came <- w.Post("shop", f) }()
	select {
	case a := <-came:
		return a
	case <-time.After(10 * time.Second):
		require.FailNow(w, "no answer")
		return world.Answer{}
	}
}
