package tokenexchange_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// A sequence of exchanges grants no more than its first token allowed. These tests run on a host
// that issues JWTs and keeps no records, so a later exchange knows only what is in the token.

// issuesTickets makes the world issue tickets, its own evidence type.
func issuesTickets(w *world.World) {
	w.TokenIssuer = world.NewIssuer(w, w.Key, "own-1", tx.JWTIssuer{
		Types: map[tx.TokenType]string{world.TypeTicket: "ticket+jwt"},
		Claims: func(_ context.Context, d tx.Decision, c map[string]any) error {
			if d.Type == world.TypeTicket {
				c["may_act"] = claims{"sub": "admin"}
			}
			return nil
		},
	})
	for i := range w.Rules {
		if w.Rules[i].Narrow == nil {
			w.Rules[i].Types = append(w.Rules[i].Types, world.TypeTicket)
		}
	}
	w.Configure()
}

// ticketFor has gateway issue a ticket for shop.
func ticketFor(w *world.World, change claims) string {
	f := w.AccessForm(change, "audience", "shop")
	f.Set("requested_token_type", world.TypeTicket)
	return w.Post("gateway", f).Issued(w)
}

// TestLineage_MayAct checks that a new token has the may_act of the old one, in every mode that
// adds no actor and for every type of token.
func TestLineage_MayAct(t *testing.T) {
	w := world.New(t)
	issuesTickets(w)
	w.Rule("impersonate").Impersonate.MayActClient = true
	w.Configure()
	carol := claims{"may_act": claims{"sub": "carol"}}
	access := w.AccessForm(carol)
	w.Post("shop", w.ByAdmin(access)).Refused(t, tx.InvalidRequest)
	narrowed := w.Post("shop", access).Issued(t)
	twice := w.Post("shop", world.Present(narrowed)).Issued(t)
	for _, token := range []string{narrowed, twice} {
		w.Post("shop", w.ByAdmin(world.Present(token))).Refused(t, tx.InvalidRequest)
		require.Contains(t, w.LastEvent().Err.Error(), "may_act")
	}
	byCarol := world.WithActor(world.Present(twice), w.Access(claims{"sub": "carol"}),
		tx.TypeAccessToken)
	w.Post("shop", byCarol).Granted(t)

	gateway := claims{"may_act": claims{"sub": "carol", "client_id": "gateway"}}
	for _, want := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		through := w.AccessForm(gateway, "requested_token_type", string(want))
		got := w.Post("gateway", through).Granted(t)
		require.Equal(t, claims{"iss": world.Own, "sub": "carol", "client_id": "gateway"},
			got["may_act"], want)
	}
	t.Run("an actor that is outermost already is not new", func(t *testing.T) {
		chain := claims{
			"may_act": claims{"sub": "admin"},
			"act":     claims{"iss": world.Own, "sub": "admin", "client_id": "shop"},
		}
		again := w.Post("shop", w.Delegation(chain)).Granted(t)
		require.Equal(t, claims{"iss": world.Own, "sub": "admin"}, again["may_act"])
	})
}

// TestLineage_Scope checks that no detour over a type without scope grants a scope that the first
// token did not have.
func TestLineage_Scope(t *testing.T) {
	w := world.New(t)
	issuesTickets(w)
	w.Clients["gateway"] = tx.Client{ID: "gateway", Scope: tx.Scope{"read", "write", "openid"}}
	own := func(c claims) func() url.Values {
		return func() url.Values { return w.AccessForm(c) }
	}
	foreign := func(c claims) func() url.Values {
		return func() url.Values { return world.Form(w.ForeignToken(c), tx.TypeJWT) }
	}
	loginsID := func() url.Values { return world.Form(w.ID(), tx.TypeIDToken) }
	first := map[string]struct {
		form  func() url.Values
		scope []string // that the first token allows
	}{
		"read only":            {own(claims{"scope": "read openid"}), []string{"read"}},
		"no scope":             {own(claims{"scope": nil}), nil},
		"foreign, mapped":      {foreign(nil), []string{"read"}},
		"foreign, unmapped":    {foreign(claims{"scope": "else"}), nil},
		"foreign, unreadable":  {foreign(claims{"scope": []string{"ext.read"}}), nil},
		"foreign, absent":      {foreign(claims{"scope": nil}), nil},
		"a login's ID token":   {loginsID, []string{"read", "write"}},
		"foreign, scp unknown": {foreign(claims{"scope": nil, "scp": "else"}), nil},
	}
	detours := map[string]func(f url.Values) url.Values{
		"none": func(f url.Values) url.Values { return f },
		"an ID token": func(f url.Values) url.Values {
			f.Set("requested_token_type", string(tx.TypeIDToken))
			return world.Form(w.Post("gateway", f).Issued(t), tx.TypeIDToken)
		},
		"two ID tokens": func(f url.Values) url.Values {
			f.Set("requested_token_type", string(tx.TypeIDToken))
			f = world.Form(w.Post("gateway", f).Issued(t), tx.TypeIDToken)
			f.Set("requested_token_type", string(tx.TypeIDToken))
			return world.Form(w.Post("gateway", f).Issued(t), tx.TypeIDToken)
		},
	}
	for name, row := range first {
		for way, detour := range detours {
			t.Run(name+" over "+way, func(t *testing.T) {
				for _, scope := range []string{"read", "write"} {
					f := detour(row.form())
					f.Set("scope", scope)
					a := w.Post("gateway", f)
					if slices.Contains(row.scope, scope) {
						require.Equal(t, scope, a.Granted(t)["scope"])
					} else {
						a.Refused(t, tx.InvalidScope)
					}
				}
			})
		}
	}
	t.Run("what was asked for with an ID token is its ceiling", func(t *testing.T) {
		f := w.AccessForm(claims{"scope": "read write openid"}, "scope", "read")
		f.Set("requested_token_type", string(tx.TypeIDToken))
		id := w.Post("gateway", f).Issued(t)
		w.Post("gateway", world.Form(id, tx.TypeIDToken, "scope", "read")).Granted(t)
		w.Post("gateway", world.Form(id, tx.TypeIDToken, "scope", "write")).
			Refused(t, tx.InvalidScope)
	})
	t.Run("the ID token beside an access token", func(t *testing.T) {
		f := w.AccessForm(claims{"scope": "read openid"}, "scope", "read openid")
		a := w.Post("gateway", f)
		a.Granted(t)
		id := a.JSON["id_token"].(string)
		w.Post("gateway", world.Form(id, tx.TypeIDToken, "scope", "write")).
			Refused(t, tx.InvalidScope)
	})
	t.Run("a ticket without scope", func(t *testing.T) {
		w.Rule("impersonate").Targets = append(w.Rule("impersonate").Targets, "shop")
		w.Configure()
		made := ticketFor(w, claims{"scope": nil})
		require.Equal(t, "", world.ClaimsOf(t, made)["scope"], "known to be empty")
		f := w.ByAdmin(world.Form(made, tx.TypeJWT))
		require.NotContains(t, w.Post("shop", f).Granted(t), "scope")
		w.Post("shop", world.With(f, "scope", "read")).Refused(t, tx.InvalidScope)
	})
}

// TestLineage_End checks that evidence made from a token that expires soon grants no token that
// lives longer.
func TestLineage_End(t *testing.T) {
	w := world.New(t)
	issuesTickets(w)
	w.Rule("impersonate").Targets = append(w.Rule("impersonate").Targets, "shop")
	w.Rule("impersonate").Lifetime = 20 * time.Second
	w.Configure()
	in := func(s time.Duration) json.Number {
		return json.Number(fmt.Sprint(world.Now.Add(s * time.Second).Unix()))
	}
	made := ticketFor(w, claims{"exp": in(30)})
	require.Equal(t, in(20), world.ClaimsOf(t, made)["exp"])
	got := w.Post("shop", w.ByAdmin(world.Form(made, tx.TypeJWT))).Granted(t)
	require.Equal(t, in(30), got["exp"], "the expiry of the first token, not of the ticket")

	alice := world.Person("alice")
	alice.Until = world.Now.Add(25 * time.Second)
	w.People[world.Own+" alice"] = alice
	w.Rule("impersonate").Impersonate.OutliveSubject = true
	w.Configure()
	made = ticketFor(w, claims{"exp": in(30)})
	got = w.Post("shop", w.ByAdmin(world.Form(made, tx.TypeJWT))).Granted(t)
	require.Equal(t, in(25), got["exp"], "Until may be earlier")
}

// TestLineage_Organisation checks that a selected organisation stays selected as long as the
// subject belongs to it, and that the authorizer is asked about the organisation of the new token.
func TestLineage_Organisation(t *testing.T) {
	w := world.New(t)
	alice := world.Person("alice")
	alice.Tenant, alice.Tenants = "acme", []string{"acme", "globex"}
	w.People[world.Own+" alice"] = alice
	w.Rule("delegate").Delegate.TenantTargets = true
	w.Rule("impersonate").Impersonate.TenantTargets = true
	w.Configure()
	tenant := func(a world.Answer) string {
		a.Granted(t)
		return w.LastEvent().Decision.Subject.Tenant
	}
	require.Equal(t, "acme", tenant(w.Post("gateway", w.AccessForm(nil))))
	switched := w.Post("gateway", w.AccessForm(nil, "audience", "globex")).Issued(t)
	lineage := world.ClaimsOf(t, switched)["lineage"].(claims)
	require.Len(t, lineage["from"], 1)
	delete(lineage, "from")
	begun := json.Number(fmt.Sprint(world.Now.Unix()))
	require.Equal(t, claims{"tenant": "globex", "lent": true, "begun": begun}, lineage)
	again := world.Present(switched)
	require.Equal(t, "globex", tenant(w.Post("gateway", again)))
	require.Equal(t, "acme", tenant(w.Post("gateway", world.With(again, "audience", "acme"))),
		"until another one is selected")

	byShop := w.Post("shop", w.Delegation(nil, "audience", "globex")).Issued(t)
	require.Equal(t, "globex", tenant(w.Post("shop", world.Present(byShop))), "narrowed")

	t.Run("rules speak of the organisation of the token", func(t *testing.T) {
		w.Rule("impersonate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "acme", ID: "*"}}
		w.Configure()
		w.Post("gateway", w.AccessForm(nil)).Granted(t)
		w.Post("gateway", world.Present(switched)).Refused(t, tx.InvalidRequest)
		w.Rule("impersonate").Subjects[0].Tenant = "globex"
		w.Configure()
		w.Post("gateway", world.Present(switched)).Granted(t)
	})
	t.Run("the authorizer is asked about the organisation of the result", func(t *testing.T) {
		w.Authorizer = world.AuthorizerFunc(func(_ context.Context, f tx.Facts) error {
			w.Asked = append(w.Asked, f)
			if f.Subject.Tenant != "acme" {
				return fmt.Errorf("%w: only in acme", tx.InvalidRequest)
			}
			return nil
		})
		w.Asked = nil
		delegation := w.AccessForm(nil)
		w.Post("shop", w.ByAdmin(delegation)).Granted(t)
		require.Len(t, w.Asked, 1)
		w.Post("shop", w.ByAdmin(world.With(delegation, "audience", "globex"))).
			Refused(t, tx.InvalidRequest)
		require.Len(t, w.Asked, 2)
		require.Equal(t, "globex", w.Asked[1].Subject.Tenant)
		require.Equal(t, "acme", w.Asked[1].Subject.PresentedTenant, "it sees both")
		w.Rule("impersonate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
		w.Configure()
		w.Post("gateway", world.Present(switched)).Refused(t, tx.InvalidRequest)
		require.Equal(t, "globex", w.Asked[2].Subject.Tenant, "after the policy, about the client")
	})
	t.Run("a policy that selects what was not foreseen", func(t *testing.T) {
		decide := w.Decide
		w.Decide = func(f tx.Facts) (tx.Decision, error) {
			d, err := decide(f)
			d.Subject.Tenant = "globex"
			return d, err
		}
		w.Asked = nil
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
		require.Len(t, w.Asked, 2, "the second time about the decision")
		w.Configure()
	})
	w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error { return nil })
	t.Run("the subject has left it", func(t *testing.T) {
		w.Post("gateway", world.Present(switched)).Granted(t)
		alice.Tenants = []string{"acme"}
		w.People[world.Own+" alice"] = alice
		w.Post("gateway", world.Present(switched)).Refused(t, tx.InvalidRequest)
	})
	t.Run("an actor token as well", func(t *testing.T) {
		admin := world.Person("admin")
		admin.Tenant, admin.Tenants = "acme", []string{"globex"}
		w.People[world.Own+" admin"] = admin
		by := func(f url.Values, tenant string) url.Values {
			actor := w.Access(claims{"sub": "admin", "lineage": claims{"tenant": tenant}})
			return world.WithActor(f, actor, tx.TypeAccessToken)
		}
		inGlobex := tx.Identity{Kind: tx.KindUser, Tenant: "globex", ID: "*"}
		w.Rule("delegate").Delegate.Actors = []tx.Identity{inGlobex}
		w.Configure()
		f := w.AccessForm(nil)
		w.Post("shop", w.ByAdmin(f)).Refused(t, tx.InvalidRequest)
		w.Post("shop", by(f, "globex")).Granted(t)
		w.Rule("delegate").Delegate.Actors[0].Tenant = "*"
		w.Configure()
		w.Post("shop", by(f, "initech")).Refused(t, tx.InvalidRequest)
		require.Contains(t, w.LastEvent().Err.Error(), "organisation")
	})
}

// TestLineage_CurrentActor checks that every mode refuses a chain whose current actor is disabled,
// or cannot be looked up.
func TestLineage_CurrentActor(t *testing.T) {
	w := world.New(t)
	w.Rule("as-client").ClientActs.OtherTokens = true
	w.Configure()
	chain := w.Access(claims{"act": claims{"iss": world.Own, "sub": "bob", "client_id": "x"}})
	as := func(client string) func() world.Answer {
		return func() world.Answer { return w.Post(client, world.Present(chain)) }
	}
	modes := map[string]func() world.Answer{
		"narrow":          as("shop"),
		"impersonate":     as("gateway"),
		"client-as-actor": as("backend"),
		"delegate": func() world.Answer {
			return w.Post("shop", w.ByAdmin(world.Present(chain)))
		},
	}
	for mode, post := range modes {
		t.Run(mode, func(t *testing.T) {
			post().Granted(t)
			bob := w.People[world.Own+" bob"]
			delete(w.People, world.Own+" bob")
			post().Refused(t, tx.InvalidRequest)
			require.Contains(t, w.LastEvent().Err.Error(), "the current actor")
			w.People[world.Own+" bob"] = bob
			inner := w.Resolver
			resolve := func(ctx context.Context, tok tx.Token) (tx.Subject, error) {
				if tok.Subject == "bob" {
					return tx.Subject{}, errors.New("the directory is down")
				}
				return inner.ResolveSubject(ctx, tok)
			}
			w.Resolver = world.ResolverFunc(resolve)
			post().Refused(t, tx.ServerError)
			w.Resolver = inner
		})
	}
}

// TestLineage_Lent checks that a token which an API made from the token of its caller is no actor
// token, also after further exchanges.
func TestLineage_Lent(t *testing.T) {
	w := world.New(t)
	w.Rules = append(w.Rules, tx.Rule{
		Name: "api", Impersonate: &tx.Impersonation{IDToken: true}, Clients: []string{"shop"},
		Subjects:     w.Rule("impersonate").Subjects,
		SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
		Types:        w.Rule("impersonate").Types,
		Targets:      []string{world.API, "shop"}, Scope: tx.Scope{"*"}, Lifetime: time.Hour,
	})
	w.Configure()
	caller := w.Access(claims{
		"sub": "admin", "client_id": "other", "aud": "shop", "scope": "read openid",
	})
	acting := func(token string, kind tx.TokenType) world.Answer {
		return w.Post("shop", world.WithActor(w.AccessForm(nil), token, kind))
	}
	acting(caller, tx.TypeAccessToken).Refused(t, tx.InvalidRequest)
	for _, want := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		f := world.Present(caller, "requested_token_type", string(want), "scope", "read")
		acting(w.Post("shop", f).Issued(t), want).Refused(t, tx.InvalidRequest)
		require.Contains(t, w.LastEvent().Err.Error(), "D05")
	}
	one := w.Post("shop", world.Present(caller)).Issued(t)
	two := w.Post("shop", world.Present(one)).Issued(t)
	acting(two, tx.TypeAccessToken).Refused(t, tx.InvalidRequest)
	own := w.Post("shop", w.AccessForm(claims{"sub": "admin"})).Issued(t)
	acting(own, tx.TypeAccessToken).Granted(t)
	t.Run("a client's own word", func(t *testing.T) {
		w.Trusts = append(w.Trusts, tx.Trust{
			Issuer: "shop", JWKS: world.KeySet(t, w.Key, "shop-1"), Foreign: true, Client: true,
			Audience: []string{world.Own},
			Types:    map[tx.TokenType]string{world.TypeAssertion: "JWT"},
		})
		w.People["shop admin"] = world.Person("admin")
		w.Configure()
		v, err := tx.NewVerifier(w.Trusts...)
		require.NoError(t, err)
		word := world.Sign(t, w.Key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`,
			world.Payload(claims{
				"iss": "shop", "sub": "admin", "aud": world.Own,
				"iat": world.Now.Unix(), "exp": world.Now.Unix() + 60,
			}))
		w.Rule("api").SubjectTypes = append(w.Rule("api").SubjectTypes, world.TypeAssertion)
		w.Configure()
		open := func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
			tok, err := verify(t, v, word, tx.TypeJWT)
			return tx.Request{Audience: []string{world.API}}, tok, nil, err
		}
		made, err := w.Run(t.Context(), "assertion", w.Clients["shop"], open)
		require.NoError(t, err)
		acting(made.AccessToken, tx.TypeAccessToken).Refused(t, tx.InvalidRequest)
	})
	w.Rule("delegate").Delegate.OtherActors = true
	w.Configure()
	acting(two, tx.TypeAccessToken).Granted(t)
}

// TestLineage_Origins checks that a host which keeps a list of revoked names, and no records, can
// refuse every token that was made from a revoked token.
func TestLineage_Origins(t *testing.T) {
	w := world.New(t)
	denied := map[string]bool{}
	w.Trusts[0].Live = func(_ context.Context, tok tx.Token) error {
		names := []string{tok.Origin()}
		if tok.Lineage != nil {
			names = append(names, tok.Lineage.From...)
		}
		for _, name := range names {
			if denied[name] {
				return fmt.Errorf("%w: revoked", tx.InvalidRequest)
			}
		}
		return nil
	}
	w.Configure()
	subject := w.AccessForm(claims{"jti": "first", "scope": "read openid"}, "scope", "read openid")
	actor := w.Access(claims{"sub": "admin", "jti": "actor"})
	a := w.Post("shop", world.WithActor(subject, actor, tx.TypeAccessToken))
	one := a.Issued(t)
	beside := a.JSON["id_token"].(string)
	two := w.Post("shop", world.Present(one)).Issued(t)
	over := w.Post("gateway", world.Form(beside, tx.TypeIDToken)).Issued(t)
	good := func(want bool) {
		t.Helper()
		for name, f := range map[string]url.Values{
			"made from it":        world.Present(one),
			"two hops":            world.Present(two),
			"the ID token beside": world.Form(beside, tx.TypeIDToken),
			"over the ID token":   world.Present(over),
		} {
			a := w.Post("gateway", f)
			require.Equal(t, want, a.Status == 200, "%s: %s", name, a.Raw)
		}
	}
	good(true)
	deny := func(id string) {
		clear(denied)
		denied[tx.Token{Issuer: world.Own, ID: id}.Origin()] = true
	}
	for _, id := range []string{"first", "actor"} {
		deny(id)
		good(false)
	}
	deny(world.ClaimsOf(t, one)["jti"].(string))
	w.Post("shop", world.Present(two)).Refused(t, tx.InvalidRequest)
	clear(denied)
	require.Empty(t, tx.Token{Issuer: world.Own}.Origin())
	require.NotEqual(t, tx.Token{Issuer: "a", ID: "bc"}.Origin(),
		tx.Token{Issuer: "ab", ID: "c"}.Origin())

	t.Run("more than 32 are refused", func(t *testing.T) {
		token := w.Access(claims{"exp": world.Now.Add(24 * time.Hour).Unix()})
		for range 32 {
			token = w.Post("shop", world.Present(token)).Issued(t)
		}
		require.Len(t, world.ClaimsOf(t, token)["lineage"].(claims)["from"], 32)
		w.Post("shop", world.Present(token)).Refused(t, tx.InvalidRequest)
		require.Contains(t, w.LastEvent().Err.Error(), "32")
	})
}

// TestLineage_Unreadable checks that a token is refused if its lineage cannot be read, since a
// limit may be in the unread part.
func TestLineage_Unreadable(t *testing.T) {
	w := world.New(t)
	w.Post("shop", w.AccessForm(claims{"lineage": claims{}})).Granted(t)
	for _, lineage := range []any{
		"x", 1, []any{}, claims{"more": 1}, claims{"scope": 1}, claims{"scope": "a  b"},
		claims{"scope": nil}, claims{"ends": "1"}, claims{"ends": 0}, claims{"tenant": ""},
		claims{"tenant": 1}, claims{"lent": false}, claims{"lent": 1}, claims{"begun": "x"},
		claims{"from": "x"}, claims{"from": []any{1}},
		claims{"from": slices.Repeat([]string{"x"}, 33)},
	} {
		w.Post("shop", w.AccessForm(claims{"lineage": lineage})).Refused(t, tx.InvalidRequest)
		actor := w.Access(claims{"sub": "admin", "lineage": lineage})
		w.Post("shop", world.WithActor(w.AccessForm(nil), actor, tx.TypeAccessToken)).
			Refused(t, tx.InvalidRequest)
	}
	foreign := w.ForeignToken(claims{"lineage": "theirs"})
	w.Post("gateway", world.Form(foreign, tx.TypeJWT)).Granted(t)
	t.Run("nor does it survive JSON half", func(t *testing.T) {
		for _, text := range []string{
			`{"lineage":{"more":1}}`, `{"lineage":[]}`, `{"lineage":{"scope":"a","scope":"b"}}`,
		} {
			require.Error(t, json.Unmarshal([]byte(text), new(tx.Token)), text)
		}
	})
}

// TestDocs_Lineage checks that docs/lineage.md lists the members of the claim and no others.
func TestDocs_Lineage(t *testing.T) {
	text, err := os.ReadFile("docs/lineage.md")
	require.NoError(t, err)
	var listed []string
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, m[1])
	}
	claim, err := json.Marshal(tx.Lineage{
		Scope: tx.Scope{}, Ends: world.Now, Tenant: "t", Lent: true, Begun: world.Now,
		From: []string{"f"},
	})
	require.NoError(t, err)
	var members map[string]any
	require.NoError(t, json.Unmarshal(claim, &members))
	require.Len(t, listed, len(members))
	for _, name := range listed {
		require.Contains(t, members, name)
	}
}

// TestLineage_And checks that a token with two lineages has the limits of both.
func TestLineage_And(t *testing.T) {
	early, late := time.Unix(1700000000, 0).UTC(), time.Unix(1800000000, 0).UTC()
	full := &tx.Lineage{
		Scope: tx.Scope{"a"}, Ends: late, Tenant: "acme", Lent: true, Begun: early,
		From: []string{"x"},
	}
	scope := func(tokens ...string) *tx.Lineage {
		return &tx.Lineage{Scope: append(tx.Scope{}, tokens...)}
	}
	ends := func(at time.Time) *tx.Lineage { return &tx.Lineage{Ends: at} }
	begun := func(at time.Time) *tx.Lineage { return &tx.Lineage{Begun: at} }
	from := func(names ...string) *tx.Lineage { return &tx.Lineage{From: names} }
	for name, test := range map[string]struct{ one, other, want *tx.Lineage }{
		"nothing":        {nil, nil, nil},
		"nil":            {nil, full, full},
		"alike":          {full, full, full},
		"scope":          {scope("a", "b"), scope("b", "c"), scope("b")},
		"one scope":      {&tx.Lineage{}, scope(), scope()},
		"no scope left":  {scope("a"), scope("b"), scope()},
		"ends":           {ends(late), ends(early), ends(early)},
		"one end":        {&tx.Lineage{}, ends(late), ends(late)},
		"tenant":         {&tx.Lineage{}, &tx.Lineage{Tenant: "acme"}, &tx.Lineage{Tenant: "acme"}},
		"lent":           {&tx.Lineage{}, &tx.Lineage{Lent: true}, &tx.Lineage{Lent: true}},
		"begun":          {begun(late), begun(early), begun(early)},
		"no known login": {&tx.Lineage{}, begun(early), &tx.Lineage{}},
		"from":           {from("x", "y"), from("y", "z"), from("x", "y", "z")},
	} {
		got, err := test.one.And(test.other)
		require.NoError(t, err, name)
		assert.Equal(t, test.want, got, name)
		if name == "from" {
			continue // in the order of the two
		}
		got, err = test.other.And(test.one)
		require.NoError(t, err, name)
		assert.Equal(t, test.want, got, name)
	}
	_, err := full.And(&tx.Lineage{Tenant: "globex"})
	require.EqualError(t, err, `two organisations: "acme" and "globex"`)
}

// TestLineage_Check checks the limit on names, which an issuer that keeps records asks for before
// it stores a lineage that no verifier would read.
func TestLineage_Check(t *testing.T) {
	var none *tx.Lineage
	require.NoError(t, none.Check())
	require.NoError(t, (&tx.Lineage{From: make([]string, 32)}).Check())
	require.ErrorIs(t, (&tx.Lineage{From: make([]string, 33)}).Check(), tx.InvalidRequest)
}
