package securitytest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestSECURITY_Advisories has a subtest for each published advisory, and for each mistake found in
// another implementation. It is named for the property that was missing there.
func TestSECURITY_Advisories(t *testing.T) {
	t.Run("CVE-2022-1245 a client and a target need an explicit allow", func(t *testing.T) {
		w := world.New(t)
		for _, target := range []string{
			"admin-console", "https://unknown.example", "shop", world.Own, "*",
		} {
			w.Post("backend", w.AccessForm(claims{"client_id": "backend"}, "audience", target)).
				Refused(t, tx.InvalidTarget)
			w.Post("shop", w.AccessForm(nil, "audience", target)).Refused(t, tx.InvalidTarget)
		}
		w.Post("other", w.AccessForm(claims{"client_id": "other"})).Refused(t, tx.InvalidRequest)
		w.Rules = nil
		w.Configure()
		w.Post("shop", w.AccessForm(nil)).Refused(t, tx.InvalidRequest)
	})
	t.Run("CVE-2023-0657 a logout token is no access token", func(t *testing.T) {
		w := world.New(t)
		logout := world.Sign(t, w.Key, `{"alg":"ES256","kid":"own-1","typ":"logout+jwt"}`,
			w.AccessClaims(claims{"aud": "shop", "events": claims{logoutEvent: claims{}}}))
		for _, declared := range []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT} {
			refusedEverywhere(t, w, logout, declared)
		}
	})
	t.Run("CVE-2026-9704 no default principal", func(t *testing.T) {
		w := world.New(t)
		w.Rules = append(w.Rules, tx.Rule{
			Name: "clients", Impersonate: &tx.Impersonation{}, Clients: []string{"backend"},
			Subjects:     []tx.Identity{{Kind: "*", ID: "*"}},
			SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
			Types:        []tx.TokenType{tx.TypeAccessToken},
			Targets:      []string{world.Orders}, DefaultTargets: []string{world.Orders},
			Scope: tx.Scope{"*"}, Lifetime: time.Minute,
		})
		w.Configure()
		for _, token := range []string{
			"", strings.Repeat("x", 64<<10+1), strings.Repeat("x", 500<<10), long(w, 64<<10+1),
			" ", "\x00",
		} {
			w.Post("backend", world.Present(token)).Refused(t, tx.InvalidRequest)
			w.Post("backend", world.WithActor(w.AccessForm(claims{"client_id": "backend"}),
				token, tx.TypeAccessToken)).Refused(t, tx.InvalidRequest)
		}
		for _, tok := range w.Resolved {
			require.NotEqual(t, "backend", tok.Subject, "the client is no substitute for a subject")
		}
	})
	t.Run("CVE-2026-17526, CVE-2026-109374 the authorizer sees privileges", func(t *testing.T) {
		w := world.New(t)
		boss := world.Person("alice")
		boss.Privileges = []string{"administrator"}
		w.People[world.Own+" alice"] = boss
		w.Authorizer = world.AuthorizerFunc(func(_ context.Context, f tx.Facts) error {
			if len(f.Subject.Privileges) > 0 {
				return fmt.Errorf("%w: beyond the actor's reach", tx.InvalidRequest)
			}
			return nil
		})
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
		w.Post("shop", w.Delegation(claims{"sub": "bob"})).Granted(t)
	})
	t.Run("CVE-2026-56668 D04, D21 bound to the client, no wider", func(t *testing.T) {
		w := world.New(t)
		for _, patch := range []claims{
			{"client_id": "other"}, {"client_id": nil}, {"client_id": nil, "azp": "other"},
		} {
			refusedEverywhere(t, w, w.Access(patch), tx.TypeAccessToken)
		}
		w.Post("shop", w.AccessForm(claims{"client_id": nil, "azp": "shop"})).Granted(t)
		read := claims{"scope": "read"}
		w.Post("shop", w.Delegation(read, "scope", "read write")).Refused(t, tx.InvalidScope)
		w.Post("shop", w.Delegation(nil, "scope", "admin")).Refused(t, tx.InvalidScope)
		require.Equal(t, "read", w.Post("shop", w.Delegation(read)).Granted(t)["scope"])
	})
	t.Run("CVE-2026-9097, CVE-2026-9094 D07, D19 revocation, organisations", func(t *testing.T) {
		w := world.New(t)
		w.Revoked["gone"] = true
		refusedEverywhere(t, w, w.Access(claims{"jti": "gone"}), tx.TypeAccessToken)
		w.Rule("delegate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "acme", ID: "*"}}
		w.Configure()
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
		member := world.Person("alice")
		for tenant, ok := range map[string]bool{
			"acme": true, "Acme": false, "acme ": false, "": false, "*": false,
		} {
			member.Tenant = tenant
			w.People[world.Own+" alice"] = member
			require.Equal(t, ok, w.Post("shop", w.Delegation(nil)).Status == 200, "%q", tenant)
		}
	})
	t.Run("CVE-2026-1609, CVE-2026-1486 disabled users and issuers", func(t *testing.T) {
		w := world.New(t)
		byRobot := func() url.Values {
			robot := w.ForeignToken(claims{"sub": "robot"})
			return world.WithActor(w.AccessForm(nil), robot, tx.TypeJWT)
		}
		w.Post("shop", byRobot()).Granted(t)
		w.Trusts = w.Trusts[:1]
		w.Configure()
		w.Post("shop", byRobot()).Refused(t, tx.InvalidRequest)
		w.Post("gateway", world.Form(w.ForeignToken(), tx.TypeJWT)).Refused(t, tx.InvalidRequest)
		w.Post("shop", w.Delegation(nil)).Granted(t)
		delete(w.People, world.Own+" admin")
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
	})
	t.Run("CVE-2026-43000 live rights only subtract from the token's", func(t *testing.T) {
		w := world.New(t)
		rich := world.Person("alice")
		rich.Scope = tx.Scope{"read", "write", "admin"}
		w.People[world.Own+" alice"] = rich
		shop := w.Clients["shop"]
		shop.Scope = append(shop.Scope, "admin")
		w.Clients["shop"] = shop
		read := claims{"scope": "read"}
		require.Equal(t, "read", w.Post("shop", w.Delegation(read)).Granted(t)["scope"])
		w.Post("shop", w.Delegation(read, "scope", "admin")).Refused(t, tx.InvalidScope)
		rich.Scope = tx.Scope{"read"}
		w.People[world.Own+" alice"] = rich
		require.Equal(t, "read", w.Post("shop", w.Delegation(nil)).Granted(t)["scope"])
		w.Post("shop", w.Delegation(nil, "scope", "write")).Refused(t, tx.InvalidScope)
		got := w.Post("shop", w.Delegation(claims{"scope": nil})).Granted(t)
		require.NotContains(t, got, "scope", "D22: unknown is not unlimited")
	})
	t.Run("chain splicing D05, D11", func(t *testing.T) {
		w := world.New(t)
		for _, actor := range []claims{
			{"client_id": "other"}, {"client_id": "other", "aud": "shop"},
			{"client_id": nil, "aud": []string{"shop"}},
		} {
			admin := w.Access(claims{"sub": "admin"}, actor)
			w.Post("shop", world.WithActor(w.AccessForm(nil), admin, tx.TypeAccessToken)).
				Refused(t, tx.InvalidRequest)
		}
		w.Authorizer = world.AuthorizerFunc(func(_ context.Context, f tx.Facts) error {
			if f.Actor.ID != "carol" {
				return fmt.Errorf("%w: these two do not belong together", tx.InvalidRequest)
			}
			return nil
		})
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.InvalidRequest)
		carol := w.Access(claims{"sub": "carol"})
		w.Post("shop", world.WithActor(w.AccessForm(nil), carol, tx.TypeAccessToken)).Granted(t)
	})
	t.Run("CVE-2025-55241 actor tokens unsigned or of another issuer", func(t *testing.T) {
		w := world.New(t)
		admin := w.AccessClaims(claims{"sub": "admin"})
		body := world.Base64(string(admin))
		for _, actor := range []string{
			world.Base64(`{"alg":"none"}`) + "." + body + ".",
			world.Base64(`{"alg":"none","typ":"at+jwt"}`) + "." + body + ".AAAA",
			world.Sign(t, w.IDPKey, world.AccessHeader, admin),
			w.ForeignToken(claims{"iss": world.Own}),
		} {
			places(w, actor, tx.TypeAccessToken)["as actor"]().Refused(t, tx.InvalidRequest)
		}
		w.Rule("delegate").Delegate.Issuers = nil
		w.Configure()
		places(w, w.ForeignToken(claims{"sub": "robot"}), tx.TypeJWT)["as actor"]().
			Refused(t, tx.InvalidRequest)
	})
	t.Run("a peer: earlier actors are not erased D13", func(t *testing.T) {
		w := world.New(t)
		chain := claims{"act": claims{"sub": "bob"}}
		got := w.Post("shop", w.AccessForm(chain)).Granted(t)
		require.Equal(t, "bob", got["act"].(claims)["sub"])
		w.Rule("impersonate").Impersonate.Carry = false
		w.Configure()
		w.Post("gateway", w.AccessForm(chain)).Refused(t, tx.InvalidRequest)
		w.Post("gateway", w.AccessForm(nil)).Granted(t)
		itself := claims{"act": claims{"sub": "gateway", "client_id": "gateway"}}
		got = w.Post("gateway", w.AccessForm(itself)).Granted(t)
		require.Equal(t, "gateway", got["act"].(claims)["sub"], "the current actor itself")
	})
	t.Run("a peer: branch chosen by unverified claims", func(t *testing.T) {
		w := world.New(t)
		forged := world.Sign(t, world.NewKey(t), world.AccessHeader,
			w.AccessClaims(claims{
				"may_act": claims{"sub": "admin"}, "act": claims{"sub": "x"},
				"cnf": claims{"jkt": "y"}, "exp": 1, "jti": nil,
			}))
		refusedEverywhere(t, w, forged, tx.TypeAccessToken)
		for _, e := range w.Events {
			require.Contains(t, e.Err.Error(), "signature", "the signature is checked first")
			require.NotEqual(t, "alice", e.Facts.Subject.Token.Subject)
			require.Nil(t, e.Facts.Actor)
		}
	})
	t.Run("a peer: one token's claims in another", func(t *testing.T) {
		w := world.New(t)
		actor := w.Access(claims{
			"sub": "admin", "acr": "actor's", "scope": "write", "auth_time": 5,
			"amr": []string{"x"}, "email": "x", "may_act": claims{"sub": "q"},
		})
		f := world.WithActor(w.AccessForm(claims{"acr": nil}), actor, tx.TypeAccessToken)
		got := w.Post("shop", f).Granted(t)
		for _, name := range []string{"acr", "auth_time", "amr", "email", "may_act"} {
			require.NotContains(t, got, name)
		}
		facts := w.LastEvent().Facts
		require.Equal(t, tx.Scope{"read", "write"}, facts.Subject.Token.Scope)
		require.Equal(t, tx.Scope{"write"}, facts.Actor.Token.Scope)
		require.Empty(t, facts.Subject.Token.ACR)
	})
	t.Run("a peer: a bound token without proof D30", func(t *testing.T) {
		w := world.New(t)
		for _, cnf := range []claims{
			{"jkt": "k"}, {"x5t#S256": "k"}, {"jkt": "k", "x5t#S256": "l"}, {"jwk": claims{}},
			{"kid": "x"},
		} {
			refusedEverywhere(t, w, w.Access(claims{"cnf": cnf}), tx.TypeAccessToken)
			w.Post("backend", w.AccessForm(claims{"client_id": "backend", "cnf": cnf})).
				Refused(t, tx.InvalidRequest)
		}
	})
	t.Run("a peer: storage errors in the answer", func(t *testing.T) {
		for _, place := range hostPlaces {
			w := world.New(t)
			breakAt(w, place, func() error {
				return errors.New(`pq: relation "tokens" does not exist`)
			})
			a := w.Post("shop", w.Delegation(nil)).Refused(t, tx.ServerError)
			require.Equal(t, "The server could not complete the request.",
				a.JSON["error_description"])
		}
	})
	t.Run("a peer: an opaque token without claims", func(t *testing.T) {
		w := world.New(t)
		w.Verify[tx.TypeAccessToken] = func(context.Context, tx.Credential) (tx.Token, error) {
			return tx.Token{}, nil
		}
		w.Post("shop", world.Present("opaque")).Refused(t, tx.InvalidRequest)
		f := world.WithActor(world.Form(w.ID(), tx.TypeIDToken), "opaque", tx.TypeAccessToken)
		w.Post("shop", f).Refused(t, tx.InvalidRequest)
	})
	t.Run("D04 an ID token of a client that is not in its audience", func(t *testing.T) {
		w := world.New(t)
		refusedEverywhere(t, w, w.ID(claims{"aud": "other"}), tx.TypeIDToken)
		refusedEverywhere(t, w, w.ID(claims{"aud": "other", "azp": "other"}), tx.TypeIDToken)
	})
	t.Run("foreign token to another R08", func(t *testing.T) {
		w := world.New(t)
		elsewhere := w.ForeignToken(claims{"aud": "https://other-as.example"})
		w.Post("gateway", world.Form(elsewhere, tx.TypeJWT)).Refused(t, tx.InvalidRequest)
		w.Post("shop", world.Form(w.ForeignToken(), tx.TypeJWT)).Refused(t, tx.InvalidRequest)
		w.Post("backend", world.Form(w.ForeignToken(), tx.TypeJWT)).Refused(t, tx.InvalidRequest)
		_, err := tx.NewVerifier(tx.Trust{
			Issuer: world.IDP, JWKS: world.KeySet(t, w.IDPKey, "k"), Foreign: true,
			Types: map[tx.TokenType]string{tx.TypeJWT: ""},
		})
		require.Error(t, err)
	})
}
