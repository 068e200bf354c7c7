package scenarios

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("Z23", scenarioZ23) }

// scenarioZ23: client authentication.
func scenarioZ23(t *testing.T) {
	wildcard := func(name, mode string) edit {
		return adding("rules", `{
			"name": "`+name+`", "narrow": {`+mode+`}, "clients": ["*"],
			"subjects": [{"kind": "user", "tenant": "*", "id": "*"}],
			"subject_types": ["`+urnAccess+`"], "types": ["`+urnAccess+`"],
			"subject_audience": true, "scope": ["*"], "lifetime": "1m"}`)
	}
	odd := `{"id": "svc-1.a_b~ü:&=", "secret": "s%crét +:&=",
		"auth_methods": ["client_secret_basic", "client_secret_post"],
		"grants": ["` + grantExchange + `"], "scope": ["read"],
		"token_audience": ["` + aggregates + `"]}`
	sc := play(t, wildcard("every-client", ""), adding("clients", odd))
	t.Run("secrets", func(t *testing.T) { secretsOfZ23(t, sc) })
	t.Run("private_key_jwt", func(t *testing.T) { keysOfZ23(t, sc) })
	t.Run("public", func(t *testing.T) { publicOfZ23(t, sc) })
	t.Run("a wildcard cannot mean public clients", func(t *testing.T) {
		var doc object = objectOf(demoWorld)
		wildcard("every-client", `"public_clients": true`)(doc)
		w, err := world.Parse([]byte(jsonOf(t, doc)))
		if err == nil {
			_, err = server.New(w, server.Options{Issuer: "http://as.example"})
		}
		assert.ErrorContains(t, err, "every-client")
	})
}

func secretsOfZ23(t *testing.T, sc *scene) {
	alice := about(sc.logIn(t, "alice", "portal").AccessToken, urnAccess)
	secret := sc.secret("portal")

	t.Run("granted", func(t *testing.T) {
		sc.exchange(t, sc.basic("portal"), alice).opaque(t)
		sc.exchange(t, sc.post("portal"), alice).opaque(t)
		both := func(r *http.Request, form url.Values) {
			sc.basic("portal")(r, form)
			form.Set("client_id", "portal")
		}
		sc.exchange(t, both, alice).opaque(t)
		empty := func(r *http.Request, form url.Values) {
			sc.basic("portal")(r, form)
			form.Set("client_secret", "")
		}
		sc.exchange(t, empty, alice).opaque(t)
	})
	t.Run("form-encoded below Basic", func(t *testing.T) { // RFC 6749 §2.3.1
		const id, secret = "svc-1.a_b~ü:&=", "s%crét +:&="
		token := about(sc.logIn(t, "alice", id).AccessToken, urnAccess)
		sc.exchange(t, basicAs(id, secret), token).opaque(t)
		sc.exchange(t, postAs(id, secret), token).opaque(t)
		all := strings.NewReplacer("-", "%2D", ".", "%2E", "_", "%5F", "~", "%7E")
		sc.exchange(t, func(r *http.Request, _ url.Values) {
			r.SetBasicAuth(all.Replace(url.QueryEscape(id)), url.QueryEscape(secret))
		}, token).opaque(t)
		raw := func(r *http.Request, _ url.Values) {
			r.SetBasicAuth("portal", "portal-demo-secret")
		}
		sc.exchange(t, raw, alice).opaque(t)
		escaped := func(r *http.Request, _ url.Values) {
			r.SetBasicAuth("portal", "portal%2Ddemo%2Dsecret")
		}
		sc.exchange(t, escaped, alice).opaque(t)
	})

	header := func(value string) authentication {
		return func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", value) }
	}
	credentials := base64.StdEncoding.EncodeToString([]byte("portal:" + secret))
	want := sc.exchange(t, basicAs("nobody", "x"), alice).refused(t, tokenexchange.InvalidClient)
	for name, as := range map[string]authentication{
		"wrong secret":                basicAs("portal", secret+"x"),
		"wrong secret by post":        postAs("portal", "wrong"),
		"no secret":                   basicAs("portal", ""),
		"secret of another":           basicAs("portal", sc.secret("service")),
		"other case":                  basicAs("Portal", secret),
		"unknown by post":             postAs("nobody", secret),
		"nobody":                      nobodySays,
		"a name alone":                publicAs("portal"),
		"a disabled client":           sc.basic("retired"),
		"a secret where a key is due": postAs("robot", "robot"),
		"another scheme":              header("Bearer " + credentials),
		"no scheme":                   header(credentials),
		"no colon": header("Basic " +
			base64.StdEncoding.EncodeToString([]byte("portal"))),
		"no base64":  header("Basic !!!"),
		"bad escape": header("Basic " + base64.StdEncoding.EncodeToString([]byte("portal:%zz"))),
		"of two clients": func(r *http.Request, form url.Values) {
			sc.basic("portal")(r, form)
			form.Set("client_id", "service")
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := sc.exchange(t, as, alice).refused(t, tokenexchange.InvalidClient)
			assert.Equal(t, want.raw, a.raw, "who is unknown is not told")
			if strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
				assert.Contains(t, a.header.Get("WWW-Authenticate"), `realm="`)
			}
		})
	}
	t.Run("two ways at once", func(t *testing.T) {
		for _, second := range []authentication{sc.post("portal"), postAs("portal", "wrong"),
			assertionAs("x")} {
			a := sc.exchange(t, func(r *http.Request, form url.Values) {
				sc.basic("portal")(r, form)
				second(r, form)
			}, alice)
			assert.Contains(t, []string{"invalid_request", "invalid_client"}, a.text("error"))
		}
	})
	t.Run("a method that the client does not use", func(t *testing.T) {
		sc.changeClient("portal", func(c *world.Client) { c.AuthMethods = []string{secretBasic} })
		sc.exchange(t, sc.post("portal"), alice).refused(t, tokenexchange.InvalidClient)
		sc.exchange(t, sc.basic("portal"), alice).opaque(t)
		sc.changeClient("portal", func(c *world.Client) { c.AuthMethods = []string{secretPost} })
		sc.exchange(t, sc.basic("portal"), alice).refused(t, tokenexchange.InvalidClient)
		sc.exchange(t, sc.post("portal"), alice).opaque(t)
		sc.changeClient("portal", func(c *world.Client) {
			c.AuthMethods = []string{secretBasic, secretPost}
		})
	})
	t.Run("without this grant", func(t *testing.T) {
		for _, id := range []string{"customer", "settings-api", "bank-api"} {
			sc.exchange(t, sc.basic(id), alice).refused(t, tokenexchange.UnauthorizedClient)
		}
	})
	t.Run("a secret in the query", func(t *testing.T) {
		form := formOf(append([]string{"grant_type", grantExchange}, alice...)...)
		query := "?client_id=portal&client_secret=" + url.QueryEscape(secret)
		assert.Equal(t, "invalid_request",
			sc.send(t, "/token"+query, nobodySays, form).text("error"))
		assert.Equal(t, "invalid_request",
			sc.send(t, "/token"+query, sc.basic("portal"), form).text("error"))
	})
}

func keysOfZ23(t *testing.T, sc *scene) {
	alice := about(sc.logIn(t, "alice", "robot").AccessToken, urnAccess)
	key := readPEM(t, "testdata/robot.pem")
	// The wildcard rule lets robot narrow its own tokens.
	sc.exchange(t, sc.private(t, "robot", "testdata/robot.pem"), alice).opaque(t)
	good := sc.assertion("robot")
	from := func(changes object) authentication {
		return assertionAs(mint(t, key, nil, with(sc.assertion("robot"), changes)))
	}

	t.Run("with client_id", func(t *testing.T) {
		as := func(r *http.Request, form url.Values) {
			from(nil)(r, form)
			form.Set("client_id", "robot")
		}
		sc.exchange(t, as, alice).opaque(t)
	})
	t.Run("replay", func(t *testing.T) {
		once := assertionAs(mint(t, key, nil, good))
		sc.exchange(t, once, alice).opaque(t)
		sc.exchange(t, once, alice).refused(t, tokenexchange.InvalidClient)
		sc.exchange(t, from(object{"jti": good["jti"]}), alice).refused(t,
			tokenexchange.InvalidClient)
		sc.send(t, "/introspect", once, formOf("token", "x")).refused(t,
			tokenexchange.InvalidClient)
		sc.send(t, "/revoke", once, formOf("token", "x")).refused(t, tokenexchange.InvalidClient)
	})
	t.Run("a refusal of the exchange has used it", func(t *testing.T) {
		once := from(nil)
		sc.exchange(t, once, about("at_x", urnAccess)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, once, alice).refused(t, tokenexchange.InvalidClient)
	})
	now := sc.clock.Now()
	for name, as := range map[string]authentication{
		"another key": assertionAs(mint(t, readPEM(t, "testdata/partner.pem"), nil,
			sc.assertion("robot"))),
		"the server's key": assertionAs(mint(t, sc.options.Key, nil, sc.assertion("robot"))),
		"expired": from(object{"exp": now.Unix(),
			"iat": now.Add(-time.Minute).Unix()}),
		"without exp":      from(object{"exp": nil}),
		"without jti":      from(object{"jti": nil}),
		"good for a day":   from(object{"exp": now.Add(24 * time.Hour).Unix()}),
		"not yet":          from(object{"nbf": now.Add(5 * time.Minute).Unix()}),
		"no audience":      from(object{"aud": nil}),
		"for the endpoint": from(object{"aud": sc.iss() + "/token"}),
		"for another":      from(object{"aud": "https://elsewhere.example"}),
		"for others too": from(object{"aud": []string{sc.iss(),
			"https://elsewhere.example"}}),
		"about a user":         from(object{"sub": "alice"}),
		"about another client": from(object{"sub": "portal"}),
		"no subject":           from(object{"sub": nil}),
		"of another client":    from(object{"iss": "portal", "sub": "portal"}),
		"no issuer":            from(object{"iss": nil}),
		"of a stranger":        from(object{"iss": "nobody", "sub": "nobody"}),
		"of the server":        from(object{"iss": sc.iss()}),
		"an access token":      assertionAs(sc.logIn(t, "alice", "robot").JWT),
		"nonsense":             assertionAs("x.y.z"),
		"no signature": assertionAs(strings.Join(strings.Split(mint(t, key, nil,
			sc.assertion("robot")), ".")[:2], ".") + "."),
		"no type": func(r *http.Request, form url.Values) {
			from(nil)(r, form)
			form.Del("client_assertion_type")
		},
		"another type": func(r *http.Request, form url.Values) {
			from(nil)(r, form)
			form.Set("client_assertion_type",
				"urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		},
		"another client_id": func(r *http.Request, form url.Values) {
			from(nil)(r, form)
			form.Set("client_id", "portal")
		},
	} {
		t.Run(name, func(t *testing.T) {
			sc.exchange(t, as, alice).refused(t, tokenexchange.InvalidClient)
		})
	}
	t.Run("disabled", func(t *testing.T) {
		sc.changeClient("robot", func(c *world.Client) { c.Status = "disabled" })
		sc.exchange(t, from(nil), alice).refused(t, tokenexchange.InvalidClient)
		sc.changeClient("robot", func(c *world.Client) { c.Status = "" })
		sc.exchange(t, from(nil), alice).opaque(t)
	})
}

func publicOfZ23(t *testing.T, sc *scene) {
	mobile, spa := sc.logIn(t, "alice", "mobile").AccessToken, sc.logIn(t, "alice",
		"spa").AccessToken

	t.Run("a rule names it", func(t *testing.T) {
		a := sc.exchange(t, publicAs("mobile"), about(mobile, urnAccess),
			[]string{"scope", "read"}).opaque(t)
		assert.Equal(t, "mobile", a.event(t)["client"])
		assert.Equal(t, "mobile-narrow", a.event(t)["rule"])
		m := sc.active(t, sc.basic("aggregates-api"), a.token())
		assert.Equal(t, "mobile", m["client_id"])
		assert.Equal(t, "read", m["scope"])
	})
	t.Run("a wildcard does not", func(t *testing.T) {
		sc.exchange(t, publicAs("spa"), about(spa, urnAccess)).refused(t,
			tokenexchange.UnauthorizedClient)
		sc.exchange(t, publicAs("spa"), about(spa, urnAccess),
			[]string{"scope", "read", "audience", aggregates}).refused(t,
			tokenexchange.UnauthorizedClient)
		// a confidential client, which the wildcard matches
		retired := sc.logIn(t, "alice", "service")
		sc.exchange(t, sc.basic("service"), about(retired.AccessToken, urnAccess),
			[]string{"audience", bank}).opaque(t)
	})
	t.Run("and then only what that rule says", func(t *testing.T) {
		sc.exchange(t, publicAs("mobile"), about(mobile, urnAccess),
			[]string{"requested_token_type", urnJWT}).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, publicAs("mobile"), about(mobile, urnAccess),
			[]string{"scope", "openid"}).refused(t, tokenexchange.InvalidScope)
		sc.exchange(t, publicAs("mobile"), about(mobile, urnAccess),
			[]string{"audience", ledger}).refused(t, tokenexchange.InvalidTarget)
		sc.exchange(t, publicAs("mobile"), about(spa, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
		ines := acting(sc.logIn(t, "ines", "mobile").AccessToken, urnAccess)
		sc.exchange(t, publicAs("mobile"), about(mobile, urnAccess), ines).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("it has nothing to show", func(t *testing.T) {
		for _, as := range []authentication{basicAs("mobile", "x"), postAs("mobile", "x"),
			basicAs("mobile", "")} {
			sc.exchange(t, as, about(mobile, urnAccess)).refused(t, tokenexchange.InvalidClient)
		}
		assert.Equal(t, "unauthorized_client",
			sc.send(t, "/introspect", publicAs("mobile"), formOf("token", mobile)).text("error"))
	})
}
