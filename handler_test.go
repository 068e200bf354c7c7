package tokenexchange_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestR01_MethodsAndMediaTypes(t *testing.T) {
	w := newWorld(t)
	body := form(w.access(nil), tx.TypeAccessToken).Encode()
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "post", "PROPFIND"} {
		t.Run(method, func(t *testing.T) {
			r := w.request("shop", body)
			r.Method = method
			a := w.send(r)
			require.Equal(t, http.StatusMethodNotAllowed, a.status)
			require.Equal(t, "POST", a.header.Get("Allow"))
			a.sealed(t)
			if method != "HEAD" {
				require.Equal(t, "invalid_request", a.json["error"])
			} else {
				require.Empty(t, a.raw)
			}
		})
	}
	for _, media := range []string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=UTF-8", "Application/X-WWW-Form-URLencoded; charset=utf-8", `application/x-www-form-urlencoded; charset="utf-8"`} {
		t.Run(media, func(t *testing.T) {
			r := w.request("shop", body)
			r.Header.Set("Content-Type", media)
			w.send(r).granted(t)
		})
	}
	for _, media := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=iso-8859-1", "application/x-www-form-urlencoded;;charset", "form", "application/x-www-form-urlencoded, application/json", "application/x-www-form-urlencodedx"} {
		t.Run("not "+media, func(t *testing.T) {
			r := w.request("shop", body)
			r.Header["Content-Type"] = []string{media}
			if media == "" {
				r.Header.Del("Content-Type")
			}
			w.send(r).refused(t, tx.InvalidRequest)
		})
	}
	t.Run("two content types", func(t *testing.T) {
		r := w.request("shop", body)
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded", "application/json"}
		w.send(r).refused(t, tx.InvalidRequest)
	})
	t.Run("JSON", func(t *testing.T) {
		r := w.request("shop", `{"grant_type":"`+tx.GrantType+`"}`)
		r.Header.Set("Content-Type", "application/json")
		w.send(r).refused(t, tx.InvalidRequest)
	})
}

func TestR01_ParametersInTheQuery(t *testing.T) {
	w := newWorld(t)
	f := form(w.access(nil), tx.TypeAccessToken)
	send := func(query string) answer {
		r := w.request("shop", f.Encode())
		r.URL.RawQuery = query
		return w.send(r)
	}
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "resource", "audience", "scope",
		"authorization_details", "client_secret", "client_assertion", "client_assertion_type"} {
		for _, query := range []string{name + "=x", name + "=", name, "a=b&" + name + "=x", strings.ReplaceAll(name, "_", "%5f") + "=x"} {
			send(query).refused(t, tx.InvalidRequest)
		}
	}
	send("tenant=7&trace=%20x").granted(t)
	all := w.request("shop", "")
	all.URL.RawQuery = f.Encode()
	w.send(all).refused(t, tx.InvalidRequest)
	require.Len(t, w.events, 1, "nothing but the good one came to the exchange")
}

func TestR02_GrantType(t *testing.T) {
	w := newWorld(t)
	f := form(w.access(nil), tx.TypeAccessToken)
	for grant, code := range map[string]tx.Code{"": tx.InvalidRequest, "client_credentials": tx.UnsupportedGrantType, "refresh_token": tx.UnsupportedGrantType,
		strings.ToUpper(tx.GrantType): tx.UnsupportedGrantType, tx.GrantType + " ": tx.UnsupportedGrantType} {
		f.Set("grant_type", grant)
		w.post("shop", f).refused(t, code)
	}
	f.Del("grant_type")
	require.Contains(t, w.post("shop", f).refused(t, tx.InvalidRequest).raw, "grant_type")
	require.Len(t, w.events, 6)
}

func TestR03_RequiredParameters(t *testing.T) {
	w := newWorld(t)
	good := withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
	w.post("shop", good).granted(t)
	for _, name := range []string{"subject_token", "subject_token_type", "actor_token", "actor_token_type"} {
		for _, change := range []func(url.Values){func(f url.Values) { f.Del(name) }, func(f url.Values) { f.Set(name, "") }} {
			f := url.Values{}
			for k, v := range good {
				f[k] = v
			}
			change(f)
			a := w.post("shop", f).refused(t, tx.InvalidRequest)
			require.Regexp(t, `\b`+name+`\b`, a.json["error_description"])
			require.NotContains(t, a.raw, "eyJ")
		}
	}
}

func TestR04_EmptyRepeatedUnknown(t *testing.T) {
	w := newWorld(t)
	send := func(tail string) answer {
		return w.send(w.request("shop", form(w.access(nil), tx.TypeAccessToken).Encode()+tail))
	}
	send("&actor_token=&actor_token_type=&requested_token_type=&scope=&audience=&resource=&code=&options=%7B%7D&x").granted(t)
	send("&audience=" + url.QueryEscape(api) + "&audience=&resource=" + url.QueryEscape(api)).granted(t)
	send("&&&").granted(t)
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "scope", "requested_token_type", "actor_token", "actor_token_type", "client_id", "client_secret"} {
		send("&"+name+"=&"+name+"=").refused(t, tx.InvalidRequest)
		send("&"+name+"=a&"+name+"=").refused(t, tx.InvalidRequest)
	}
	send("&subject_token=").refused(t, tx.InvalidRequest)
	send("&authorization_details=%5B%5D").refused(t, tx.InvalidAuthorizationDetails)
	send("&authorization_details=").granted(t)
	for _, broken := range []string{"&scope=%", "&scope=%zz", "&%zz=1"} {
		send(broken).refused(t, tx.InvalidRequest)
	}
}

func TestR05_Targets(t *testing.T) {
	w := newWorld(t)
	w.rule("as-client").Targets = append(w.rule("as-client").Targets, "https://api.example/a?b=c", "urn:example:api", "logical name")
	w.configure()
	send := func(more ...string) answer {
		return w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken, more...))
	}
	require.Equal(t, "https://api.example/a?b=c", send("resource", "https://api.example/a?b=c").granted(t)["aud"])
	require.Equal(t, []any{"logical name", orders, "urn:example:api"}, send("resource", "urn:example:api", "audience", "logical name", "audience", orders, "audience", orders).granted(t)["aud"], "D24")
	for _, malformed := range []string{"https://api.example/a?b=c#f", "https://api.example#", "api.example", "/a", "//api.example/a", "https:", "https://", "https:///a", "https://api.example/ü", "https://api.example/a b", "https://[::1", "1http://x", ":x", "https://%zz/"} {
		send("resource", malformed).refused(t, tx.InvalidTarget)
	}
	t.Run("R14 one refused target refuses all", func(t *testing.T) {
		send("audience", orders, "audience", "https://unknown.example").refused(t, tx.InvalidTarget)
		send("audience", orders+"/").refused(t, tx.InvalidTarget)
		send("audience", strings.ToUpper(orders)).refused(t, tx.InvalidTarget)
		send("resource", orders, "audience", "a\nb").refused(t, tx.InvalidTarget)
	})
}

func TestR06_Scope(t *testing.T) {
	w := newWorld(t)
	send := func(scope string) answer {
		return w.post("shop", form(w.access(nil), tx.TypeAccessToken, "scope", scope))
	}
	require.Equal(t, "write read", send("write read").granted(t)["scope"])
	require.Equal(t, "read", send("read read").granted(t)["scope"])
	for _, malformed := range []string{" ", "  ", " read", "read ", "read  write", "read\twrite", "read\nwrite", `re"ad`, `re\ad`, "r\u00e9ad", "read\x00", "\xff", "\u00a0"} {
		send(malformed).refused(t, tx.InvalidScope)
	}
	send("Read").refused(t, tx.InvalidScope)
	send("read admin").refused(t, tx.InvalidScope)
}

func TestR07_TokenTypes(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"access_token", "urn:ietf:params:oauth:token-type:Access_Token", string(tx.TypeSAML2), string(tx.TypeRefreshToken), "urn:example:unknown", string(tx.TypeJWT) + " "} {
		w.post("shop", form(w.access(nil), tx.TokenType(kind))).refused(t, tx.InvalidRequest)
		w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TokenType(kind))).refused(t, tx.InvalidRequest)
		w.post("shop", form(w.access(nil), tx.TypeAccessToken, "requested_token_type", kind)).refused(t, tx.InvalidRequest)
	}
	w.post("shop", form(w.access(nil), tx.TypeAccessToken, "requested_token_type", string(tx.TypeJWT))).granted(t)
}

func TestR09_Clients(t *testing.T) {
	w := newWorld(t)
	f := form(w.access(nil), tx.TypeAccessToken)
	t.Run("Basic that fails is challenged", func(t *testing.T) {
		r := w.request("", f.Encode())
		r.SetBasicAuth("shop", "wrong")
		a := w.send(r).refused(t, tx.InvalidClient)
		require.Regexp(t, `^Basic realm="[^"]+"`, a.header.Get("WWW-Authenticate"))
		r = w.request("", f.Encode())
		r.Header.Set("Authorization", "basic !!!")
		require.NotEmpty(t, w.send(r).refused(t, tx.InvalidClient).header.Get("WWW-Authenticate"))
	})
	t.Run("nothing, and a wrong secret in the body, are not", func(t *testing.T) {
		for _, more := range []string{"", "&client_id=shop", "&client_id=shop&client_secret=wrong", "&client_id=nobody&client_secret=secret-nobody"} {
			require.Empty(t, w.send(w.request("", f.Encode()+more)).refused(t, tx.InvalidClient).header.Values("WWW-Authenticate"))
		}
	})
	require.Empty(t, w.events, "I07 begins after client authentication")
	t.Run("client_secret_post", func(t *testing.T) {
		w.send(w.request("", f.Encode()+"&client_id=shop&client_secret=secret-shop")).granted(t)
	})
	t.Run("one header, and one way", func(t *testing.T) {
		good := w.request("shop", "").Header.Get("Authorization")
		for name, headers := range map[string][]string{
			"twice the same": {good, good}, "good and wrong": {good, "Basic x"},
			"wrong and good": {"Basic x", good}, "and another scheme": {good, "Bearer x"},
			"and an empty one": {good, ""}, "an empty one and": {"", good},
		} {
			before := len(w.events)
			r := w.request("", f.Encode())
			r.Header["Authorization"] = headers
			w.send(r).refused(t, tx.InvalidRequest)
			asked := false
			rec := httptest.NewRecorder()
			r = w.request("", f.Encode())
			r.Header["Authorization"] = headers
			w.Handler(func(*http.Request) (tx.Client, error) {
				asked = true
				return w.clients["shop"], nil
			}).ServeHTTP(rec, r)
			require.Equal(t, http.StatusBadRequest, rec.Code, name)
			require.False(t, asked, name)
			require.Len(t, w.events, before, name)
		}
		two := "&client_secret=x&client_assertion=x"
		w.send(w.request("", f.Encode()+two)).refused(t, tx.InvalidRequest)
	})
	t.Run("without this grant", func(t *testing.T) {
		h := w.Handler(func(*http.Request) (tx.Client, error) {
			return tx.Client{ID: "shop"}, fmt.Errorf("%w: not registered for it", tx.UnauthorizedClient)
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, w.request("shop", f.Encode()))
		require.Equal(t, 400, rec.Code)
		require.JSONEq(t, `{"error":"unauthorized_client","error_description":"The client is not allowed to use this grant."}`, rec.Body.String())
	})
	t.Run("public", func(t *testing.T) {
		spa := form(w.access(claims{"client_id": "spa"}), tx.TypeAccessToken).Encode() + "&client_id=spa"
		w.send(w.request("", spa)).refused(t, tx.UnauthorizedClient)
		w.rule("narrow").Clients = []string{"*"}
		w.configure()
		w.send(w.request("", spa)).refused(t, tx.UnauthorizedClient)
		w.rule("narrow").Clients = []string{"spa", "shop"}
		w.configure()
		w.send(w.request("", spa)).refused(t, tx.UnauthorizedClient)
		w.rule("narrow").Narrow.PublicClients = true
		w.configure()
		w.send(w.request("", spa)).granted(t)
	})
	t.Run("I12 authentication that fails or panics", func(t *testing.T) {
		before := len(w.events)
		for code, authenticate := range map[tx.Code]func(*http.Request) (tx.Client, error){
			tx.ServerError:            func(*http.Request) (tx.Client, error) { return tx.Client{}, errors.New("secret text") },
			tx.TemporarilyUnavailable: func(r *http.Request) (tx.Client, error) { return tx.Client{}, deadline() },
			tx.InvalidClient:          func(*http.Request) (tx.Client, error) { return tx.Client{}, nil },
			tx.InvalidGrant: func(*http.Request) (tx.Client, error) {
				return tx.Client{}, &tx.Error{Code: tx.InvalidGrant, Description: "secret text"}
			},
		} {
			a := w.handled(w.Handler(authenticate), f.Encode()).refused(t, code)
			require.NotContains(t, a.raw, "secret text")
		}
		panics := w.Handler(func(*http.Request) (tx.Client, error) { panic("secret text") })
		require.NotContains(t, w.handled(panics, f.Encode()).refused(t, tx.ServerError).raw, "secret text")
		require.Len(t, w.events, before, "I07 begins after client authentication")
		nobody := w.Handler(nil)
		w.handled(nobody, f.Encode()).refused(t, tx.ServerError)
	})
}

func (w *world) handled(h http.Handler, body string) answer {
	server := httptest.NewServer(h)
	defer server.Close()
	r := w.request("", body)
	r.URL, _ = url.Parse(server.URL)
	return w.send(r)
}

func TestR10_Limits(t *testing.T) {
	w := newWorld(t)
	good := form(w.access(nil), tx.TypeAccessToken).Encode()
	padded := func(size int) string { return good + "&x=" + strings.Repeat("x", size-len(good)-3) }
	w.send(w.request("shop", padded(256<<10))).granted(t)
	w.send(w.request("shop", padded(256<<10+1))).refused(t, tx.InvalidRequest)
	w.send(w.request("shop", padded(8<<20))).refused(t, tx.InvalidRequest)
	for _, n := range []int{16, 17} {
		f := form(w.access(claims{"aud": strings.Fields(strings.Repeat(api+" ", 16))}), tx.TypeAccessToken)
		for i := range n {
			f.Add([]string{"audience", "resource"}[i%2], api)
		}
		if a := w.post("shop", f); n == 16 {
			a.granted(t)
		} else {
			a.refused(t, tx.InvalidTarget)
		}
	}
	require.Len(t, w.events, 3)
	t.Run("a token of 64 KiB", func(t *testing.T) {
		w.Verify[tx.TypeAccessToken] = func(ctxType, tx.Credential) (tx.Token, error) { return accessOf("alice", "shop"), nil }
		w.post("shop", form(strings.Repeat("x", 64<<10), tx.TypeAccessToken)).granted(t)
		a := w.post("shop", form(strings.Repeat("x", 64<<10+1), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		require.Contains(t, a.json["error_description"], "subject_token")
		a = w.post("shop", withActor(form("x", tx.TypeAccessToken), strings.Repeat("x", 64<<10+1), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		require.Contains(t, a.json["error_description"], "actor_token")
	})
	for name, code := range map[string]tx.Code{"scope": tx.InvalidScope, "audience": tx.InvalidTarget, "resource": tx.InvalidTarget} {
		t.Run(name+" of 64 KiB", func(t *testing.T) {
			f := form("x", tx.TypeAccessToken)
			f.Set(name, "urn:"+strings.Repeat("x", 64<<10-4))
			_, err := tx.ParseRequest(f)
			require.NoError(t, err)
			f.Set(name, f.Get(name)+"x")
			_, err = tx.ParseRequest(f)
			require.ErrorIs(t, err, code)
			require.Contains(t, tx.AsError(err).Description, name)
		})
	}
}

// D03: of two things that are wrong, the one that comes first in this list is answered.
func TestD03_WhichErrorWins(t *testing.T) {
	w := newWorld(t)
	w.people[ownIss+" locked"] = tx.Subject{}
	refuseActors := authorizerFunc(func(_ ctxType, f tx.Facts) error {
		if f.Actor != nil && f.Actor.ID == "bob" || f.Actor == nil && f.Client.ID == "backend" && f.Subject.ID == "carol" {
			return fmt.Errorf("%w: no", tx.InvalidRequest)
		}
		return nil
	})
	w.Authorizer = refuseActors
	bad := map[string]string{"garbled": "x.y.z"}
	token := func(sub, client string) string { return w.access(claims{"sub": sub, "client_id": client}) }
	post := func(client string, f url.Values, change func(*http.Request)) answer {
		r := w.request(client, f.Encode())
		if change != nil {
			change(r)
		}
		return w.send(r)
	}
	for name, c := range map[string]struct {
		client string
		form   url.Values
		change func(*http.Request)
		status int
		code   tx.Code
		reason string
	}{
		"method before media type":                              {"", url.Values{}, func(r *http.Request) { r.Method = "PUT"; r.Header.Set("Content-Type", "text/plain") }, 405, tx.InvalidRequest, ""},
		"media type before client":                              {"", url.Values{}, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400, tx.InvalidRequest, ""},
		"query before client":                                   {"", url.Values{}, func(r *http.Request) { r.URL.RawQuery = "scope=x" }, 400, tx.InvalidRequest, ""},
		"client before form":                                    {"", url.Values{"grant_type": {"x", "y"}}, nil, 401, tx.InvalidClient, ""},
		"client before targets":                                 {"", form("x", "y", "resource", "#"), nil, 401, tx.InvalidClient, ""},
		"form before types":                                     {"shop", form("x", "unknown", "scope", " "), nil, 400, tx.InvalidScope, ""},
		"targets in the form before types":                      {"shop", form("x", "unknown", "resource", "#"), nil, 400, tx.InvalidTarget, ""},
		"actor type before subject token":                       {"shop", withActor(form(bad["garbled"], tx.TypeAccessToken), "x", "unknown"), nil, 400, tx.InvalidRequest, "actor_token_type"},
		"subject token before actor token":                      {"shop", withActor(form(w.access(claims{"exp": 1}), tx.TypeAccessToken), bad["garbled"], tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "expired"},
		"actor token before resolver":                           {"shop", withActor(form(token("nobody", "shop"), tx.TypeAccessToken), w.access(claims{"exp": 1}), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "expired"},
		"subject before actor at the resolver":                  {"shop", withActor(form(token("nobody", "shop"), tx.TypeAccessToken), token("ghost", "shop"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "resolve the subject"},
		"resolver before authorizer":                            {"shop", withActor(form(token("locked", "shop"), tx.TypeAccessToken), token("bob", "shop"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "(D07)"},
		"authorizer before public client":                       {"spa", withActor(form(token("alice", "spa"), tx.TypeAccessToken), token("bob", "spa"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "D11"},
		"public client before presenting":                       {"spa", form(token("alice", "other"), tx.TypeAccessToken), nil, 400, tx.UnauthorizedClient, ""},
		"authorizer before targets":                             {"shop", withActor(form(token("alice", "shop"), tx.TypeAccessToken, "audience", "https://unknown.example"), token("bob", "shop"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "D11"},
		"authorizer before scope":                               {"shop", withActor(form(token("alice", "shop"), tx.TypeAccessToken, "scope", "admin"), token("bob", "shop"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "D11"},
		"presenting before targets":                             {"shop", form(token("alice", "other"), tx.TypeAccessToken, "audience", "https://unknown.example"), nil, 400, tx.InvalidRequest, "D0"},
		"targets before scope":                                  {"backend", form(token("alice", "backend"), tx.TypeAccessToken, "audience", "https://unknown.example", "scope", "admin"), nil, 400, tx.InvalidTarget, "D24"},
		"targets before the authorizer where there is no actor": {"backend", form(token("carol", "backend"), tx.TypeAccessToken, "audience", "https://unknown.example"), nil, 400, tx.InvalidTarget, "D24"},
		"scope before the authorizer where there is no actor":   {"backend", form(token("carol", "backend"), tx.TypeAccessToken, "scope", "admin"), nil, 400, tx.InvalidScope, "D21"},
		"the current actor of a chain before targets":           {"shop", form(w.access(claims{"act": claims{"sub": "ghost"}}), tx.TypeAccessToken, "audience", "https://unknown.example"), nil, 400, tx.InvalidRequest, "resolve the current actor"},
		"the authorizer last":                                   {"backend", form(token("carol", "backend"), tx.TypeAccessToken), nil, 400, tx.InvalidRequest, "D11"},
	} {
		t.Run(name, func(t *testing.T) {
			w.events = nil
			a := post(c.client, c.form, c.change)
			require.Equal(t, c.status, a.status, a.raw)
			require.EqualValues(t, c.code, a.json["error"])
			if c.reason != "" {
				require.Contains(t, w.lastEvent().Err.Error(), c.reason)
			}
		})
	}
}

// R13: what is unknown, inactive or forbidden looks alike from outside.
func TestR13_RefusalsLookAlike(t *testing.T) {
	w := newWorld(t)
	w.people[ownIss+" empty"] = tx.Subject{}
	w.revoked["gone"] = true
	w.Authorizer = authorizerFunc(func(_ ctxType, f tx.Facts) error {
		if f.Subject.ID == "carol" {
			return tx.InvalidRequest
		}
		return nil
	})
	actor := func() string { return w.access(claims{"sub": "admin"}) }
	var seen []string
	for name, subject := range map[string]string{
		"garbled": "x.y.z", "expired": w.access(claims{"exp": 1}), "revoked": w.access(claims{"jti": "gone"}), "unknown user": w.access(claims{"sub": "nobody"}),
		"empty user": w.access(claims{"sub": "empty"}), "forbidden": w.access(claims{"sub": "carol"}), "not for this client": w.access(claims{"client_id": "other"}), "not for this actor": w.access(claims{"may_act": claims{"sub": "bob"}}),
	} {
		a := w.post("shop", withActor(form(subject, tx.TypeAccessToken, "audience", orders), actor(), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		a.header.Del("Date")
		seen = append(seen, fmt.Sprint(a.raw, a.header))
		require.Equal(t, seen[0], seen[len(seen)-1], name)
	}
	require.Len(t, w.events, 8)
	reasons := map[string]bool{}
	for _, e := range w.events {
		reasons[e.Err.Error()] = true
	}
	require.Len(t, reasons, 8, "the reason is in the audit event: %v", reasons)
}

// INTEROP: what eleven clients insist on in a response (R11, R12).
func TestR11_Response(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		requested tx.TokenType
		tokenType string
		scope     string
	}{
		"no type": {"", "Bearer", "read"}, "access token": {tx.TypeAccessToken, "Bearer", "read write"}, "jwt": {tx.TypeJWT, "Bearer", ""}, "ID token": {tx.TypeIDToken, "N_A", "read"},
		"with an ID token": {tx.TypeAccessToken, "Bearer", "openid read"},
	} {
		t.Run(name, func(t *testing.T) {
			more := []string{"scope", c.scope}
			if c.requested != "" {
				more = append(more, "requested_token_type", string(c.requested))
			}
			a := w.post("backend", form(w.access(claims{"client_id": "backend", "scope": "openid read write"}), tx.TypeAccessToken, more...))
			a.granted(t)
			require.NotContains(t, a.raw, "null")
			require.Regexp(t, regexp.MustCompile(`"expires_in":3600[,}]`), a.raw, "an integer")
			require.Equal(t, c.tokenType, a.json["token_type"])
			if c.scope != "" {
				require.Equal(t, c.scope, a.json["scope"])
			}
			want := c.requested
			if want == "" {
				want = tx.TypeAccessToken
			}
			require.EqualValues(t, want, a.json["issued_token_type"])
			for member, value := range a.json {
				require.Contains(t, []string{"access_token", "issued_token_type", "token_type", "expires_in", "scope", "id_token"}, member)
				require.NotEmpty(t, value, member)
			}
			require.Equal(t, c.scope == "openid read" || c.scope == "", a.json["id_token"] != nil, "D23")
			require.Equal(t, byte('{'), a.raw[0], "no byte order mark")
			require.Empty(t, a.header.Values("WWW-Authenticate"))
		})
	}
	t.Run("DPoP", func(t *testing.T) {
		c := w.clients["backend"]
		c.Confirmation = tx.Confirmation{JKT: "thumb"}
		w.clients["backend"] = c
		for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
			a := w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken, "requested_token_type", string(requested)))
			require.Equal(t, map[string]any{"jkt": "thumb"}, a.granted(t)["cnf"])
			require.Equal(t, "DPoP", a.json["token_type"])
		}
	})
	t.Run("no scope was granted", func(t *testing.T) {
		a := w.post("backend", form(w.access(claims{"client_id": "backend", "scope": nil}), tx.TypeAccessToken))
		require.NotContains(t, a.granted(t), "scope")
		require.NotContains(t, a.json, "scope")
	})
	t.Run("a form that the host has parsed", func(t *testing.T) {
		inner := w.Handler(w.authenticate)
		a := w.handled(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			require.NoError(t, r.ParseForm())
			inner.ServeHTTP(rw, r)
		}), form(w.access(nil), tx.TypeAccessToken, "client_id", "shop", "client_secret", "secret-shop").Encode())
		a.granted(t)
	})
	t.Run("spelling of the form", func(t *testing.T) {
		body := "scope=read+write&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&grant_type=" + url.QueryEscape(tx.GrantType) + "&subject_token=" + w.access(nil)
		for _, text := range []string{body, strings.Replace(body, "+", "%20", 1), strings.ReplaceAll(body, "%3A", ":")} {
			require.Equal(t, "read write", w.send(w.request("shop", text)).granted(t)["scope"])
		}
	})
	require.WithinDuration(t, at, w.lastEvent().Time, time.Second)
}
