package scenarios

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func init() { scenario("U02", scenarioU02) }

const (
	expected      = "https://as.acme.example" // the audience of its tokens for us
	somebodyElses = "https://elsewhere.example"
	partnerIss    = "https://login.partner.example"
)

// partner is another issuer. Its keys are served over HTTP on loopback, or pinned.
type partner struct {
	*scene
	keys    *tokenexchangetest.Minter
	fetched *atomic.Int32 // how often its keys were fetched
	down    *atomic.Bool
}

// playPartner adds the issuer to the world and to the rule portal-partner.
func playPartner(t *testing.T, pinned bool, edits ...edit) *partner {
	t.Helper()
	p := &partner{keys: tokenexchangetest.NewMinter(partnerIss), fetched: &atomic.Int32{},
		down: &atomic.Bool{}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(p.keys.JWKS())
	}))
	t.Cleanup(web.Close)
	where := fmt.Sprintf(`"jwks_uri": %q`, web.URL+"/jwks")
	if pinned {
		where = `"jwks": ` + string(p.keys.JWKS())
	}
	p.scene = play(t, append([]edit{
		adding("foreign_issuers",
			`{"issuer": "`+partnerIss+`", `+where+`, "audience": ["`+expected+`"],
			"scopes": {"orders.read": ["read"], "orders.all": ["read", "write"]},
			"links": {"ext-1": "bob", "ext-2": "lola", "ext-3": "alice"}}`),
		changing("rules", "portal-partner",
			object{"impersonate": object{"issuers": []any{partnerIss}},
				"scope": []any{"read", "write"}}),
	}, edits...)...)
	return p
}

// says is a token of the partner about the account that is linked to bob, with changes.
func (p *partner) says(kind string, changes object) string {
	now := p.clock.Now()
	claims := object{"iss": partnerIss, "sub": "ext-1", "aud": expected,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	typ := "JWT"
	if kind == urnJWT {
		typ = "at+jwt"
		claims["jti"], claims["client_id"] = "1", "their-app"
		claims["scope"] = "orders.read orders.delete profile"
	} else {
		claims["nonce"] = "n-1" // as their-app requested
	}
	return p.keys.Sign(typ, with(claims, changes))
}

// scenarioU02: tokens of an external issuer as subject token.
func scenarioU02(t *testing.T) {
	for name, pinned := range map[string]bool{"keys over HTTP": false, "pinned keys": true} {
		t.Run(name, func(t *testing.T) { rowU02(t, playPartner(t, pinned), pinned) })
	}
	t.Run("the issuer of the demo world", func(t *testing.T) {
		sc := play(t)
		now := sc.clock.Now().Unix()
		token := mint(t, readPEM(t, "testdata/partner.pem"),
			object{"typ": "at+jwt", "kid": "partner-1"}, object{
				"iss": "https://idp.partner.example", "sub": "p-4711", "aud": expected, "iat": now,
				"exp": now + 600, "scope": "orders.read"})
		a := sc.exchange(t, sc.basic("portal"), about(token, urnJWT)).opaque(t)
		assert.Equal(t, "bob", sc.active(t, sc.basic("portal"), a.token())["sub"])
		assert.Equal(t, []string{"read"}, a.scope())
	})
	t.Run("keys that cannot be had", func(t *testing.T) {
		p := playPartner(t, false)
		p.down.Store(true)
		a := p.exchange(t, p.basic("portal"), about(p.says(urnJWT, nil), urnJWT))
		assert.Equal(t, http.StatusInternalServerError, a.status,
			"whether the token is good is unknown (I12)")
		assert.Equal(t, "server_error", a.text("error"))
		assert.Equal(t, "failed", a.event(t)["outcome"])
		assert.Empty(t, a.token())
	})
	t.Run("an issuer without expected audience or keys is no configuration", func(t *testing.T) {
		for _, change := range []object{{"audience": nil}, {"audience": []any{}},
			{"audience": []any{""}}, {"jwks": nil},
			{"jwks_uri": "http://login.partner.example/jwks", "jwks": nil},
			{"jwks_uri": "https://login.partner.example/jwks"}, {"links": object{"x": "nobody"}}} {
			doc := object{}
			require.NoError(t, json.Unmarshal(demoWorld, &doc))
			changing("foreign_issuers", "https://idp.partner.example", change)(doc)
			data, err := json.Marshal(doc)
			require.NoError(t, err)
			w, err := world.Parse(data)
			if err == nil {
				_, err = server.New(w, server.Options{Issuer: "http://127.0.0.1"})
			}
			assert.Error(t, err, "%v", change)
		}
	})
}

func rowU02(t *testing.T, p *partner, pinned bool) {
	portal := p.basic("portal")
	each := func(do func(kind string)) {
		for _, kind := range []string{urnJWT, urnID} {
			do(kind)
		}
	}

	t.Run("granted", func(t *testing.T) {
		each(func(kind string) {
			for _, want := range []string{urnAccess, urnJWT} {
				a := p.exchange(t, portal, about(p.says(kind, nil), kind), requested(want),
					asking("read"))
				require.Equal(t, want, a.text("issued_token_type"), "%s %v", a.raw, a.logged)
				m := p.active(t, portal, a.token())
				assert.Equal(t, p.iss(), m["iss"], "our token, not theirs")
				assert.Equal(t, "bob", m["sub"], "the user that the account is linked to")
				assert.Equal(t, "portal", m["client_id"])
				assert.Equal(t, aggregates, m["aud"])
				assert.Equal(t, "read", m["scope"])
				assert.NotContains(t, m, "act")
				event := a.event(t)
				assert.Equal(t, "impersonate", event["mode"])
				assert.Equal(t, "bob", event["subject"].(object)["id"])
				assert.Equal(t, "acme", event["subject"].(object)["tenant"])
			}
		})
		a := p.exchange(t, portal, about(p.says(urnJWT, object{"sub": "ext-3"}), urnJWT),
			requested(urnJWT)).jwt(t)
		assert.Equal(t, "alice", p.claims(t, a.token())["sub"])
		assert.Equal(t, !pinned, p.fetched.Load() > 0)
	})
	t.Run("an ID token under the name of a JWT", func(t *testing.T) {
		p.exchange(t, portal, about(p.says(urnID, nil), urnJWT), asking("read")).opaque(t)
	})
	idMarks := []object{
		{"nonce": "n"}, {"at_hash": "h"}, {"c_hash": "h"}, {"s_hash": "h"},
		{"typ": "ID"}, {"token_use": "id"}, // the names of Keycloak and Cognito
	}
	t.Run("an ID token shows that it is one", func(t *testing.T) {
		for _, declared := range []string{urnID, urnJWT} {
			for _, mark := range idMarks {
				token := p.says(urnID, with(object{"nonce": nil}, mark))
				p.exchange(t, portal, about(token, declared), asking("read")).opaque(t)
			}
			for _, other := range []object{
				{"nonce": nil}, {"nonce": nil, "azp": "portal"}, {"nonce": nil, "acr": "1"},
				{"typ": "Bearer"}, {"typ": "Refresh"}, {"typ": "Logout"}, {"token_use": "access"},
				{"scope": "orders.read"}, {"scope": ""}, {"scope": []any{}}, {"scope": 7},
				{"scp": "orders.read"}, {"scp": []any{"orders.read"}}, {"scp": []any{}},
			} {
				a := p.exchange(t, portal, about(p.says(urnID, other), declared))
				a.refused(t, tokenexchange.InvalidRequest, "R07")
			}
		}
	})
	t.Run("an issuer all of whose tokens have typ JWT", func(t *testing.T) {
		types := object{"types": object{urnJWT: "JWT"}}
		plain := playPartner(t, pinned, changing("foreign_issuers", partnerIss, types))
		portal := plain.basic("portal")
		now := plain.clock.Now()
		says := func(mark object) string {
			return plain.keys.Sign("JWT", with(object{
				"iss": partnerIss, "sub": "ext-1", "aud": expected, "jti": "1",
				"scope": "orders.read", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}, mark))
		}
		for _, access := range []object{nil, {"typ": "Bearer", "nonce": "n"}} {
			plain.exchange(t, portal, about(says(access), urnJWT), asking("read")).opaque(t)
		}
		for _, mark := range idMarks {
			for _, token := range []string{says(mark), says(with(mark, object{"scope": nil}))} {
				for _, declared := range []string{urnJWT, urnID} {
					a := plain.exchange(t, portal, about(token, declared))
					a.refused(t, tokenexchange.InvalidRequest, "R07")
				}
			}
		}
	})
	t.Run("scope counts through the mapping only", func(t *testing.T) {
		omitted := func(change object) reply {
			return p.exchange(t, portal, about(p.says(urnJWT, change), urnJWT)).opaque(t)
		}
		assert.Equal(t, []string{"read"}, omitted(nil).scope(),
			"orders.delete and profile mean nothing here")
		assert.Equal(t, []string{"read", "write"}, omitted(object{"scope": "orders.all"}).scope())
		for _, scp := range []any{
			"orders.read", []any{"orders.read"},
			"orders.read orders.delete", []any{"x", "orders.read"},
		} {
			a := omitted(object{"scope": nil, "scp": scp})
			assert.Equal(t, []string{"read"}, a.scope(), "%v", scp)
		}
		both := omitted(object{"scope": nil, "scp": []any{"orders.all"}})
		assert.Equal(t, []string{"read", "write"}, both.scope())
		nothing := []object{ // unknown here, or not readable as a scope
			{"scope": "read write"}, {"scope": "read"}, {"scope": "orders.delete"},
			{"scope": "ORDERS.READ"}, {"scope": nil}, {"scope": ""},
			{"scope": json.RawMessage("null")}, {"scope": 7}, {"scope": true},
			{"scope": []any{"orders.read"}}, {"scope": []any{}},
			{"scope": object{"orders.read": true}}, {"scope": "orders.read "},
			{"scope": " orders.read"}, {"scope": "orders.read  orders.all"},
			// scp replaces a missing scope only
			{"scope": "orders.delete", "scp": "orders.all"}, {"scope": 7, "scp": "orders.all"},
		}
		for _, scp := range []any{
			"read", []any{"orders.delete"}, "orders.read ", []any{"orders.read "},
			[]any{"orders.read", 7}, 7,
		} {
			nothing = append(nothing, object{"scope": nil, "scp": scp})
		}
		for _, scoped := range nothing {
			token := p.says(urnJWT, scoped)
			a := p.exchange(t, portal, about(token, urnJWT)).opaque(t)
			assert.NotContains(t, a.body, "scope", "%v", scoped)
			assert.NotContains(t, p.active(t, portal, a.token()), "scope")
			a = p.exchange(t, portal, about(token, urnJWT), asking("read"))
			a.refused(t, tokenexchange.InvalidScope)
		}
		p.exchange(t, portal, about(p.says(urnJWT, nil), urnJWT), asking("write")).refused(t,
			tokenexchange.InvalidScope)
		p.exchange(t, portal, about(p.says(urnJWT, nil), urnJWT), asking("orders.read")).refused(t,
			tokenexchange.InvalidScope)
		p.exchange(t, portal, about(p.says(urnJWT, object{"scope": "orders.all"}), urnJWT),
			asking("read email")).refused(t, tokenexchange.InvalidScope)
		p.changeUser("alice", func(u *world.User) { u.Scope = tokenexchange.Scope{"read"} })
		a := p.exchange(t, portal,
			about(p.says(urnJWT, object{"scope": "orders.all", "sub": "ext-3"}), urnJWT)).opaque(t)
		assert.Equal(t, []string{"read"}, a.scope(), "within what the user may hand on")
		a = p.exchange(t, portal, about(p.says(urnID, nil), urnID)).opaque(t)
		assert.NotContains(t, a.body, "scope", "an ID token has none")
	})
	want := p.exchange(t, portal, about("at_unknown", urnAccess)).refused(t,
		tokenexchange.InvalidRequest)
	refused := func(t *testing.T, what string, kind, token string, reasons ...string) {
		t.Helper()
		a := p.exchange(t, portal, about(token, kind), asking("read"))
		require.Equal(t, "invalid_request", a.text("error"), "%s: %v", what, a.logged)
		a.refused(t, tokenexchange.InvalidRequest, reasons...)
		require.Equal(t, want.raw, a.raw, "R13")
	}
	t.Run("an account without link", func(t *testing.T) {
		each(func(kind string) {
			for _, sub := range []string{"ext-9", "bob", "EXT-1", "ext-1 ", "bob@acme.example"} {
				refused(t, sub, kind, p.says(kind,
					object{"sub": sub, "email": "bob@acme.example",
						"email_verified": true, "preferred_username": "bob"}), "D07")
			}
			refused(t, "a locked user", kind, p.says(kind, object{"sub": "ext-2"}), "D07")
			refused(t, "no sub", kind, p.says(kind, object{"sub": nil}))
		})
	})
	t.Run("not for us", func(t *testing.T) {
		each(func(kind string) {
			for _, aud := range []any{somebodyElses, []any{somebodyElses, partnerIss}, p.iss(),
				"portal", expected + "/", strings.ToUpper(expected), []any{}, "", nil, 7,
				object{"aud": expected}} {
				refused(t, fmt.Sprint(aud), kind, p.says(kind, object{"aud": aud}))
			}
			p.exchange(t, portal, about(p.says(kind, object{"aud": []any{somebodyElses, expected}}),
				kind), asking("read")).opaque(t)
		})
		// Their audiences are no targets here.
		p.exchange(t, portal, about(p.says(urnJWT, object{"aud": []any{expected, settings}}),
			urnJWT), []string{"audience", settings}).refused(t, tokenexchange.InvalidTarget)
		p.exchange(t, portal, about(p.says(urnJWT, nil), urnJWT),
			[]string{"audience", expected}).refused(t, tokenexchange.InvalidTarget)
	})
	t.Run("not believed for actors", func(t *testing.T) {
		each(func(kind string) {
			for _, claim := range []string{"act", "act_as", "may_act"} {
				for _, value := range []any{
					object{"sub": "ines"}, object{"sub": "ines", "iss": p.iss()},
					object{"sub": "ext-3"}, object{"client_id": "portal"},
					object{"sub": "ines", "act": object{"sub": "sam"}}, object{},
					json.RawMessage("null"), []any{}, "ines", true,
				} {
					refused(t, fmt.Sprint(claim, value), kind, p.says(kind, object{claim: value}))
				}
			}
			refused(t, "act", kind, p.says(kind, object{"act": object{"sub": "ext-3"}}), "D06")
			refused(t, "may_act", kind,
				p.says(kind, object{"may_act": object{"client_id": "portal"}}), "D06")
			refused(t, "act_as", kind, p.says(kind, object{"act_as": object{"sub": "ext-3"}}),
				"D06")
		})
	})
	t.Run("not theirs", func(t *testing.T) {
		stranger := tokenexchangetest.NewMinter(partnerIss)
		each(func(kind string) {
			good := p.says(kind, nil)
			parts := strings.Split(good, ".")
			header, payload := decoded(t, parts[0]), decoded(t, parts[1])
			refused(t, "another key", kind, stranger.SignRaw(header, payload))
			refused(t, "another key of that name", kind,
				stranger.SignRaw(strings.Replace(header, p.keys.KeyID(), stranger.KeyID(), 1),
					payload))
			refused(t, "no signature", kind, parts[0]+"."+parts[1]+".")
			refused(t, "alg none", kind,
				p.keys.SignRaw(strings.Replace(header, "ES256", "none", 1), payload))
			refused(t, "alg HS256", kind,
				p.keys.SignRaw(strings.Replace(header, "ES256", "HS256", 1), payload))
			refused(t, "an unknown issuer", kind, p.says(kind, object{"iss": somebodyElses}))
			refused(t, "with a slash", kind, p.says(kind, object{"iss": partnerIss + "/"}))
			refused(t, "our name", kind, p.says(kind, object{"iss": p.iss(), "sub": "bob"}))
			refused(t, "the name of a client", kind,
				p.says(kind, object{"iss": "robot", "aud": p.iss(), "sub": "bob"}))
			refused(t, "the other issuer's name", kind,
				p.says(kind, object{"iss": "https://idp.partner.example", "sub": "p-4711"}))
		})
	})
	t.Run("not at this time", func(t *testing.T) {
		now := p.clock.Now()
		each(func(kind string) {
			refused(t, "expired", kind, p.says(kind, object{"exp": now.Unix()}))
			refused(t, "without exp", kind, p.says(kind, object{"exp": nil}))
			refused(t, "not yet", kind,
				p.says(kind, object{"nbf": now.Add(2 * time.Minute).Unix()}))
			refused(t, "from the future", kind,
				p.says(kind, object{"iat": now.Add(2 * time.Minute).Unix()}))
			a := p.exchange(t, portal, about(p.says(kind,
				object{"exp": now.Add(40 * time.Second).Unix()}), kind), asking("read")).opaque(t)
			assert.Equal(t, json.Number("40"), a.body["expires_in"], "no longer than theirs (D25)")
		})
	})
	t.Run("not under another type", func(t *testing.T) {
		refused(t, "access token", urnAccess, p.says(urnJWT, nil))
		refused(t, "refresh token", urnAccess, p.says(urnID, nil))
		refused(t, "JWT as ID token", urnID, p.says(urnJWT, nil))
		refused(t, "typ of something else", urnJWT,
			p.keys.Sign("logout+jwt", object{"iss": partnerIss, "sub": "ext-1", "aud": expected,
				"iat": p.clock.Now().Unix(), "exp": p.clock.Now().Add(time.Minute).Unix()}))
	})
	t.Run("only by a client that a rule names", func(t *testing.T) {
		each(func(kind string) {
			for _, client := range []string{"service", "aggregates-api"} {
				p.exchange(t, p.basic(client),
					about(p.says(kind, object{"client_id": client, "azp": client,
						"aud": []any{expected, client}}), kind)).refused(t,
					tokenexchange.InvalidRequest)
			}
		})
		theirs := playPartner(t, pinned,
			changing("rules", "portal-partner",
				object{"impersonate": object{"issuers": []any{"https://idp.partner.example"}}}))
		theirs.exchange(t, theirs.basic("portal"),
			about(theirs.says(urnJWT, object{"client_id": "portal"}), urnJWT)).refused(t,
			tokenexchange.InvalidRequest, "D04")
	})
	t.Run("no actor token", func(t *testing.T) {
		alice := p.logIn(t, "alice", "portal")
		each(func(kind string) {
			p.exchange(t, portal, about(alice.AccessToken, urnAccess),
				acting(p.says(kind, nil), kind)).refused(t, tokenexchange.InvalidRequest)
		})
	})
	t.Run("a link that is good once is good until the user is out", func(t *testing.T) {
		token := p.says(urnJWT, nil)
		p.exchange(t, portal, about(token, urnJWT)).opaque(t)
		p.changeUser("bob", func(u *world.User) { u.Status = "disabled" })
		refused(t, "a disabled user", urnJWT, token, "D07")
	})
}

// decoded is one part of a JWT.
func decoded(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	return string(text)
}
