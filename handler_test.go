package tokenexchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestR01_MethodsAndMediaTypes checks that a request is a POST of a form, by its method and its
// Content-Type.
func TestR01_MethodsAndMediaTypes(t *testing.T) {
	w := world.New(t)
	body := w.AccessForm(nil).Encode()
	for _, method := range []string{
		"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "post", "PROPFIND",
	} {
		t.Run(method, func(t *testing.T) {
			r := w.Request("shop", body)
			r.Method = method
			a := w.Send(r)
			require.Equal(t, http.StatusMethodNotAllowed, a.Status)
			require.Equal(t, "POST", a.Header.Get("Allow"))
			a.NotCached(t)
			if method != "HEAD" {
				require.Equal(t, "invalid_request", a.JSON["error"])
			} else {
				require.Empty(t, a.Raw)
			}
		})
	}
	for _, media := range []string{
		"application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=UTF-8",
		"Application/X-WWW-Form-URLencoded; charset=utf-8",
		`application/x-www-form-urlencoded; charset="utf-8"`,
	} {
		t.Run(media, func(t *testing.T) {
			r := w.Request("shop", body)
			r.Header.Set("Content-Type", media)
			w.Send(r).Granted(t)
		})
	}
	for _, media := range []string{
		"", "application/json", "text/plain", "multipart/form-data; boundary=x",
		"application/x-www-form-urlencoded; charset=iso-8859-1",
		"application/x-www-form-urlencoded;;charset", "form",
		"application/x-www-form-urlencoded, application/json", "application/x-www-form-urlencodedx",
	} {
		t.Run("not "+media, func(t *testing.T) {
			r := w.Request("shop", body)
			r.Header["Content-Type"] = []string{media}
			if media == "" {
				r.Header.Del("Content-Type")
			}
			w.Send(r).Refused(t, tx.InvalidRequest)
		})
	}
	t.Run("two content types", func(t *testing.T) {
		r := w.Request("shop", body)
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded", "application/json"}
		w.Send(r).Refused(t, tx.InvalidRequest)
	})
	t.Run("JSON", func(t *testing.T) {
		r := w.Request("shop", `{"grant_type":"`+tx.GrantType+`"}`)
		r.Header.Set("Content-Type", "application/json")
		w.Send(r).Refused(t, tx.InvalidRequest)
	})
}

// TestR01_ParametersInTheQuery checks that no parameter of an exchange may be in the query.
func TestR01_ParametersInTheQuery(t *testing.T) {
	w := world.New(t)
	f := w.AccessForm(nil)
	send := func(query string) world.Answer {
		r := w.Request("shop", f.Encode())
		r.URL.RawQuery = query
		return w.Send(r)
	}
	for _, name := range []string{
		"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
		"requested_token_type", "resource", "audience", "scope",
		"authorization_details", "client_secret", "client_assertion", "client_assertion_type",
	} {
		for _, query := range []string{
			name + "=x", name + "=", name, "a=b&" + name + "=x",
			strings.ReplaceAll(name, "_", "%5f") + "=x",
		} {
			send(query).Refused(t, tx.InvalidRequest)
		}
	}
	send("tenant=7&trace=%20x").Granted(t)
	all := w.Request("shop", "")
	all.URL.RawQuery = f.Encode()
	w.Send(all).Refused(t, tx.InvalidRequest)
	require.Len(t, w.Events, 1, "only the good request reached the exchange")
}

func TestR02_GrantType(t *testing.T) {
	w := world.New(t)
	f := w.AccessForm(nil)
	for grant, code := range map[string]tx.Code{
		"":                            tx.InvalidRequest,
		"client_credentials":          tx.UnsupportedGrantType,
		"refresh_token":               tx.UnsupportedGrantType,
		strings.ToUpper(tx.GrantType): tx.UnsupportedGrantType,
		tx.GrantType + " ":            tx.UnsupportedGrantType,
	} {
		f.Set("grant_type", grant)
		w.Post("shop", f).Refused(t, code)
	}
	f.Del("grant_type")
	require.Contains(t, w.Post("shop", f).Refused(t, tx.InvalidRequest).Raw, "grant_type")
	require.Len(t, w.Events, 6)
}

func TestR03_RequiredParameters(t *testing.T) {
	w := world.New(t)
	good := w.Delegation(nil)
	w.Post("shop", good).Granted(t)
	for _, name := range []string{
		"subject_token", "subject_token_type", "actor_token", "actor_token_type",
	} {
		for _, change := range []func(url.Values){
			func(f url.Values) { f.Del(name) }, func(f url.Values) { f.Set(name, "") },
		} {
			f := maps.Clone(good)
			change(f)
			a := w.Post("shop", f).Refused(t, tx.InvalidRequest)
			require.Regexp(t, `\b`+name+`\b`, a.JSON["error_description"])
			require.NotContains(t, a.Raw, "eyJ")
		}
	}
}

// TestR04_EmptyRepeatedUnknown checks that empty and unknown parameters are ignored, and that a
// repeated parameter is an error.
func TestR04_EmptyRepeatedUnknown(t *testing.T) {
	w := world.New(t)
	send := func(tail string) world.Answer {
		return w.Send(w.Request("shop", w.AccessForm(nil).Encode()+tail))
	}
	send("&actor_token=&actor_token_type=&requested_token_type=&scope=&audience=&resource=" +
		"&code=&options=%7B%7D&x").Granted(t)
	api := url.QueryEscape(world.API)
	send("&audience=" + api + "&audience=&resource=" + api).Granted(t)
	send("&&&").Granted(t)
	for _, name := range []string{
		"grant_type", "subject_token", "subject_token_type", "scope", "requested_token_type",
		"actor_token", "actor_token_type", "client_id", "client_secret",
	} {
		send("&"+name+"=&"+name+"=").Refused(t, tx.InvalidRequest)
		send("&"+name+"=a&"+name+"=").Refused(t, tx.InvalidRequest)
	}
	send("&subject_token=").Refused(t, tx.InvalidRequest)
	send("&authorization_details=%5B%5D").Refused(t, tx.InvalidAuthorizationDetails)
	send("&authorization_details=").Granted(t)
	for _, broken := range []string{"&scope=%", "&scope=%zz", "&%zz=1"} {
		send(broken).Refused(t, tx.InvalidRequest)
	}
}

func TestR05_Targets(t *testing.T) {
	w := world.New(t)
	w.Rule("as-client").Targets = append(w.Rule("as-client").Targets, "https://api.example/a?b=c",
		"urn:example:api", "logical name")
	w.Configure()
	send := func(more ...string) world.Answer {
		return w.Post("backend", w.AccessForm(claims{"client_id": "backend"}, more...))
	}
	one := send("resource", "https://api.example/a?b=c").Granted(t)
	require.Equal(t, "https://api.example/a?b=c", one["aud"])
	three := send("resource", "urn:example:api", "audience", "logical name",
		"audience", world.Orders, "audience", world.Orders).Granted(t)
	require.Equal(t, []any{"logical name", world.Orders, "urn:example:api"}, three["aud"], "D24")
	for _, malformed := range []string{
		"https://api.example/a?b=c#f", "https://api.example#", "api.example", "/a",
		"//api.example/a", "https:", "https://", "https:///a", "https://api.example/ü",
		"https://api.example/a b", "https://[::1", "1http://x", ":x", "https://%zz/",
	} {
		send("resource", malformed).Refused(t, tx.InvalidTarget)
	}
	t.Run("R14 one refused target refuses all", func(t *testing.T) {
		send("audience", world.Orders, "audience", "https://unknown.example").
			Refused(t, tx.InvalidTarget)
		send("audience", world.Orders+"/").Refused(t, tx.InvalidTarget)
		send("audience", strings.ToUpper(world.Orders)).Refused(t, tx.InvalidTarget)
		send("resource", world.Orders, "audience", "a\nb").Refused(t, tx.InvalidTarget)
	})
}

func TestR06_Scope(t *testing.T) {
	w := world.New(t)
	send := func(scope string) world.Answer {
		return w.Post("shop", w.AccessForm(nil, "scope", scope))
	}
	require.Equal(t, "write read", send("write read").Granted(t)["scope"])
	require.Equal(t, "read", send("read read").Granted(t)["scope"])
	for _, malformed := range []string{
		" ", "  ", " read", "read ", "read  write", "read\twrite", "read\nwrite", `re"ad`, `re\ad`,
		"r\u00e9ad", "read\x00", "\xff", "\u00a0",
	} {
		send(malformed).Refused(t, tx.InvalidScope)
	}
	send("Read").Refused(t, tx.InvalidScope)
	send("read admin").Refused(t, tx.InvalidScope)
}

func TestR07_TokenTypes(t *testing.T) {
	w := world.New(t)
	for _, kind := range []string{
		"access_token", "urn:ietf:params:oauth:token-type:Access_Token", string(tx.TypeSAML2),
		string(tx.TypeRefreshToken), "urn:example:unknown", string(tx.TypeJWT) + " ",
	} {
		w.Post("shop", world.Form(w.Access(), tx.TokenType(kind))).Refused(t, tx.InvalidRequest)
		byAdmin := world.With(w.Delegation(nil), "actor_token_type", kind)
		w.Post("shop", byAdmin).Refused(t, tx.InvalidRequest)
		w.Post("shop", w.AccessForm(nil, "requested_token_type", kind)).
			Refused(t, tx.InvalidRequest)
	}
	w.Post("shop", w.AccessForm(nil, "requested_token_type", string(tx.TypeJWT))).Granted(t)
}

// TestR09_Clients checks how clients authenticate, and which may exchange.
func TestR09_Clients(t *testing.T) {
	w := world.New(t)
	f := w.AccessForm(nil)
	t.Run("Basic that fails is challenged", func(t *testing.T) {
		r := w.Request("", f.Encode())
		r.SetBasicAuth("shop", "wrong")
		a := w.Send(r).Refused(t, tx.InvalidClient)
		require.Regexp(t, `^Basic realm="[^"]+"`, a.Header.Get("WWW-Authenticate"))
		r = w.Request("", f.Encode())
		r.Header.Set("Authorization", "basic !!!")
		require.NotEmpty(t, w.Send(r).Refused(t, tx.InvalidClient).Header.Get("WWW-Authenticate"))
	})
	t.Run("nothing, and a wrong secret in the body, are not", func(t *testing.T) {
		for _, more := range []string{
			"", "&client_id=shop", "&client_id=shop&client_secret=wrong",
			"&client_id=nobody&client_secret=secret-nobody",
		} {
			a := w.Send(w.Request("", f.Encode()+more)).Refused(t, tx.InvalidClient)
			require.Empty(t, a.Header.Values("WWW-Authenticate"))
		}
	})
	require.Empty(t, w.Events, "I07 begins after client authentication")
	t.Run("client_secret_post", func(t *testing.T) {
		w.Send(w.Request("", f.Encode()+"&client_id=shop&client_secret=secret-shop")).Granted(t)
	})
	t.Run("one header, and one way", func(t *testing.T) {
		good := w.Request("shop", "").Header.Get("Authorization")
		for name, headers := range map[string][]string{
			"twice the same":     {good, good},
			"good and wrong":     {good, "Basic x"},
			"wrong and good":     {"Basic x", good},
			"and another scheme": {good, "Bearer x"},
			"and an empty one":   {good, ""},
			"an empty one and":   {"", good},
		} {
			before := len(w.Events)
			r := w.Request("", f.Encode())
			r.Header["Authorization"] = headers
			w.Send(r).Refused(t, tx.InvalidRequest)
			asked := false
			rec := httptest.NewRecorder()
			r = w.Request("", f.Encode())
			r.Header["Authorization"] = headers
			w.Handler(func(*http.Request) (tx.Client, error) {
				asked = true
				return w.Clients["shop"], nil
			}).ServeHTTP(rec, r)
			require.Equal(t, http.StatusBadRequest, rec.Code, name)
			require.False(t, asked, name)
			require.Len(t, w.Events, before, name)
		}
		two := "&client_secret=x&client_assertion=x"
		w.Send(w.Request("", f.Encode()+two)).Refused(t, tx.InvalidRequest)
	})
	t.Run("without this grant", func(t *testing.T) {
		h := w.Handler(func(*http.Request) (tx.Client, error) {
			err := fmt.Errorf("%w: not registered for it", tx.UnauthorizedClient)
			return tx.Client{ID: "shop"}, err
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, w.Request("shop", f.Encode()))
		require.Equal(t, 400, rec.Code)
		require.JSONEq(t, `{"error":"unauthorized_client",
			"error_description":"The client is not allowed to use this grant."}`, rec.Body.String())
	})
	t.Run("public", func(t *testing.T) {
		spa := w.AccessForm(claims{"client_id": "spa"}).Encode() + "&client_id=spa"
		w.Send(w.Request("", spa)).Refused(t, tx.UnauthorizedClient)
		w.Rule("narrow").Clients = []string{"*"}
		w.Configure()
		w.Send(w.Request("", spa)).Refused(t, tx.UnauthorizedClient)
		w.Rule("narrow").Clients = []string{"spa", "shop"}
		w.Configure()
		w.Send(w.Request("", spa)).Refused(t, tx.UnauthorizedClient)
		w.Rule("narrow").Narrow.PublicClients = true
		w.Configure()
		w.Send(w.Request("", spa)).Granted(t)
	})
	t.Run("I12 authentication that fails or panics", func(t *testing.T) {
		before := len(w.Events)
		for code, err := range map[tx.Code]error{
			tx.ServerError:            errors.New("secret text"),
			tx.TemporarilyUnavailable: world.ErrDeadline,
			tx.InvalidClient:          nil, // and no client
			tx.InvalidGrant:           &tx.Error{Code: tx.InvalidGrant, Description: "secret text"},
		} {
			fails := w.Handler(func(*http.Request) (tx.Client, error) { return tx.Client{}, err })
			a := handled(w, fails, f.Encode()).Refused(t, code)
			require.NotContains(t, a.Raw, "secret text")
		}
		panics := w.Handler(func(*http.Request) (tx.Client, error) { panic("secret text") })
		a := handled(w, panics, f.Encode()).Refused(t, tx.ServerError)
		require.NotContains(t, a.Raw, "secret text")
		require.Len(t, w.Events, before, "I07 begins after client authentication")
		handled(w, w.Handler(nil), f.Encode()).Refused(t, tx.ServerError)
	})
}

// handled posts a body to a handler.
func handled(w *world.World, h http.Handler, body string) world.Answer {
	server := httptest.NewServer(h)
	defer server.Close()
	r := w.Request("", body)
	r.URL, _ = url.Parse(server.URL)
	return w.Send(r)
}

// TestR10_Limits checks each limit on a request, at the limit and one beyond.
func TestR10_Limits(t *testing.T) {
	w := world.New(t)
	good := w.AccessForm(nil).Encode()
	padded := func(size int) string { return good + "&x=" + strings.Repeat("x", size-len(good)-3) }
	w.Send(w.Request("shop", padded(256<<10))).Granted(t)
	w.Send(w.Request("shop", padded(256<<10+1))).Refused(t, tx.InvalidRequest)
	w.Send(w.Request("shop", padded(8<<20))).Refused(t, tx.InvalidRequest)
	for _, n := range []int{16, 17} {
		f := w.AccessForm(claims{"aud": strings.Fields(strings.Repeat(world.API+" ", 16))})
		for i := range n {
			f.Add([]string{"audience", "resource"}[i%2], world.API)
		}
		if a := w.Post("shop", f); n == 16 {
			a.Granted(t)
		} else {
			a.Refused(t, tx.InvalidTarget)
		}
	}
	require.Len(t, w.Events, 3)
	t.Run("a token of 64 KiB", func(t *testing.T) {
		w.Verify[tx.TypeAccessToken] = func(context.Context, tx.Credential) (tx.Token, error) {
			return world.Record("alice", "shop"), nil
		}
		most := strings.Repeat("x", 64<<10)
		f := world.Present(most)
		w.Post("shop", f).Granted(t)
		a := w.Post("shop", world.With(f, "subject_token", most+"x")).Refused(t, tx.InvalidRequest)
		require.Contains(t, a.JSON["error_description"], "subject_token")
		f = world.WithActor(f, most+"x", tx.TypeAccessToken)
		a = w.Post("shop", f).Refused(t, tx.InvalidRequest)
		require.Contains(t, a.JSON["error_description"], "actor_token")
	})
	for name, code := range map[string]tx.Code{
		"scope": tx.InvalidScope, "audience": tx.InvalidTarget, "resource": tx.InvalidTarget,
	} {
		t.Run(name+" of 64 KiB", func(t *testing.T) {
			f := world.Present("x")
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

// TestD03_WhichErrorWins sends requests with two faults. The answer is about the fault that is
// checked first.
func TestD03_WhichErrorWins(t *testing.T) {
	w := world.New(t)
	w.People[world.Own+" locked"] = tx.Subject{}
	w.Authorizer = world.AuthorizerFunc(func(_ context.Context, f tx.Facts) error {
		party := f.ActingParty().ID
		if party == "bob" || party == "backend" && f.Subject.ID == "carol" {
			return fmt.Errorf("%w: no", tx.InvalidRequest)
		}
		return nil
	})
	token := func(sub, client string) string {
		return w.Access(claims{"sub": sub, "client_id": client})
	}
	about := func(sub, client string, more ...string) url.Values {
		return world.Present(token(sub, client), more...)
	}
	by := func(actor string, f url.Values) url.Values {
		return world.WithActor(f, actor, tx.TypeAccessToken)
	}
	const garbled, unknown = "x.y.z", "https://unknown.example"
	expired := w.Access(claims{"exp": 1})
	textPlain := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }

	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		code   tx.Code
		form   url.Values
	}{
		"method before media type": {
			func(r *http.Request) { r.Method = "PUT"; textPlain(r) }, 405, tx.InvalidRequest, nil,
		},
		"media type before client": {textPlain, 400, tx.InvalidRequest, nil},
		"query before client": {
			func(r *http.Request) { r.URL.RawQuery = "scope=x" }, 400, tx.InvalidRequest, nil,
		},
		"client before form": {
			nil, 401, tx.InvalidClient, url.Values{"grant_type": {"x", "y"}},
		},
		"client before targets": {
			nil, 401, tx.InvalidClient, world.Form("x", "y", "resource", "#"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.Request("", c.form.Encode())
			if c.change != nil {
				c.change(r)
			}
			a := w.Send(r)
			require.Equal(t, c.status, a.Status, a.Raw)
			require.EqualValues(t, c.code, a.JSON["error"])
		})
	}
	for name, c := range map[string]struct {
		client string
		code   tx.Code
		reason string // part of the error in the event
		form   url.Values
	}{
		"form before types": {
			"shop", tx.InvalidScope, "", world.Form("x", "unknown", "scope", " "),
		},
		"targets in the form before types": {
			"shop", tx.InvalidTarget, "", world.Form("x", "unknown", "resource", "#"),
		},
		"actor type before subject token": {
			"shop", tx.InvalidRequest, "actor_token_type",
			world.WithActor(world.Present(garbled), "x", "unknown"),
		},
		"subject token before actor token": {
			"shop", tx.InvalidRequest, "expired",
			by(garbled, world.Present(expired)),
		},
		"actor token before resolver": {
			"shop", tx.InvalidRequest, "expired", by(expired, about("nobody", "shop")),
		},
		"subject before actor at the resolver": {
			"shop", tx.InvalidRequest, "resolve the subject",
			by(token("ghost", "shop"), about("nobody", "shop")),
		},
		"resolver before authorizer": {
			"shop", tx.InvalidRequest, "(D07)", by(token("bob", "shop"), about("locked", "shop")),
		},
		"authorizer before public client": {
			"spa", tx.InvalidRequest, "D11", by(token("bob", "spa"), about("alice", "spa")),
		},
		"public client before presenting": {
			"spa", tx.UnauthorizedClient, "", about("alice", "other"),
		},
		"authorizer before targets": {
			"shop", tx.InvalidRequest, "D11",
			by(token("bob", "shop"), about("alice", "shop", "audience", unknown)),
		},
		"authorizer before scope": {
			"shop", tx.InvalidRequest, "D11",
			by(token("bob", "shop"), about("alice", "shop", "scope", "admin")),
		},
		"presenting before targets": {
			"shop", tx.InvalidRequest, "D0", about("alice", "other", "audience", unknown),
		},
		"targets before scope": {
			"backend", tx.InvalidTarget, "D24",
			about("alice", "backend", "audience", unknown, "scope", "admin"),
		},
		"targets before the authorizer where there is no actor": {
			"backend", tx.InvalidTarget, "D24", about("carol", "backend", "audience", unknown),
		},
		"scope before the authorizer where there is no actor": {
			"backend", tx.InvalidScope, "D21", about("carol", "backend", "scope", "admin"),
		},
		"the current actor of a chain before targets": {
			"shop", tx.InvalidRequest, "resolve the current actor",
			w.AccessForm(claims{"act": claims{"sub": "ghost"}}, "audience", unknown),
		},
		"the authorizer last": {"backend", tx.InvalidRequest, "D11", about("carol", "backend")},
	} {
		t.Run(name, func(t *testing.T) {
			w.Events = nil
			w.Post(c.client, c.form).Refused(t, c.code)
			require.Contains(t, w.LastEvent().Err.Error(), c.reason)
		})
	}
}

// TestR13_RefusalsLookAlike checks that the answer does not tell whether a token, a user or a
// permission is unknown, inactive or forbidden. The event does.
func TestR13_RefusalsLookAlike(t *testing.T) {
	w := world.New(t)
	w.People[world.Own+" empty"] = tx.Subject{}
	w.Revoked["gone"] = true
	w.Authorizer = world.AuthorizerFunc(func(_ context.Context, f tx.Facts) error {
		if f.Subject.ID == "carol" {
			return tx.InvalidRequest
		}
		return nil
	})
	var seen []string
	for name, subject := range map[string]string{
		"garbled":             "x.y.z",
		"expired":             w.Access(claims{"exp": 1}),
		"revoked":             w.Access(claims{"jti": "gone"}),
		"unknown user":        w.Access(claims{"sub": "nobody"}),
		"empty user":          w.Access(claims{"sub": "empty"}),
		"forbidden":           w.Access(claims{"sub": "carol"}),
		"not for this client": w.Access(claims{"client_id": "other"}),
		"not for this actor":  w.Access(claims{"may_act": claims{"sub": "bob"}}),
	} {
		f := w.ByAdmin(world.Present(subject, "audience", world.Orders))
		a := w.Post("shop", f).Refused(t, tx.InvalidRequest)
		a.Header.Del("Date")
		seen = append(seen, fmt.Sprint(a.Raw, a.Header))
		require.Equal(t, seen[0], seen[len(seen)-1], name)
	}
	require.Len(t, w.Events, 8)
	reasons := map[string]bool{}
	for _, e := range w.Events {
		reasons[e.Err.Error()] = true
	}
	require.Len(t, reasons, 8, "each event has its own reason: %v", reasons)
}

// TestR11_Response checks what clients of other projects require of a response (R11, R12).
func TestR11_Response(t *testing.T) {
	w := world.New(t)
	for name, c := range map[string]struct {
		requested tx.TokenType
		tokenType string
		scope     string
	}{
		"no type":          {"", "Bearer", "read"},
		"access token":     {tx.TypeAccessToken, "Bearer", "read write"},
		"jwt":              {tx.TypeJWT, "Bearer", ""},
		"ID token":         {tx.TypeIDToken, "N_A", "read"},
		"with an ID token": {tx.TypeAccessToken, "Bearer", "openid read"},
	} {
		t.Run(name, func(t *testing.T) {
			more := []string{"scope", c.scope}
			if c.requested != "" {
				more = append(more, "requested_token_type", string(c.requested))
			}
			token := claims{"client_id": "backend", "scope": "openid read write"}
			a := w.Post("backend", w.AccessForm(token, more...))
			a.Granted(t)
			require.NotContains(t, a.Raw, "null")
			require.Regexp(t, regexp.MustCompile(`"expires_in":3600[,}]`), a.Raw, "an integer")
			require.Equal(t, c.tokenType, a.JSON["token_type"])
			if c.scope != "" {
				require.Equal(t, c.scope, a.JSON["scope"])
			}
			want := c.requested
			if want == "" {
				want = tx.TypeAccessToken
			}
			require.EqualValues(t, want, a.JSON["issued_token_type"])
			for member, value := range a.JSON {
				require.Contains(t, []string{
					"access_token", "issued_token_type", "token_type", "expires_in", "scope",
					"id_token",
				}, member)
				require.NotEmpty(t, value, member)
			}
			openid := c.scope == "openid read" || c.scope == ""
			require.Equal(t, openid, a.JSON["id_token"] != nil, "D23")
			require.Equal(t, byte('{'), a.Raw[0], "no byte order mark")
			require.Empty(t, a.Header.Values("WWW-Authenticate"))
		})
	}
	t.Run("DPoP", func(t *testing.T) {
		c := w.Clients["backend"]
		c.Confirmation = tx.Confirmation{JKT: "thumb"}
		w.Clients["backend"] = c
		for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
			f := w.AccessForm(claims{"client_id": "backend"})
			f.Set("requested_token_type", string(requested))
			a := w.Post("backend", f)
			require.Equal(t, claims{"jkt": "thumb"}, a.Granted(t)["cnf"])
			require.Equal(t, "DPoP", a.JSON["token_type"])
		}
	})
	t.Run("no scope was granted", func(t *testing.T) {
		a := w.Post("backend", w.AccessForm(claims{"client_id": "backend", "scope": nil}))
		require.NotContains(t, a.Granted(t), "scope")
		require.NotContains(t, a.JSON, "scope")
	})
	t.Run("a form that the host has parsed", func(t *testing.T) {
		inner := w.Handler(w.Authenticate)
		parsed := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			require.NoError(t, r.ParseForm())
			inner.ServeHTTP(rw, r)
		})
		f := w.AccessForm(nil, "client_id", "shop", "client_secret", "secret-shop")
		handled(w, parsed, f.Encode()).Granted(t)
	})
	t.Run("spelling of the form", func(t *testing.T) {
		body := "scope=read+write&grant_type=" + url.QueryEscape(tx.GrantType) +
			"&subject_token_type=" + url.QueryEscape(string(tx.TypeAccessToken)) +
			"&subject_token=" + w.Access()
		require.Contains(t, body, "%3A")
		for _, text := range []string{
			body, strings.Replace(body, "+", "%20", 1), strings.ReplaceAll(body, "%3A", ":"),
		} {
			require.Equal(t, "read write", w.Send(w.Request("shop", text)).Granted(t)["scope"])
		}
	})
	require.WithinDuration(t, world.Now, w.LastEvent().Time, time.Second)
}

// framework serves as a web framework does: it reads the form, authenticates the client and writes
// the answer itself.
func framework(t *testing.T, w *world.World, complete func(*tx.Client) error) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			panic(err)
		}
		client, err := w.Authenticate(r)
		if err != nil {
			tx.AsError(err).ServeHTTP(rw, r)
			return
		}
		client.Scope = nil
		resp, err := w.ExchangeRequest(r, client, complete)
		if err != nil {
			tx.AsError(err).ServeHTTP(rw, r)
			return
		}
		resp.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestR01_I07_ExchangeRequest checks that ExchangeRequest makes the checks of Handler. The client
// is known by then, so each refusal has an event.
func TestR01_I07_ExchangeRequest(t *testing.T) {
	w := world.New(t)
	readScope := func(c *tx.Client) error { c.Scope = tx.Scope{"read"}; return nil }
	send := func(complete func(*tx.Client) error, change func(*http.Request)) world.Answer {
		r := w.Request("shop", w.AccessForm(nil).Encode())
		change(r)
		r.URL.Host = strings.TrimPrefix(framework(t, w, complete).URL, "http://")
		return w.Send(r)
	}
	c := send(readScope, func(*http.Request) {}).Granted(t)
	require.Equal(t, "read", c["scope"], "R09: complete adds the scope of the client")
	require.Len(t, w.Events, 1)
	send(nil, func(*http.Request) {}).Refused(t, tx.InvalidScope)
	require.Len(t, w.Events, 2, "without complete the client has no scope")

	for name, change := range map[string]func(*http.Request){
		"not POST": func(r *http.Request) { r.Method = http.MethodPut },
		"the Content-Type is not": func(r *http.Request) {
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		},
		"the query contains scope":  func(r *http.Request) { r.URL.RawQuery = "scope=read" },
		"authenticated in two ways": func(r *http.Request) { addToBody(r, "client_secret=x") },
		"The parameter scope is repeated": func(r *http.Request) {
			addToBody(r, "scope=read&scope=read")
		},
		"The parameter subject_token is repeat": func(r *http.Request) {
			addToBody(r, "subject_token=x")
		},
		"2 Authorization headers": func(r *http.Request) {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
		},
	} {
		before := len(w.Events)
		send(readScope, change).Refused(t, tx.InvalidRequest)
		require.Len(t, w.Events, before+1, name)
		require.Contains(t, w.LastEvent().Err.Error(), name)
		require.Equal(t, "shop", w.LastEvent().Facts.Client.ID)
	}
}

// addToBody reads the form and appends parameters to the body.
func addToBody(r *http.Request, more string) {
	_ = r.ParseForm()
	body := r.PostForm.Encode() + "&" + more
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// TestI07_I12_ExchangeRequestCompletesTheClient lets complete, which is code of the host, fail. The
// failure is recorded, no token is issued, and the text of the host is not in the answer.
func TestI07_I12_ExchangeRequestCompletesTheClient(t *testing.T) {
	w := world.New(t)
	token := w.Access()
	for name, test := range map[string]struct {
		complete func(*tx.Client) error
		code     tx.Code
	}{
		"an error": {func(c *tx.Client) error {
			c.ID = "somebody"
			return errors.New("secret text " + token)
		}, tx.ServerError},
		"a panic": {func(c *tx.Client) error {
			c.ID = "somebody"
			panic("secret text")
		}, tx.ServerError},
		"too late": {
			func(*tx.Client) error { return world.ErrDeadline }, tx.TemporarilyUnavailable,
		},
		"a no": {func(*tx.Client) error { return tx.UnauthorizedClient }, tx.UnauthorizedClient},
	} {
		r := w.Request("shop", world.Present(token).Encode())
		r.URL.Host = strings.TrimPrefix(framework(t, w, test.complete).URL, "http://")
		before := len(w.Events)
		require.NotContains(t, w.Send(r).Refused(t, test.code).Raw, "secret text", name)
		require.Len(t, w.Events, before+1, name)
		require.Equal(t, "shop", w.LastEvent().Facts.Client.ID, name)
		require.NotContains(t, w.LastEvent().Err.Error(), token, "I08")
	}
	r := w.Request("shop", "")
	r.Body = nil
	_, err := w.ExchangeRequest(r, w.Clients["shop"], nil)
	require.ErrorIs(t, err, tx.ServerError,
		"the framework passes neither a form nor a body")
}
