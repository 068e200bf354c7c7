package scenarios

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

func init() {
	scenario("F03", scenarioF03)
	scenario("F08", scenarioF08)
	scenario("F09", scenarioF09)
	scenario("F10", scenarioF10)
}

// pairs calls each for access or ID token in, access or ID token out, without and with an actor.
func (sc *bankScene) pairs(each func(in, out string, parts ...[]string)) {
	for in, subject := range map[string]string{urnAccess: sc.alice.AccessToken,
		urnID: sc.alice.IDToken} {
		for _, out := range []string{urnAccess, urnID} {
			each(in, out, about(subject, in), requested(out))
			each(in, out, about(subject, in), requested(out), acting(sc.sam.AccessToken, urnAccess))
			each(in, out, about(subject, in), requested(out), acting(sc.sam.IDToken, urnID))
		}
	}
}

// refreshing lets the rules of service issue refresh tokens and ID tokens with an access token.
func refreshing(doc object) {
	for _, mode := range []string{"impersonate", "delegate"} {
		changing("rules", "service-"+mode,
			object{mode: object{"refresh_lifetime": "1h", "id_token": true}})(doc)
	}
}

// scenarioF03: all four pairs of access and ID token.
func scenarioF03(t *testing.T) {
	sc := playBank(t, refreshing)
	t.Run("granted", func(t *testing.T) {
		sc.pairs(func(in, out string, parts ...[]string) {
			a := sc.exchange(t, sc.service, append(parts, asking("read"))...)
			if out == urnID {
				a.idToken(t)
				require.Len(t, strings.Split(a.token(), "."), 3, "the ID token is in access_token")
				assert.NotContains(t, sc.seen(t, a),
					"at_hash", "there is no access token that it could be about")
			} else {
				a.opaque(t)
			}
			for _, member := range []string{"id_token", "refresh_token"} {
				assert.NotContains(t, a.body, member)
			}
			assert.Equal(t, []string{"read"}, a.scope())
			m := sc.seen(t, a)
			assert.Equal(t, "alice", m["sub"])
			if a.sent.Has("actor_token") {
				assert.Equal(t, sc.bySam(), m["act"])
			} else {
				assert.NotContains(t, m, "act")
			}
			assert.Equal(t, sc.clock.Now().Add(10*time.Minute), dateOf(t, m, "exp"))
		})
	})
	t.Run("a refresh token with an access token", func(t *testing.T) {
		sc.pairs(func(in, out string, parts ...[]string) {
			asked := sc.exchange(t, sc.service, append(parts, asking("read offline_access"))...)
			omitted := sc.exchange(t, sc.service, parts...)
			switch out {
			case urnID: // requested: refused; inherited: left out (D23)
				asked.refused(t, tokenexchange.InvalidScope, "D23")
				omitted.idToken(t)
				assert.NotContains(t, omitted.body, "refresh_token", "none with an ID token")
				assert.NotContains(t, omitted.scope(), "offline_access")
			default:
				asked.opaque(t)
				assert.NotEmpty(t, asked.text("refresh_token"))
				assert.Contains(t, asked.scope(), "offline_access")
			}
		})
	})
	t.Run("no openid is needed", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess), requested(urnID),
			asking("read")).idToken(t)
		assert.NotContains(t, a.body, "id_token")
		a = sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess), requested(urnAccess),
			asking("openid read")).opaque(t)
		assert.Equal(t, "alice", sc.idClaims(t, a.text("id_token"), "service")["sub"])
	})
	t.Run("access_token where none is requested", func(t *testing.T) {
		for in, subject := range map[string]string{urnAccess: sc.alice.AccessToken,
			urnID: sc.alice.IDToken} {
			sc.exchange(t, sc.service, about(subject, in), asking("read")).opaque(t)
		}
	})
	t.Run("each under its own type", func(t *testing.T) {
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnID)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(sc.alice.JWT, urnID)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(sc.alice.IDToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.IDToken, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, urnID)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			requested(urnRefresh)).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("what the rule does not issue", func(t *testing.T) {
		only := playBank(t, changing("rules", "service-impersonate",
			object{"types": []any{urnAccess}, "subject_types": []any{urnID}}))
		only.exchange(t, only.service, about(only.alice.IDToken, urnID), requested(urnAccess),
			asking("read")).opaque(t)
		only.exchange(t, only.service, about(only.alice.IDToken, urnID), requested(urnID),
			asking("read")).refused(t, tokenexchange.InvalidRequest)
		only.exchange(t, only.service, about(only.alice.AccessToken, urnAccess),
			requested(urnAccess)).refused(t, tokenexchange.InvalidRequest)
	})
}

// scenarioF08: every refusal is 400 with JSON and no-store, and names a missing parameter.
func scenarioF08(t *testing.T) {
	sc := playBank(t)
	whole := func() url.Values {
		f := formOf(append(about(sc.alice.AccessToken, urnAccess), "grant_type", grantExchange,
			"scope", "read")...)
		f.Add("actor_token", sc.sam.AccessToken)
		f.Add("actor_token_type", urnAccess)
		return f
	}
	sc.send(t, "/token", sc.service, whole()).opaque(t)

	t.Run("the parameter is named", func(t *testing.T) {
		for name, change := range map[string]func(url.Values){
			"subject_token_type": func(f url.Values) { f.Del("subject_token_type") },
			"subject_token":      func(f url.Values) { f.Del("subject_token") },
			"actor_token_type":   func(f url.Values) { f.Del("actor_token_type") },
			"actor_token":        func(f url.Values) { f.Del("actor_token") },
			"grant_type":         func(f url.Values) { f.Del("grant_type") },
			"requested_token_type": func(f url.Values) {
				f["requested_token_type"] = []string{urnAccess, urnAccess}
			},
			"scope": func(f url.Values) { f.Add("scope", "read") },
		} {
			f := whole()
			change(f)
			a := sc.send(t, "/token", sc.service, f).refused(t, tokenexchange.InvalidRequest)
			assert.Equal(t, http.StatusBadRequest, a.status)
			assert.Regexp(t, `\b`+name+`\b`, a.text("error_description"))
		}
		for _, name := range []string{"subject_token_type", "subject_token"} {
			f := whole()
			f.Set(name, "")
			a := sc.send(t, "/token", sc.service, f).refused(t, tokenexchange.InvalidRequest)
			assert.Regexp(t, `\b`+name+`\b`,
				a.text("error_description"), "one without a value was not sent")
		}
	})
	t.Run("every other one", func(t *testing.T) {
		for name, row := range map[string]struct {
			code   tokenexchange.Code
			change func(url.Values)
		}{
			"grant": {tokenexchange.UnsupportedGrantType, func(f url.Values) {
				f.Set("grant_type", "password")
			}},
			"subject": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("subject_token", "at_unknown")
			}},
			"subject type": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("subject_token_type", urnID)
			}},
			"strange type": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("subject_token_type", "urn:example:strange")
			}},
			"actor": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("actor_token", sc.alice.AccessToken)
			}},
			"actor type": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("actor_token_type", urnID)
			}},
			"requested type": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("requested_token_type", "urn:example:strange")
			}},
			"requested refresh": {tokenexchange.InvalidRequest, func(f url.Values) {
				f.Set("requested_token_type", urnRefresh)
			}},
			"audience": {tokenexchange.InvalidTarget, func(f url.Values) {
				f.Set("audience", "https://elsewhere.example")
			}},
			"resource": {tokenexchange.InvalidTarget, func(f url.Values) {
				f.Set("resource", "not a URI")
			}},
			"scope": {tokenexchange.InvalidScope, func(f url.Values) {
				f.Set("scope", "admin")
			}},
			"malformed scope": {tokenexchange.InvalidScope, func(f url.Values) {
				f.Set("scope", "read  write")
			}},
		} {
			f := whole()
			row.change(f)
			a := sc.send(t, "/token", sc.service, f).refused(t, row.code)
			assert.Equal(t, http.StatusBadRequest, a.status, name)
			assert.NotEmpty(t, a.text("error_description"), name)
			assert.NotContains(t, a.raw, "example", "no input comes back")
		}
	})
	t.Run("not a form", func(t *testing.T) {
		for _, row := range []struct{ path, media, body string }{
			{"/token", "application/json", `{"grant_type":"` + grantExchange + `"}`},
			{"/token", "", whole().Encode()},
			{"/token", "application/x-www-form-urlencoded", "%zz=1"},
			{"/token?subject_token=x", "application/x-www-form-urlencoded", whole().Encode()},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sc.url+row.path,
				strings.NewReader(row.body))
			require.NoError(t, err)
			r.Header["Content-Type"] = []string{row.media}
			r.SetBasicAuth("service", sc.secret("service"))
			a := sc.do(t, r, url.Values{})
			assert.Equal(t, http.StatusBadRequest, a.status, row)
			assert.Equal(t, "invalid_request", a.text("error"), row)
			a.isJSON(t) // before client authentication (D03), so an event is optional (I07)
		}
	})
	t.Run("nothing is kept", func(t *testing.T) {
		response, err := sc.http.Post(sc.url+"/token", "application/x-www-form-urlencoded",
			strings.NewReader("grant_type="+url.QueryEscape(grantExchange)))
		require.NoError(t, err)
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode,
			"an unknown client is the only refusal that is not a 400 (R09)")
		assert.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	})
}

// scenarioF09: which claims of an ID token survive its exchange.
func scenarioF09(t *testing.T) {
	sc := playBank(t)
	began := sc.clock.Now()
	sc.wait(20 * time.Minute)
	customers := object{"client_id": "service", "sub": "sam"}
	old := object{
		"auth_time": began.Add(-time.Hour).Unix(), "acr": "urn:example:loa:3",
		"amr":   []any{"pwd", "otp"},
		"nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
		"c_hash": "LDktKdoQak3Pk0cnXxCltA", "s_hash": "bKE9UspwyIPg8LsQHkJaiQ",
		"sid": "session-1", "auth_level": 10, "name": "Somebody Else",
		"email": "somebody@elsewhere.example", "may_act": customers,
		"jti": "id-token-1", "iat": began.Unix(), "exp": began.Add(2 * time.Hour).Unix(),
	}
	sc.wait(time.Minute)
	subject := sc.minted(t, urnID, old)
	weaker := sc.logIn(t, "sam", "customer") // now, and with a password only

	t.Run("table", func(t *testing.T) {
		for _, out := range []string{urnJWT, urnID} {
			for _, actor := range [][]string{nil, acting(weaker.AccessToken, urnAccess),
				acting(weaker.IDToken, urnID)} {
				a := sc.exchange(t, sc.service, about(subject, urnID), requested(out), actor,
					asking("read"))
				require.Equal(t, out, a.text("issued_token_type"), a.raw)
				_, was := sc.verified(t, subject)
				is := sc.seen(t, a)
				for _, claim := range []string{"iss", "sub", "auth_time", "acr", "amr"} {
					assert.Equal(t, was[claim], is[claim], claim)
				}
				for _, claim := range []string{"nonce", "at_hash", "c_hash", "s_hash",
					"sid", "auth_level", "name", "email"} {
					require.Contains(t, was, claim)
					assert.NotContains(t, is, claim)
				}
				for _, claim := range []string{"jti", "exp", "iat", "aud", "client_id"} {
					require.Contains(t, is, claim)
					assert.NotEqual(t, was[claim], is[claim], claim)
				}
				assert.Equal(t, sc.clock.Now(), dateOf(t, is, "iat"))
				assert.Equal(t, sc.clock.Now().Add(10*time.Minute), dateOf(t, is, "exp"))
			}
		}
	})
	t.Run("introspection", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(subject, urnID), asking("read")).opaque(t)
		m := sc.seen(t, a)
		assert.Equal(t, "urn:example:loa:3", m["acr"])
		assert.Equal(t, began.Add(-time.Hour), dateOf(t, m, "auth_time"))
		for _, claim := range []string{"nonce", "at_hash", "c_hash", "s_hash", "sid",
			"name", "email"} {
			assert.NotContains(t, m, claim)
		}
	})
	t.Run("never the actor's", func(t *testing.T) {
		none := sc.minted(t, urnID, object{"auth_time": nil, "acr": nil, "amr": nil})
		for _, out := range []string{urnJWT, urnID} {
			a := sc.exchange(t, sc.service, about(none, urnID), requested(out),
				acting(weaker.IDToken, urnID), asking("read"))
			m := sc.seen(t, a)
			assert.Equal(t, sc.bySam(), m["act"])
			for _, claim := range []string{"auth_time", "acr", "amr"} {
				require.Contains(t, sc.idClaims(t, weaker.IDToken, "customer"), claim)
				assert.NotContains(t, m, claim, "absent if the subject has none")
			}
		}
	})
	t.Run("of an access token", func(t *testing.T) {
		token := sc.minted(t, urnAccess,
			object{"auth_time": began.Unix(), "acr": "urn:example:loa:3", "amr": []any{"otp"},
				"nonce": "n-1", "exp": began.Add(2 * time.Hour).Unix()})
		for _, out := range []string{urnJWT, urnID} {
			m := sc.seen(t,
				sc.exchange(t, sc.service, about(token, urnAccess), requested(out), asking("read")))
			assert.Equal(t, "urn:example:loa:3", m["acr"])
			assert.Equal(t, []any{"otp"}, m["amr"])
			assert.Equal(t, began, dateOf(t, m, "auth_time"))
			assert.NotContains(t, m, "nonce")
		}
	})
	t.Run("and of its result", func(t *testing.T) {
		first := sc.exchange(t, sc.service, about(subject, urnID), requested(urnID),
			asking("read")).idToken(t)
		m := sc.seen(t, sc.exchange(t, sc.service, about(first.token(), urnID), requested(urnID),
			asking("read")))
		assert.Equal(t, "urn:example:loa:3", m["acr"])
		assert.Equal(t, began.Add(-time.Hour), dateOf(t, m, "auth_time"), "never renewed")
	})
	t.Run("no longer than it lives itself", func(t *testing.T) {
		short := sc.minted(t, urnID, object{"exp": sc.clock.Now().Add(30 * time.Second).Unix()})
		for _, out := range []string{urnAccess, urnJWT, urnID} {
			m := sc.seen(t,
				sc.exchange(t, sc.service, about(short, urnID), requested(out), asking("read")))
			assert.Equal(t, sc.clock.Now().Add(30*time.Second), dateOf(t, m, "exp"))
		}
		sc.wait(30 * time.Second)
		sc.exchange(t, sc.service, about(short, urnID), asking("read")).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("at_hash is of the new access token", func(t *testing.T) {
		portal, alice := sc.basic("portal"), sc.logIn(t, "alice", "portal")
		_, was := sc.verified(t, alice.IDToken)
		require.Contains(t, was, "at_hash")
		for _, out := range []string{urnAccess, urnJWT} {
			a := sc.exchange(t, portal, about(alice.IDToken, urnID), requested(out),
				asking("openid read"))
			is := sc.idClaims(t, a.text("id_token"), "portal")
			hash := sha256.Sum256([]byte(a.token()))
			assert.Equal(t, base64.RawURLEncoding.EncodeToString(hash[:16]), is["at_hash"])
			assert.NotEqual(t, was["jti"], is["jti"])
		}
	})
}

// scenarioF10: an ID token is issued to the client that exchanges, and to no other.
func scenarioF10(t *testing.T) {
	sc := playBank(t, silent)
	sc.pairs(func(in, out string, parts ...[]string) {
		if out != urnID {
			return
		}
		a := sc.exchange(t, sc.service, append(parts, asking("read"))...).idToken(t)
		_, m := sc.verified(t, a.token())
		assert.Equal(t, "service", m["aud"])
		assert.Equal(t, "service", m["azp"])
		assert.Equal(t, sc.iss(), m["iss"])

		a = sc.exchange(t, sc.service,
			append(parts, asking("read"), []string{"audience", "service"})...).idToken(t)
		_, m = sc.verified(t, a.token())
		assert.Equal(t, "service", m["aud"])
		for _, target := range [][]string{
			{"audience", bank}, {"audience", "customer"}, {"audience", "portal"},
			{"resource", bank},
			{"audience", "service", "audience", bank}, {"audience", "service", "resource", bank},
		} {
			sc.exchange(t, sc.service, append(parts, target)...).refused(t,
				tokenexchange.InvalidTarget, "D27")
		}
	})
	t.Run("whose it is from then on", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.IDToken, urnID), requested(urnID),
			asking("read")).idToken(t)
		sc.exchange(t, sc.service, about(a.token(), urnID), asking("read")).opaque(t)
		sc.exchange(t, sc.basic("portal"), about(a.token(), urnID)).refused(t,
			tokenexchange.InvalidRequest, "D04")
		assert.NotContains(t, sc.claimsOfAny(t, a.token()), "scope")
	})
	t.Run("it is no access token", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.IDToken, urnID), requested(urnID),
			asking("read")).idToken(t)
		sc.inactive(t, sc.service, a.token())
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, a.token()).status)
	})
	t.Run("only about a user", func(t *testing.T) {
		sc := playBank(t, changing("rules", "service-impersonate",
			object{"subjects": []any{object{"kind": "client", "id": "*"}}}))
		own := sc.own(t, sc.service).opaque(t).token()
		sc.exchange(t, sc.service, about(own, urnAccess), requested(urnAccess),
			asking("read")).opaque(t)
		sc.exchange(t, sc.service, about(own, urnAccess), requested(urnID),
			asking("read")).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("the other client's stays the other's", func(t *testing.T) {
		assert.Equal(t, "customer", sc.claimsOfAny(t, sc.alice.IDToken)["aud"])
		_, m := sc.verified(t, sc.ours(t, urnID, "JWT",
			with(sc.claimsOfAny(t, sc.alice.IDToken),
				object{"jti": rand.Text(), "azp": "service"})))
		require.Equal(t, "service", m["azp"])
		forged := sc.ours(t, urnID, "JWT", with(m, object{"jti": rand.Text(), "client_id": nil}))
		// azp is not in aud
		sc.exchange(t, sc.service, about(forged, urnID)).refused(t, tokenexchange.InvalidRequest)
	})
}

// claimsOfAny reads the claims of any JWT of this server.
func (sc *bankScene) claimsOfAny(t *testing.T, token string) object {
	t.Helper()
	_, claims := sc.verified(t, token)
	return claims
}
