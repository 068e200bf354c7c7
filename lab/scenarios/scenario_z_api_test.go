package scenarios

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

func init() { scenario("Z22", scenarioZ22) }

// scenarioZ22: the server's own API refuses tokens with an actor, in both claim shapes.
func scenarioZ22(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		t.Run(shape, func(t *testing.T) {
			sc := play(t, setting("claim_shape", shape))
			portal := sc.basic("portal")
			adam, gustav := sc.logIn(t, "adam", "portal"), sc.logIn(t, "gustav", "portal")
			users := []string{"scope", "openid users:read"}
			acted := func(t *testing.T, kind string) reply {
				return sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
					acting(gustav.AccessToken, urnAccess),
					users, []string{"requested_token_type", kind}).granted(t, kind, "Bearer")
			}

			t.Run("their own tokens", func(t *testing.T) {
				jwt := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
					[]string{"requested_token_type", urnJWT}).jwt(t)
				for _, token := range []string{adam.AccessToken, adam.JWT, jwt.token(),
					gustav.AccessToken} {
					a := sc.call(t, token)
					require.Equal(t, http.StatusOK, a.status, a.raw)
					assert.Contains(t, a.raw, `"alice"`)
					assert.NotContains(t, a.raw, `"carol"`, "of their organisation only")
				}
			})
			t.Run("acted for", func(t *testing.T) {
				carried := sc.exchange(t, portal, about(acted(t, urnAccess).token(), urnAccess),
					users, []string{"requested_token_type", urnJWT}).jwt(t)
				for _, token := range []string{acted(t, urnAccess).token(),
					acted(t, urnJWT).token(), carried.token()} {
					m := sc.active(t, portal, token)
					require.Contains(t, m["aud"], management)
					require.Contains(t, wordsOf(m["scope"].(string)),
						"users:read", "all that the API asks for")
					a := sc.call(t, token)
					assert.Equal(t, http.StatusForbidden, a.status)
					assert.NotContains(t, a.raw, "alice")
					assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
					assert.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
					require.Len(t, a.logged, 1)
					assert.Equal(t, "adam",
						inside(a.logged[0], "subject", "id"), "both people are on record")
					assert.Equal(t, "gustav", inside(a.logged[0], "actor", "id"))
					assert.Equal(t, "portal", a.logged[0]["client"])
				}
			})
			t.Run("no token, or a bad one", func(t *testing.T) {
				for _, token := range []string{"", "x", adam.AccessToken + "x", adam.RefreshToken,
					adam.IDToken, acted(t, urnJWT).text("id_token")} {
					a := sc.call(t, token)
					assert.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest},
						a.status)
				}
				assert.Equal(t, http.StatusForbidden,
					sc.call(t, sc.logIn(t, "alice", "portal").AccessToken).status,
					"without the scope")
			})
			t.Run("claims", func(t *testing.T) {
				a := acted(t, urnJWT)
				for _, c := range []object{sc.claims(t, a.token()),
					sc.idClaims(t, a.text("id_token"), "portal")} {
					if shape == "act" {
						assert.Equal(t, "adam", c["sub"])
						assert.Equal(t, "gustav", inside(c, "act", "sub"))
						assert.Equal(t, sc.iss(), inside(c, "act", "iss"))
						assert.NotContains(t, c, "act_as")
						continue
					}
					assert.Equal(t, "gustav", c["sub"])
					assert.Equal(t, "adam", inside(c, "act_as", "sub"))
					assert.NotContains(t, c, "act")
				}
				m := sc.active(t, portal, a.token())
				assert.Equal(t, "adam", m["sub"], "introspection reads both alike")
				assert.Equal(t, "gustav", inside(m, "act", "sub"))
			})
			t.Run("a re-exchange keeps the actor", func(t *testing.T) {
				for _, kind := range []string{urnAccess, urnJWT} {
					b := sc.exchange(t, portal, about(acted(t, urnJWT).token(), urnAccess),
						[]string{"requested_token_type", kind, "scope", "users:read"}).granted(t,
						kind, "Bearer")
					m := sc.active(t, portal, b.token())
					assert.Equal(t, "adam", m["sub"])
					assert.Equal(t, object{"iss": sc.iss(), "sub": "gustav", "client_id": "portal"},
						m["act"])
				}
				// The chain belongs to gustav: it ends if he is locked.
				token := about(acted(t, urnJWT).token(), urnAccess)
				sc.changeUser("gustav", func(u *world.User) { u.Status = "disabled" })
				sc.exchange(t, portal, token, []string{"scope", "users:read openid"}).refused(t,
					tokenexchange.InvalidRequest)
				sc.changeUser("gustav", func(u *world.User) { u.Status = "" })
				sc.exchange(t, portal, token, []string{"scope", "users:read openid"}).opaque(t)
			})
			t.Run("an API elsewhere", func(t *testing.T) { elsewhere(t, sc, adam, acted) })
		})
	}
}

// elsewhere is a resource server in another process, which knows the server by its endpoints only.
func elsewhere(t *testing.T, sc *scene, adam server.TokenSet,
	acted func(*testing.T, string) reply) {
	serve := func(verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token,
		error)) func(string, bool) (int, object) {
		mine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := object{}
			if p, there := resourceserver.SubjectFrom(r.Context()); there {
				answer["subject"] = p.Subject
			}
			if p, there := resourceserver.ActorFrom(r.Context()); there {
				answer["actor"] = p.Subject
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			resourceserver.API{Issuer: sc.iss(), Audience: []string{settings}, Verify: verify,
				RefuseActors: r.URL.Path == "/strict", Now: sc.clock.Now}.
				Protect(mine, "users:read").ServeHTTP(w, r)
		}))
		t.Cleanup(web.Close)
		return func(token string, strict bool) (int, object) {
			path := "/"
			if strict {
				path = "/strict"
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+path, nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+token)
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			raw, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			return response.StatusCode, objectOf(raw)
		}
	}
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: sc.iss(),
		JWKSURL: sc.url + "/jwks", ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		Live:  func(context.Context, tokenexchange.Token) error { return nil }})
	require.NoError(t, err)
	bySignature := serve(verifier.Verify)
	byQuestion := serve(resourceserver.Introspection{Endpoint: sc.url + "/introspect",
		ClientID:     "settings-api",
		ClientSecret: sc.secret("settings-api"), Client: sc.http}.Verify)

	jwt, opaque := acted(t, urnJWT).token(), acted(t, urnAccess).token()
	for _, strict := range []bool{false, true} {
		for _, call := range []struct {
			ask   func(string, bool) (int, object)
			token string
		}{{bySignature, jwt}, {byQuestion, jwt}, {byQuestion, opaque}} {
			status, answer := call.ask(call.token, strict)
			if strict {
				assert.Equal(t, http.StatusForbidden, status)
				continue
			}
			assert.Equal(t, http.StatusOK, status)
			assert.Equal(t, object{"subject": "adam", "actor": "gustav"}, answer)
		}
		for _, ask := range []func(string, bool) (int, object){bySignature, byQuestion} {
			status, answer := ask(adam.JWT, strict)
			assert.Equal(t, http.StatusOK, status, "no actor")
			assert.Equal(t, object{"subject": "adam"}, answer)
		}
	}
}
