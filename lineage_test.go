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

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// A sequence of exchanges gives no more than its first token allowed. These tests run on a host
// that has JWTs and no records: everything that a later exchange knows is in the token.

// issued returns the token of an answer that was granted.
func (a answer) issued(t require.TestingT) string {
	a.granted(t)
	return a.json["access_token"].(string)
}

// issuesTickets makes the world issue tickets, its own evidence type.
func (w *world) issuesTickets() {
	w.TokenIssuer = newIssuer(w.t, w.key, "own-1", tx.JWTIssuer{
		Types: map[tx.TokenType]string{typeTicket: "ticket+jwt"},
		Claims: func(_ context.Context, d tx.Decision, c map[string]any) error {
			if d.Type == typeTicket {
				c["may_act"] = map[string]any{"sub": "admin"}
			}
			return nil
		}})
	for i := range w.rules {
		if w.rules[i].Narrow == nil {
			w.rules[i].Types = append(w.rules[i].Types, typeTicket)
		}
	}
	w.configure()
}

func asTicket(f url.Values) url.Values {
	f.Set("requested_token_type", string(typeTicket))
	return f
}

// byAdmin adds the actor token of admin, who acts at shop.
func (w *world) byAdmin(f url.Values) url.Values {
	return withActor(f, w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
}

// TestLineage_MayAct: a may_act that names somebody else is still there after a detour, in every
// mode that adds no actor and for every type that can be made.
func TestLineage_MayAct(t *testing.T) {
	w := newWorld(t)
	w.issuesTickets()
	w.rule("impersonate").Impersonate.MayActClient = true
	w.configure()
	carol := claims{"may_act": claims{"sub": "carol"}}
	access := form(w.access(carol), tx.TypeAccessToken)
	w.post("shop", w.byAdmin(access)).refused(t, tx.InvalidRequest)
	narrowed := w.post("shop", access).issued(t)
	twice := w.post("shop", form(narrowed, tx.TypeAccessToken)).issued(t)
	for _, token := range []string{narrowed, twice} {
		w.post("shop", w.byAdmin(form(token, tx.TypeAccessToken))).refused(t, tx.InvalidRequest)
		require.Contains(t, w.lastEvent().Err.Error(), "may_act")
	}
	w.post("shop", withActor(form(twice, tx.TypeAccessToken), w.access(claims{"sub": "carol"}),
		tx.TypeAccessToken)).granted(t)

	gateway := claims{"may_act": claims{"sub": "carol", "client_id": "gateway"}}
	for _, want := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		through := form(w.access(gateway), tx.TypeAccessToken, "requested_token_type", string(want))
		got := w.post("gateway", through).granted(t)
		require.Equal(t, map[string]any{"iss": ownIss, "sub": "carol", "client_id": "gateway"},
			got["may_act"], want)
	}
	t.Run("an actor that is outermost already is not new", func(t *testing.T) {
		chain := claims{"may_act": claims{"sub": "admin"},
			"act": claims{"iss": ownIss, "sub": "admin", "client_id": "shop"}}
		again := w.post("shop", w.byAdmin(form(w.access(chain), tx.TypeAccessToken))).granted(t)
		require.Equal(t, map[string]any{"iss": ownIss, "sub": "admin"}, again["may_act"])
	})
}

// TestLineage_Scope: no detour over a type without scope gives a scope that the first token did not
// have.
func TestLineage_Scope(t *testing.T) {
	w := newWorld(t)
	w.issuesTickets()
	w.clients["gateway"] = tx.Client{ID: "gateway", Scope: tx.Scope{"read", "write", "openid"}}
	own := func(c claims) func() url.Values {
		return func() url.Values { return form(w.access(c), tx.TypeAccessToken) }
	}
	foreign := func(c claims) func() url.Values {
		return func() url.Values { return form(w.foreignToken(c), tx.TypeJWT) }
	}
	loginsID := func() url.Values { return form(w.id(nil), tx.TypeIDToken) }
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
			return form(w.post("gateway", f).issued(t), tx.TypeIDToken)
		},
		"two ID tokens": func(f url.Values) url.Values {
			f.Set("requested_token_type", string(tx.TypeIDToken))
			f = form(w.post("gateway", f).issued(t), tx.TypeIDToken, "requested_token_type",
				string(tx.TypeIDToken))
			return form(w.post("gateway", f).issued(t), tx.TypeIDToken)
		},
	}
	for name, row := range first {
		for way, detour := range detours {
			t.Run(name+" over "+way, func(t *testing.T) {
				for _, scope := range []string{"read", "write"} {
					f := detour(row.form())
					f.Set("scope", scope)
					a := w.post("gateway", f)
					if slices.Contains(row.scope, scope) {
						require.Equal(t, scope, a.granted(t)["scope"])
					} else {
						a.refused(t, tx.InvalidScope)
					}
				}
			})
		}
	}
	t.Run("what was asked for with an ID token is its ceiling", func(t *testing.T) {
		f := form(w.access(claims{"scope": "read write openid"}), tx.TypeAccessToken,
			"requested_token_type", string(tx.TypeIDToken), "scope", "read")
		id := w.post("gateway", f).issued(t)
		w.post("gateway", form(id, tx.TypeIDToken, "scope", "read")).granted(t)
		w.post("gateway", form(id, tx.TypeIDToken, "scope", "write")).refused(t, tx.InvalidScope)
	})
	t.Run("the ID token beside an access token", func(t *testing.T) {
		f := form(w.access(claims{"scope": "read openid"}), tx.TypeAccessToken, "scope",
			"read openid")
		a := w.post("gateway", f)
		a.granted(t)
		w.post("gateway", form(a.json["id_token"].(string), tx.TypeIDToken, "scope",
			"write")).refused(t, tx.InvalidScope)
	})
	t.Run("a ticket without scope", func(t *testing.T) {
		w.rule("impersonate").Targets = append(w.rule("impersonate").Targets, "shop")
		w.configure()
		made := w.post("gateway", asTicket(form(w.access(claims{"scope": nil}), tx.TypeAccessToken,
			"audience", "shop"))).issued(t)
		require.Equal(t, "", says(t, made)["scope"], "known to be none")
		f := w.byAdmin(form(made, tx.TypeJWT))
		require.NotContains(t, w.post("shop", f).granted(t), "scope")
		w.post("shop", w.with(f, "scope", "read")).refused(t, tx.InvalidScope)
	})
}

// TestLineage_End: evidence made from a token that ends soon gives no token that lives longer.
func TestLineage_End(t *testing.T) {
	w := newWorld(t)
	w.issuesTickets()
	w.rule("impersonate").Targets = append(w.rule("impersonate").Targets, "shop")
	w.rule("impersonate").Lifetime = 20 * time.Second
	w.configure()
	ticket := w.post("gateway", asTicket(form(w.access(claims{"exp": at.Unix() + 30}),
		tx.TypeAccessToken, "audience", "shop"))).issued(t)
	require.Equal(t, json.Number(fmt.Sprint(at.Unix()+20)), says(t, ticket)["exp"])
	got := w.post("shop", w.byAdmin(form(ticket, tx.TypeJWT))).granted(t)
	require.Equal(t, json.Number(fmt.Sprint(at.Unix()+30)), got["exp"],
		"as long as the first token, not as the ticket, and no longer")

	alice := person("alice")
	alice.Until = at.Add(25 * time.Second)
	w.people[ownIss+" alice"] = alice
	w.rule("impersonate").Impersonate.OutliveSubject = true
	w.configure()
	ticket = w.post("gateway", asTicket(form(w.access(claims{"exp": at.Unix() + 30}),
		tx.TypeAccessToken, "audience", "shop"))).issued(t)
	got = w.post("shop", w.byAdmin(form(ticket, tx.TypeJWT))).granted(t)
	require.Equal(t, json.Number(fmt.Sprint(at.Unix()+25)), got["exp"], "Until may be earlier")
}

// TestLineage_Organisation: the organisation that was selected stays selected, for as long as the
// subject belongs to it, and the authorizer is asked about the organisation that the result is for.
func TestLineage_Organisation(t *testing.T) {
	w := newWorld(t)
	alice := person("alice")
	alice.Tenant, alice.Tenants = "acme", []string{"acme", "globex"}
	w.people[ownIss+" alice"] = alice
	w.rule("delegate").Delegate.TenantTargets = true
	w.rule("impersonate").Impersonate.TenantTargets = true
	w.configure()
	tenant := func(a answer) string {
		a.granted(t)
		return w.lastEvent().Decision.Subject.Tenant
	}
	require.Equal(t, "acme", tenant(w.post("gateway", form(w.access(), tx.TypeAccessToken))))
	switched := w.post("gateway", form(w.access(), tx.TypeAccessToken, "audience",
		"globex")).issued(t)
	require.Equal(t, map[string]any{"tenant": "globex", "lent": true,
		"begun": json.Number(fmt.Sprint(at.Unix())),
		"from":  says(t, switched)["lineage"].(map[string]any)["from"]},
		says(t, switched)["lineage"])
	again := form(switched, tx.TypeAccessToken)
	require.Equal(t, "globex", tenant(w.post("gateway", again)))
	require.Equal(t, "acme", tenant(w.post("gateway", w.with(again, "audience", "acme"))),
		"until another one is selected")

	byShop := w.post("shop", w.byAdmin(form(w.access(), tx.TypeAccessToken, "audience",
		"globex"))).issued(t)
	require.Equal(t, "globex", tenant(w.post("shop", form(byShop, tx.TypeAccessToken))), "narrowed")

	t.Run("rules speak of the organisation of the token", func(t *testing.T) {
		w.rule("impersonate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "acme", ID: "*"}}
		w.configure()
		w.post("gateway", form(w.access(), tx.TypeAccessToken)).granted(t)
		w.post("gateway", form(switched, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		w.rule("impersonate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "globex",
			ID: "*"}}
		w.configure()
		w.post("gateway", form(switched, tx.TypeAccessToken)).granted(t)
	})
	t.Run("the authorizer is asked about the organisation of the result", func(t *testing.T) {
		w.Authorizer = authorizerFunc(func(_ context.Context, f tx.Facts) error {
			w.asked = append(w.asked, f)
			if f.Subject.Tenant != "acme" {
				return fmt.Errorf("%w: only in acme", tx.InvalidRequest)
			}
			return nil
		})
		w.asked = nil
		delegation := form(w.access(), tx.TypeAccessToken)
		w.post("shop", w.byAdmin(delegation)).granted(t)
		require.Len(t, w.asked, 1)
		w.post("shop", w.byAdmin(w.with(delegation, "audience", "globex"))).refused(t,
			tx.InvalidRequest)
		require.Len(t, w.asked, 2)
		require.Equal(t, "globex", w.asked[1].Subject.Tenant)
		require.Equal(t, "acme", w.asked[1].Subject.PresentedTenant, "it sees both")
		w.rule("impersonate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
		w.configure()
		w.post("gateway", form(switched, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		require.Equal(t, "globex", w.asked[2].Subject.Tenant, "after the policy, about the client")
	})
	t.Run("a policy that selects what was not foreseen", func(t *testing.T) {
		decide := w.Decide
		w.Decide = func(f tx.Facts) (tx.Decision, error) {
			d, err := decide(f)
			d.Subject.Tenant = "globex"
			return d, err
		}
		w.asked = nil
		w.post("shop", w.byAdmin(form(w.access(), tx.TypeAccessToken))).refused(t,
			tx.InvalidRequest)
		require.Len(t, w.asked, 2, "once more, about what was decided")
		w.configure()
	})
	w.Authorizer = authorizerFunc(func(context.Context, tx.Facts) error { return nil })
	t.Run("the subject has left it", func(t *testing.T) {
		w.post("gateway", form(switched, tx.TypeAccessToken)).granted(t)
		alice.Tenants = []string{"acme"}
		w.people[ownIss+" alice"] = alice
		w.post("gateway", form(switched, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
	})
	t.Run("an actor token as well", func(t *testing.T) {
		admin := person("admin")
		admin.Tenant, admin.Tenants = "acme", []string{"globex"}
		w.people[ownIss+" admin"] = admin
		lineage := func(tenant string) string {
			return w.access(claims{"sub": "admin", "lineage": claims{"tenant": tenant}})
		}
		w.rule("delegate").Delegate.Actors = []tx.Identity{{Kind: tx.KindUser, Tenant: "globex", ID: "*"}}
		w.configure()
		f := form(w.access(), tx.TypeAccessToken)
		w.post("shop", withActor(f, w.access(claims{"sub": "admin"}),
			tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		w.post("shop", withActor(f, lineage("globex"), tx.TypeAccessToken)).granted(t)
		w.rule("delegate").Delegate.Actors[0].Tenant = "*"
		w.configure()
		w.post("shop", withActor(f, lineage("initech"), tx.TypeAccessToken)).refused(t,
			tx.InvalidRequest)
		require.Contains(t, w.lastEvent().Err.Error(), "organisation")
	})
}

// TestLineage_CurrentActor: a current actor who is disabled, or about whom the directory fails,
// ends the exchange in every mode.
func TestLineage_CurrentActor(t *testing.T) {
	w := newWorld(t)
	w.rule("as-client").ClientActs.OtherTokens = true
	w.configure()
	chain := w.access(claims{"act": claims{"iss": ownIss, "sub": "bob", "client_id": "x"}})
	as := func(client string) func() answer {
		return func() answer { return w.post(client, form(chain, tx.TypeAccessToken)) }
	}
	modes := map[string]func() answer{
		"narrow":          as("shop"),
		"impersonate":     as("gateway"),
		"client-as-actor": as("backend"),
		"delegate": func() answer {
			return w.post("shop", w.byAdmin(form(chain, tx.TypeAccessToken)))
		},
	}
	for mode, post := range modes {
		t.Run(mode, func(t *testing.T) {
			post().granted(t)
			bob := w.people[ownIss+" bob"]
			delete(w.people, ownIss+" bob")
			post().refused(t, tx.InvalidRequest)
			require.Contains(t, w.lastEvent().Err.Error(), "the current actor")
			w.people[ownIss+" bob"] = bob
			inner := w.Resolver
			w.Resolver = resolverFunc(func(ctx context.Context, tok tx.Token) (tx.Subject, error) {
				if tok.Subject == "bob" {
					return tx.Subject{}, errors.New("the directory is down")
				}
				return inner.ResolveSubject(ctx, tok)
			})
			post().refused(t, tx.ServerError)
			w.Resolver = inner
		})
	}
}

// TestLineage_Lent: a token that an API made from a token of its caller is no actor token, however
// many hops later.
func TestLineage_Lent(t *testing.T) {
	w := newWorld(t)
	w.rules = append(w.rules, tx.Rule{Name: "api", Impersonate: &tx.Impersonation{IDToken: true}, Clients: []string{"shop"},
		Subjects: w.rule("impersonate").Subjects, SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
		Types: w.rule("impersonate").Types, Targets: []string{api, "shop"}, Scope: tx.Scope{"*"},
		Lifetime: time.Hour})
	w.configure()
	caller := w.access(claims{"sub": "admin", "client_id": "other", "aud": "shop",
		"scope": "read openid"})
	acting := func(token string, kind tx.TokenType) answer {
		return w.post("shop", withActor(form(w.access(), tx.TypeAccessToken), token, kind))
	}
	acting(caller, tx.TypeAccessToken).refused(t, tx.InvalidRequest)
	for _, want := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		a := w.post("shop", form(caller, tx.TypeAccessToken, "requested_token_type", string(want),
			"scope", "read"))
		kind := want
		acting(a.issued(t), kind).refused(t, tx.InvalidRequest)
		require.Contains(t, w.lastEvent().Err.Error(), "D05")
	}
	one := w.post("shop", form(caller, tx.TypeAccessToken)).issued(t)
	two := w.post("shop", form(one, tx.TypeAccessToken)).issued(t)
	acting(two, tx.TypeAccessToken).refused(t, tx.InvalidRequest)
	own := w.post("shop", form(w.access(claims{"sub": "admin"}), tx.TypeAccessToken)).issued(t)
	acting(own, tx.TypeAccessToken).granted(t)
	t.Run("a client's own word", func(t *testing.T) {
		w.trusts = append(w.trusts, tx.Trust{Issuer: "shop", JWKS: keySet(t, w.key, "shop-1"), Foreign: true, Client: true,
			Audience: []string{ownIss}, Types: map[tx.TokenType]string{typeAssertion: "JWT"}})
		w.people["shop admin"] = person("admin")
		w.configure()
		v, err := tx.NewVerifier(w.trusts...)
		require.NoError(t, err)
		word := sign(t, w.key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`,
			payload(claims{"iss": "shop", "sub": "admin", "aud": ownIss, "iat": at.Unix(), "exp": at.Unix() + 60}))
		w.rule("api").SubjectTypes = append(w.rule("api").SubjectTypes, typeAssertion)
		w.configure()
		made, err := w.Run(t.Context(), "assertion", w.clients["shop"], func(ctx context.Context, now time.Time) (
			tx.Request, tx.Token, *tx.Token, error) {
			tok, err := v.Verify(ctx, tx.Credential{Token: word, Type: tx.TypeJWT, Issuer: ownIss, Client: w.clients["shop"], Now: now})
			return tx.Request{Audience: []string{api}}, tok, nil, err
		})
		require.NoError(t, err)
		acting(made.AccessToken, tx.TypeAccessToken).refused(t, tx.InvalidRequest)
	})
	w.rule("delegate").Delegate.OtherActors = true
	w.configure()
	acting(two, tx.TypeAccessToken).granted(t)
}

// TestLineage_Origins: a host that keeps a list of revoked names instead of records refuses
// everything that descends from a revoked token.
func TestLineage_Origins(t *testing.T) {
	w := newWorld(t)
	denied := map[string]bool{}
	w.trusts[0].Live = func(_ context.Context, tok tx.Token) error {
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
	w.configure()
	subject, actor := tx.Token{Issuer: ownIss, ID: "first"}, tx.Token{Issuer: ownIss, ID: "actor"}
	f := withActor(form(w.access(claims{"jti": "first", "scope": "read openid"}),
		tx.TypeAccessToken, "scope", "read openid"),
		w.access(claims{"sub": "admin", "jti": "actor"}), tx.TypeAccessToken)
	a := w.post("shop", f)
	one := a.issued(t)
	beside := a.json["id_token"].(string)
	two := w.post("shop", form(one, tx.TypeAccessToken)).issued(t)
	over := w.post("gateway", form(beside, tx.TypeIDToken)).issued(t)
	good := func(want bool) {
		t.Helper()
		for name, f := range map[string]url.Values{"made from it": form(one, tx.TypeAccessToken),
			"two hops":            form(two, tx.TypeAccessToken),
			"the ID token beside": form(beside, tx.TypeIDToken),
			"over the ID token":   form(over, tx.TypeAccessToken)} {
			a := w.post("gateway", f)
			require.Equal(t, want, a.status == 200, "%s: %s", name, a.raw)
		}
	}
	good(true)
	for _, first := range []tx.Token{subject, actor,
		{Issuer: ownIss, ID: says(t, one)["jti"].(string)}} {
		denied[first.Origin()] = true
		if first.ID == "first" || first.ID == "actor" {
			good(false)
		} else {
			w.post("shop", form(two, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		}
		clear(denied)
	}
	require.Empty(t, tx.Token{Issuer: ownIss}.Origin())
	require.NotEqual(t, tx.Token{Issuer: "a", ID: "bc"}.Origin(),
		tx.Token{Issuer: "ab", ID: "c"}.Origin())

	t.Run("more than 32 are refused", func(t *testing.T) {
		token := w.access(claims{"exp": at.Add(24 * time.Hour).Unix()})
		for range 32 {
			token = w.post("shop", form(token, tx.TypeAccessToken)).issued(t)
		}
		require.Len(t, says(t, token)["lineage"].(map[string]any)["from"], 32)
		w.post("shop", form(token, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		require.Contains(t, w.lastEvent().Err.Error(), "32")
	})
}

// TestLineage_Unreadable: a lineage that cannot be read whole may state a limit, so it refuses the
// token.
func TestLineage_Unreadable(t *testing.T) {
	w := newWorld(t)
	w.post("shop", form(w.access(claims{"lineage": claims{}}), tx.TypeAccessToken)).granted(t)
	for _, lineage := range []any{
		"x", 1, []any{}, claims{"more": 1}, claims{"scope": 1}, claims{"scope": "a  b"},
		claims{"scope": nil}, claims{"ends": "1"}, claims{"ends": 0},
		claims{"tenant": ""}, claims{"tenant": 1}, claims{"lent": false}, claims{"lent": 1},
		claims{"begun": "x"}, claims{"from": "x"},
		claims{"from": []any{1}}, claims{"from": slices.Repeat([]string{"x"}, 33)},
	} {
		w.post("shop", form(w.access(claims{"lineage": lineage}), tx.TypeAccessToken)).refused(t,
			tx.InvalidRequest)
		w.post("shop", withActor(form(w.access(), tx.TypeAccessToken),
			w.access(claims{"sub": "admin", "lineage": lineage}), tx.TypeAccessToken)).refused(t,
			tx.InvalidRequest)
	}
	foreign := w.foreignToken(claims{"lineage": "theirs"})
	w.post("gateway", form(foreign, tx.TypeJWT)).granted(t)
	t.Run("nor does it survive JSON half", func(t *testing.T) {
		for _, text := range []string{`{"lineage":{"more":1}}`, `{"lineage":[]}`,
			`{"lineage":{"scope":"a","scope":"b"}}`} {
			require.Error(t, json.Unmarshal([]byte(text), new(tx.Token)), text)
		}
	})
}

// TestDocs_Lineage: docs/lineage.md lists the members of the claim, all of them and no others.
func TestDocs_Lineage(t *testing.T) {
	text, err := os.ReadFile("docs/lineage.md")
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, row[1])
	}
	claim, err := json.Marshal(tx.Lineage{Scope: tx.Scope{}, Ends: at, Tenant: "t", Lent: true, Begun: at, From: []string{"f"}})
	require.NoError(t, err)
	var members map[string]any
	require.NoError(t, json.Unmarshal(claim, &members))
	require.Len(t, listed, len(members))
	for _, name := range listed {
		require.Contains(t, members, name)
	}
}
