package tokenexchange_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// Each subtest is a row of what has gone wrong elsewhere, named by its property.
func TestSECURITY_Advisories(t *testing.T) {
	granted := func(t *testing.T, a answer) map[string]any { t.Helper(); return a.granted(t) }
	for name, test := range map[string]func(t *testing.T, w *world){
		"CVE-2022-1245 a client and a target need an explicit allow": func(t *testing.T, w *world) {
			for _, target := range []string{"admin-console", "https://unknown.example", "shop", ownIss, "*"} {
				w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken, "audience", target)).refused(t, tx.InvalidTarget)
				w.post("shop", form(w.access(nil), tx.TypeAccessToken, "audience", target)).refused(t, tx.InvalidTarget)
			}
			w.post("other", form(w.access(claims{"client_id": "other"}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			w.rules = nil
			w.configure()
			w.post("shop", form(w.access(nil), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		},
		"CVE-2023-0657 a logout token is no access token": func(t *testing.T, w *world) {
			logout := sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"logout+jwt"}`, w.accessClaims(claims{"aud": "shop", "events": claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}}))
			for _, declared := range []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT} {
				w.refusedEverywhere(t, logout, declared)
			}
		},
		"CVE-2026-9704 no default principal": func(t *testing.T, w *world) {
			w.rules = append(w.rules, tx.Rule{Name: "clients", Impersonate: &tx.Impersonation{}, Clients: []string{"backend"}, Subjects: []tx.Identity{{Kind: "*", ID: "*"}}, SubjectTypes: []tx.TokenType{tx.TypeAccessToken}, Types: []tx.TokenType{tx.TypeAccessToken},
				Targets: []string{orders}, DefaultTargets: []string{orders}, Scope: tx.Scope{"*"}, Lifetime: 60e9})
			w.configure()
			for _, token := range []string{"", strings.Repeat("x", 64<<10+1), strings.Repeat("x", 500<<10), w.long(64<<10 + 1), " ", "\x00"} {
				w.post("backend", form(token, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
				w.post("backend", withActor(form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken), token, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			}
			for _, tok := range w.resolved {
				require.NotEqual(t, "backend", tok.Subject, "nobody asked about the client")
			}
		},
		"CVE-2026-17526, CVE-2026-109374 the authorizer sees the target's privilege": func(t *testing.T, w *world) {
			boss := person("alice")
			boss.Privileges = []string{"administrator"}
			w.people[ownIss+" alice"] = boss
			w.Authorizer = authorizerFunc(func(_ context.Context, f tx.Facts) error {
				if len(f.Subject.Privileges) > 0 {
					return fmt.Errorf("%w: beyond the actor's reach", tx.InvalidRequest)
				}
				return nil
			})
			w.post("shop", w.delegation(nil)).refused(t, tx.InvalidRequest)
			granted(t, w.post("shop", w.delegation(claims{"sub": "bob"})))
		},
		"CVE-2026-56668 D04, D21 bound to the client, no wider": func(t *testing.T, w *world) {
			for _, patch := range []claims{{"client_id": "other"}, {"client_id": nil}, {"client_id": nil, "azp": "other"}} {
				w.refusedEverywhere(t, w.access(patch), tx.TypeAccessToken)
			}
			granted(t, w.post("shop", form(w.access(claims{"client_id": nil, "azp": "shop"}), tx.TypeAccessToken)))
			w.post("shop", w.with(w.delegation(claims{"scope": "read"}), "scope", "read write")).refused(t, tx.InvalidScope)
			w.post("shop", w.with(w.delegation(nil), "scope", "admin")).refused(t, tx.InvalidScope)
			require.Equal(t, "read", granted(t, w.post("shop", w.delegation(claims{"scope": "read"})))["scope"])
		},
		"CVE-2026-9097, CVE-2026-9094 D07, D19 revocation and organisations": func(t *testing.T, w *world) {
			w.revoked["gone"] = true
			w.refusedEverywhere(t, w.access(claims{"jti": "gone"}), tx.TypeAccessToken)
			w.rule("delegate").Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "acme", ID: "*"}}
			w.configure()
			w.post("shop", w.delegation(nil)).refused(t, tx.InvalidRequest)
			member := person("alice")
			for tenant, ok := range map[string]bool{"acme": true, "Acme": false, "acme ": false, "": false, "*": false} {
				member.Tenant = tenant
				w.people[ownIss+" alice"] = member
				require.Equal(t, ok, w.post("shop", w.delegation(nil)).status == 200, "%q", tenant)
			}
		},
		"CVE-2026-1609, CVE-2026-1486 disabled users and issuers": func(t *testing.T, w *world) {
			robot := func() string { return w.foreignToken(claims{"sub": "robot"}) }
			granted(t, w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), robot(), tx.TypeJWT)))
			w.trusts = w.trusts[:1]
			w.configure()
			w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), robot(), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			w.post("gateway", form(w.foreignToken(nil), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			granted(t, w.post("shop", w.delegation(nil)))
			delete(w.people, ownIss+" admin")
			w.post("shop", w.delegation(nil)).refused(t, tx.InvalidRequest)
		},
		"CVE-2026-43000 rights come from the token, live ones only subtract": func(t *testing.T, w *world) {
			rich := person("alice")
			rich.Scope = tx.Scope{"read", "write", "admin"}
			w.people[ownIss+" alice"] = rich
			shop := w.clients["shop"]
			shop.Scope = append(shop.Scope, "admin")
			w.clients["shop"] = shop
			require.Equal(t, "read", granted(t, w.post("shop", w.delegation(claims{"scope": "read"})))["scope"])
			w.post("shop", w.with(w.delegation(claims{"scope": "read"}), "scope", "admin")).refused(t, tx.InvalidScope)
			rich.Scope = tx.Scope{"read"}
			w.people[ownIss+" alice"] = rich
			require.Equal(t, "read", granted(t, w.post("shop", w.delegation(nil)))["scope"])
			w.post("shop", w.with(w.delegation(nil), "scope", "write")).refused(t, tx.InvalidScope)
			says := granted(t, w.post("shop", w.delegation(claims{"scope": nil})))
			require.NotContains(t, says, "scope", "D22: unknown is not unlimited")
		},
		"chain splicing D05, D11": func(t *testing.T, w *world) {
			for _, actor := range []claims{{"client_id": "other"}, {"client_id": "other", "aud": "shop"}, {"client_id": nil, "aud": []string{"shop"}}} {
				w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "admin"}, actor), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			}
			w.Authorizer = authorizerFunc(func(_ context.Context, f tx.Facts) error {
				if f.Actor.ID != "carol" {
					return fmt.Errorf("%w: these two do not belong together", tx.InvalidRequest)
				}
				return nil
			})
			w.post("shop", w.delegation(nil)).refused(t, tx.InvalidRequest)
			granted(t, w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "carol"}), tx.TypeAccessToken)))
		},
		"CVE-2025-55241 actor tokens without signature or of another issuer": func(t *testing.T, w *world) {
			body := b64(string(w.accessClaims(claims{"sub": "admin"})))
			for _, actor := range []string{b64(`{"alg":"none"}`) + "." + body + ".", b64(`{"alg":"none","typ":"at+jwt"}`) + "." + body + ".AAAA", sign(t, w.idpKey, goodHeader, w.accessClaims(claims{"sub": "admin"})), w.foreignToken(claims{"iss": ownIss})} {
				w.places(actor, tx.TypeAccessToken)["as actor"]().refused(t, tx.InvalidRequest)
			}
			w.rule("delegate").Delegate.Issuers = nil
			w.configure()
			w.places(w.foreignToken(claims{"sub": "robot"}), tx.TypeJWT)["as actor"]().refused(t, tx.InvalidRequest)
		},
		"a peer: earlier actors are not erased D13": func(t *testing.T, w *world) {
			chain := claims{"act": claims{"sub": "bob"}}
			require.Equal(t, "bob", granted(t, w.post("shop", form(w.access(chain), tx.TypeAccessToken)))["act"].(map[string]any)["sub"])
			w.rule("impersonate").Impersonate.Carry = false
			w.configure()
			w.post("gateway", form(w.access(chain), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			granted(t, w.post("gateway", form(w.access(nil), tx.TypeAccessToken)))
			says := granted(t, w.post("gateway", form(w.access(claims{"act": claims{"sub": "gateway", "client_id": "gateway"}}), tx.TypeAccessToken)))
			require.Equal(t, "gateway", says["act"].(map[string]any)["sub"], "the current actor itself")
		},
		"a peer: branch chosen by unverified claims": func(t *testing.T, w *world) {
			forged := sign(t, newKey(t), goodHeader, w.accessClaims(claims{"may_act": claims{"sub": "admin"}, "act": claims{"sub": "x"}, "cnf": claims{"jkt": "y"}, "exp": 1, "jti": nil}))
			w.refusedEverywhere(t, forged, tx.TypeAccessToken)
			for _, e := range w.events {
				require.Contains(t, e.Err.Error(), "signature", "nothing but the signature counts")
				require.NotEqual(t, "alice", e.Facts.Subject.Token.Subject)
				require.Nil(t, e.Facts.Actor)
			}
		},
		"a peer: one token's claims in another": func(t *testing.T, w *world) {
			a := w.post("shop", withActor(form(w.access(claims{"acr": nil}), tx.TypeAccessToken), w.access(claims{"sub": "admin", "acr": "actor's", "scope": "write", "auth_time": 5, "amr": []string{"x"}, "email": "x", "may_act": claims{"sub": "q"}}), tx.TypeAccessToken))
			for name := range a.granted(t) {
				require.NotContains(t, []string{"acr", "auth_time", "amr", "email", "may_act"}, name)
			}
			f := w.lastEvent().Facts
			require.Equal(t, tx.Scope{"read", "write"}, f.Subject.Token.Scope)
			require.Equal(t, tx.Scope{"write"}, f.Actor.Token.Scope)
			require.Empty(t, f.Subject.Token.ACR)
		},
		"a peer: a bound token without proof D30": func(t *testing.T, w *world) {
			for _, cnf := range []claims{{"jkt": "k"}, {"x5t#S256": "k"}, {"jkt": "k", "x5t#S256": "l"}, {"jwk": claims{}}, {"kid": "x"}} {
				w.refusedEverywhere(t, w.access(claims{"cnf": cnf}), tx.TypeAccessToken)
				w.post("backend", form(w.access(claims{"client_id": "backend", "cnf": cnf}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			}
		},
		"a peer: storage errors in the answer": func(t *testing.T, w *world) {
			for _, place := range hostPlaces {
				w := newWorld(t)
				w.breakAt(place, func() error { return errors.New(`pq: relation "tokens" does not exist`) })
				a := w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
				require.Equal(t, "The server could not complete the request.", a.json["error_description"])
			}
		},
		"a peer: an opaque token without claims": func(t *testing.T, w *world) {
			w.Verify[tx.TypeAccessToken] = func(context.Context, tx.Credential) (tx.Token, error) { return tx.Token{}, nil }
			w.post("shop", form("opaque", tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
			w.post("shop", withActor(form(w.id(nil), tx.TypeIDToken), "opaque", tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		},
		"D04 an ID token of a client that is not in its audience": func(t *testing.T, w *world) {
			w.refusedEverywhere(t, w.id(claims{"aud": "other"}), tx.TypeIDToken)
			w.refusedEverywhere(t, w.id(claims{"aud": "other", "azp": "other"}), tx.TypeIDToken)
		},
		"foreign token to another R08": func(t *testing.T, w *world) {
			w.post("gateway", form(w.foreignToken(claims{"aud": "https://other-as.example"}), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			w.post("shop", form(w.foreignToken(nil), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			w.post("backend", form(w.foreignToken(nil), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			_, err := tx.NewVerifier(tx.Trust{Issuer: idpIss, JWKS: keySet(t, w.idpKey, "k"), Foreign: true, Types: map[tx.TokenType]string{tx.TypeJWT: ""}})
			require.Error(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t)) })
	}
}
