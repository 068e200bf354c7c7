package tokenexchange_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// segment decodes one of the three segments of a token.
func segment(t *testing.T, token string, i int) string {
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	require.NoError(t, err)
	return string(data)
}

func headerOf(t *testing.T, token any) (h claims) {
	require.NoError(t, json.Unmarshal([]byte(segment(t, token.(string), 0)), &h))
	return h
}

func payloadOf(t *testing.T, token string) (c claims) {
	require.NoError(t, json.Unmarshal([]byte(segment(t, token, 1)), &c))
	return c
}

// idLogin delegates with an ID token that has every claim an ID token may have.
func idLogin(w *world.World, more ...string) url.Values {
	id := w.ID(claims{
		"c_hash": "c", "s_hash": "s", "jti": "old", "sid": "s-1", "email": "alice@example.com",
	})
	actor := w.Access(claims{
		"sub": "admin", "acr": "actor's", "amr": []string{"actor's"},
		"auth_time": world.Now.Unix(), "jti": "actor's",
	})
	f := world.Form(id, tx.TypeIDToken, more...)
	return world.WithActor(f, actor, tx.TypeAccessToken)
}

// hooked returns an issuer of the world with a claims hook.
func hooked(w *world.World, hook func(tx.Decision, claims) error) *tx.JWTIssuer {
	return world.NewIssuer(w, w.Key, "own-1", tx.JWTIssuer{
		Claims: func(_ context.Context, d tx.Decision, c map[string]any) error {
			return hook(d, c)
		},
	})
}

// TestR11_AccessTokensOfRFC9068 checks the header and the claims of an issued access token.
func TestR11_AccessTokensOfRFC9068(t *testing.T) {
	w := world.New(t)
	for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
		f := w.Delegation(nil, "requested_token_type", string(requested))
		token := w.Post("shop", f).Issued(t)
		require.Equal(t, claims{"alg": "ES256", "kid": "own-1", "typ": "at+jwt"},
			headerOf(t, token))
		c := world.ClaimsOf(t, token)
		for _, name := range []string{"iss", "sub", "aud", "jti", "client_id", "scope"} {
			require.IsType(t, "", c[name], name)
			require.NotEmpty(t, c[name], name)
		}
		require.Equal(t, json.Number("1800000000"), c["iat"])
		require.Equal(t, json.Number("1800003600"), c["exp"])
		require.Equal(t, w.LastEvent().TokenID, c["jti"])
		for name := range c {
			require.Contains(t, []string{
				"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "act", "lineage",
			}, name)
		}
	}
	ids := map[any]bool{}
	for range 50 {
		ids[w.Post("shop", w.Delegation(nil)).Granted(t)["jti"]] = true
	}
	require.Len(t, ids, 50)
}

// TestD17_MayActIsCarriedUntilSomebodyActs checks that may_act is carried, with its issuer, until
// an actor acts. The hook may set it where none is carried, or if the rule has ReplaceMayAct.
func TestD17_MayActIsCarriedUntilSomebodyActs(t *testing.T) {
	w := world.New(t)
	patch := claims{"may_act": claims{"sub": "admin", "x": 1}}
	carried := claims{"iss": world.Own, "sub": "admin", "x": json.Number("1")}
	acting := claims{"may_act": claims{"sub": "admin"}}
	require.NotContains(t, w.Post("shop", w.Delegation(acting)).Granted(t), "may_act",
		"the actor acts")
	narrowed := w.Post("shop", w.AccessForm(patch)).Issued(t)
	require.Equal(t, carried, world.ClaimsOf(t, narrowed)["may_act"], "narrow")
	again := w.Post("shop", world.Present(narrowed)).Granted(t)
	require.Equal(t, carried, again["may_act"], "narrowed once more")
	for _, malformed := range []any{
		"admin", claims{}, claims{"sub": 1}, claims{"iss": world.Own},
	} {
		got := w.Post("shop", w.AccessForm(claims{"may_act": malformed})).Granted(t)
		require.NotContains(t, got["may_act"], "sub", "%v still names no actor", malformed)
	}
	require.NotContains(t, w.Post("shop", w.AccessForm(nil)).Granted(t), "may_act")
	byClient := claims{"may_act": claims{"client_id": "helpdesk"}}
	got := w.Post("shop", w.AccessForm(byClient)).Granted(t)
	require.Equal(t, claims{"client_id": "helpdesk"}, got["may_act"],
		"iss without sub would name no actor")

	w.TokenIssuer = hooked(w, func(_ tx.Decision, c claims) error {
		c["may_act"] = claims{"sub": "next"}
		return nil
	})
	next := claims{"sub": "next"}
	require.Equal(t, next, w.Post("shop", w.Delegation(nil)).Granted(t)["may_act"])
	require.Equal(t, next, w.Post("shop", w.Delegation(acting)).Granted(t)["may_act"],
		"the actor acts")
	require.Equal(t, carried, w.Post("shop", w.AccessForm(patch)).Granted(t)["may_act"])
	w.Rule("narrow").ReplaceMayAct = true
	w.Configure()
	require.Equal(t, next, w.Post("shop", w.AccessForm(patch)).Granted(t)["may_act"])
}

// TestD18_TheHookCannotSetReservedClaims compares tokens with and without a claims hook that
// changes or deletes claims. The claims that the issuer writes are the same (D27).
func TestD18_TheHookCannotSetReservedClaims(t *testing.T) {
	w := world.New(t)
	reserved := []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "act_as",
		"cnf", "azp", "auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash", "lineage",
	}
	hooks := map[string]func(c claims){
		"set": func(c claims) {
			for _, name := range reserved {
				c[name] = "hook"
			}
		},
		"delete": func(c claims) { clear(c) },
		"nil": func(c claims) {
			for _, name := range reserved {
				c[name] = nil
			}
		},
		"mutate": func(c claims) {
			for _, v := range c {
				if m, ok := v.(claims); ok {
					m["sub"] = "hook"
				}
				if l, ok := v.([]any); ok && len(l) > 0 {
					l[0] = "hook"
				}
			}
		},
		"nothing": func(claims) {},
	}
	compare := func(f url.Values, actAs bool) {
		w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{ActAs: actAs})
		want := w.Post("shop", f)
		for how, hook := range hooks {
			calls := 0
			issuer := hooked(w, func(_ tx.Decision, c claims) error {
				calls++
				hook(c)
				c["extra"] = "kept"
				return nil
			})
			issuer.ActAs = actAs
			w.TokenIssuer = issuer
			got, tokens := w.Post("shop", f), 0
			for _, member := range []string{"access_token", "id_token"} {
				if want.JSON[member] == nil {
					require.Nil(t, got.JSON[member])
					continue
				}
				tokens++
				a := world.ClaimsOf(t, want.JSON[member])
				b := world.ClaimsOf(t, got.JSON[member])
				require.Equal(t, "kept", b["extra"])
				delete(b, "extra")
				for _, fresh := range []string{"jti", "at_hash"} {
					require.Equal(t, a[fresh] == nil, b[fresh] == nil)
					require.NotEqual(t, "hook", b[fresh])
					delete(a, fresh)
					delete(b, fresh)
				}
				require.Equal(t, a, b, "%s %s", how, member)
			}
			require.Equal(t, tokens, calls)
		}
	}
	for _, actAs := range []bool{false, true} {
		for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
			for _, f := range []url.Values{
				w.Delegation(nil), idLogin(w), idLogin(w, "scope", "openid read"),
			} {
				compare(world.With(f, "requested_token_type", string(requested)), actAs)
			}
		}
	}
	t.Run("an error of the hook issues nothing", func(t *testing.T) {
		w.TokenIssuer = hooked(w, func(tx.Decision, claims) error { return errors.New("no") })
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.ServerError)
		w.TokenIssuer = hooked(w, func(_ tx.Decision, c claims) error {
			c["x"] = func() {} // which is not JSON
			return nil
		})
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.ServerError)
	})
	t.Run("the hook sees all, and which token it is for", func(t *testing.T) {
		var seen []tx.TokenType
		w.TokenIssuer = hooked(w, func(d tx.Decision, c claims) error {
			seen = append(seen, d.Type)
			require.Equal(t, json.Number("1800003600"), c["exp"])
			require.Equal(t, "alice", c["sub"])
			require.Equal(t, "admin", c["act"].(claims)["sub"])
			return nil
		})
		w.Post("shop", idLogin(w, "scope", "openid")).Granted(t)
		require.Equal(t, []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken}, seen)
	})
}

// TestD27_IDTokens checks the ID token that is issued beside an access token, and the one that is
// requested.
func TestD27_IDTokens(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	atHash := func(token, alg string) string { // OpenID Connect Core §3.1.3.6
		a, b := sha256.Sum256([]byte(token)), sha512.Sum512([]byte(token))
		if alg == "EdDSA" {
			return world.Base64(string(b[:32]))
		}
		return world.Base64(string(a[:16]))
	}
	for alg, key := range map[string]crypto.Signer{
		"ES256": world.NewKey(t), "EdDSA": ed, "RS256": rsaKey, "PS256": rsaKey,
	} {
		t.Run(alg, func(t *testing.T) {
			w := world.New(t)
			w.TokenIssuer, err = tx.NewJWTIssuer(key, "k", alg)
			require.NoError(t, err)
			beside := w.Post("shop", idLogin(w, "scope", "openid read"))
			access, id := beside.Issued(t), beside.JSON["id_token"]
			c := world.ClaimsOf(t, id)
			require.Equal(t, claims{"alg": alg, "kid": "k", "typ": "JWT"}, headerOf(t, id))
			require.Equal(t, atHash(access, alg), c["at_hash"])
			checkIDToken(t, c)
			require.NotEqual(t, world.ClaimsOf(t, access)["jti"], c["jti"])

			f := idLogin(w, "scope", "openid read")
			f.Set("requested_token_type", string(tx.TypeIDToken))
			requested := w.Post("shop", f)
			c = requested.Granted(t)
			require.NotContains(t, requested.JSON, "id_token")
			require.Equal(t, "N_A", requested.JSON["token_type"])
			require.NotContains(t, c, "at_hash", "the subject token has one")
			checkIDToken(t, c)
		})
	}
	w := world.New(t)
	t.Run("absent where the subject token has none, and never the actor's", func(t *testing.T) {
		f := w.AccessForm(claims{"scope": "openid"})
		f.Set("requested_token_type", string(tx.TypeIDToken))
		actor := w.Access(claims{
			"sub": "admin", "acr": "x", "amr": []string{"x"}, "auth_time": world.Now.Unix(),
		})
		c := w.Post("shop", world.WithActor(f, actor, tx.TypeAccessToken)).Granted(t)
		for _, name := range []string{"auth_time", "acr", "amr", "nonce", "at_hash"} {
			require.NotContains(t, c, name)
		}
	})
	t.Run("its audience is the client", func(t *testing.T) {
		f := idLogin(w, "requested_token_type", string(tx.TypeIDToken))
		w.Post("shop", world.With(f, "audience", world.Orders)).Refused(t, tx.InvalidTarget)
		c := w.Post("shop", world.With(f, "audience", "shop")).Granted(t)
		require.Equal(t, "shop", c["aud"])
	})
	t.Run("only about a user", func(t *testing.T) {
		w.Rule("delegate").Subjects = []tx.Identity{{Kind: "*", ID: "*"}}
		w.Configure()
		f := w.Delegation(claims{"sub": "backend", "scope": "openid read"})
		a := w.Post("shop", f)
		require.Equal(t, "read", a.Granted(t)["scope"], "D23: not requested, so left out")
		require.NotContains(t, a.JSON, "id_token")
		f.Set("requested_token_type", string(tx.TypeIDToken))
		w.Post("shop", f).Refused(t, tx.InvalidRequest)
	})
}

// checkIDToken checks an ID token that was made from idLogin.
func checkIDToken(t *testing.T, c map[string]any) {
	require.Equal(t, "shop", c["aud"])
	require.Equal(t, "shop", c["azp"])
	require.Equal(t, "alice", c["sub"])
	require.Equal(t, json.Number("1799999100"), c["auth_time"], "never renewed")
	require.Equal(t, "gold", c["acr"])
	require.Equal(t, []any{"pwd", "otp"}, c["amr"])
	require.Equal(t, "admin", c["act"].(claims)["sub"])
	require.NotEqual(t, "old", c["jti"])
	for name := range c {
		require.Contains(t, []string{
			"iss", "sub", "act", "aud", "exp", "iat", "jti", "client_id", "azp", "at_hash",
			"auth_time", "acr", "amr", "lineage",
		}, name)
	}
	require.Equal(t, json.Number("1800000000"), c["iat"])
}

// TestD30_Binding checks to which key a new token is bound, and that a bound token needs proof of
// its key.
func TestD30_Binding(t *testing.T) {
	w := world.New(t)
	prove := func(c tx.Confirmation) {
		shop := w.Clients["shop"]
		shop.Confirmation = c
		w.Clients["shop"] = shop
	}
	bound := claims{"cnf": claims{"jkt": "one"}}
	w.Post("shop", w.Delegation(bound)).Refused(t, tx.InvalidRequest)
	prove(tx.Confirmation{JKT: "two"})
	w.Post("shop", w.Delegation(bound)).Refused(t, tx.InvalidRequest)
	toCert := claims{"cnf": claims{"x5t#S256": "cert"}}
	dpop, mtls := tx.Confirmation{JKT: "one"}, tx.Confirmation{X5T: "cert"}
	both := tx.Confirmation{JKT: "one", X5T: "cert"}
	for name, c := range map[string]struct {
		proved    tx.Confirmation
		patch     claims
		want      claims
		tokenType string
	}{
		"the same key":                   {dpop, bound, claims{"jkt": "one"}, "DPoP"},
		"a key, unbound subject":         {mtls, nil, claims{"x5t#S256": "cert"}, "Bearer"},
		"both, bound to DPoP":            {both, bound, claims{"jkt": "one"}, "DPoP"},
		"both, unbound":                  {both, nil, claims{"jkt": "one"}, "DPoP"},
		"both, bound to the certificate": {both, toCert, claims{"x5t#S256": "cert"}, "Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			prove(c.proved)
			a := w.Post("shop", w.Delegation(c.patch, "scope", "read"))
			require.Equal(t, c.want, a.Granted(t)["cnf"])
			require.Equal(t, c.tokenType, a.JSON["token_type"])
		})
	}
	prove(tx.Confirmation{})
	admin := w.Access(claims{"sub": "admin"}, bound)
	w.Post("shop", world.WithActor(w.AccessForm(nil), admin, tx.TypeAccessToken)).
		Refused(t, tx.InvalidRequest)
	require.NotContains(t, w.Post("shop", w.Delegation(nil)).Granted(t), "cnf")
}

// TestD12_ByteForByte checks that the payload which is signed has the JSON of prior actors byte for
// byte.
func TestD12_ByteForByte(t *testing.T) {
	w := world.New(t)
	const act = `{ "sub":"bob" ,"iss":"https://as.example","n":1.0e+2,` +
		`"big":12345678901234567890123,"h":"<&>\u0041\/",` +
		`"act":{"iss" : "https://idp.example","sub":"robot","x":[ 1, {"y":null} ]},"client_id":"b"}`
	inner := strings.TrimSuffix(string(w.AccessClaims()), "}")
	presented := func(act string) url.Values {
		payload := []byte(inner + `,"act":` + act + `}`)
		return world.Present(world.Sign(t, w.Key, world.AccessHeader, payload))
	}
	for name, issuer := range map[string]*tx.JWTIssuer{
		"no hook": world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{}),
		"a hook":  hooked(w, func(_ tx.Decision, c claims) error { c["extra"] = 1; return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			for _, actAs := range []bool{false, true} {
				issuer.ActAs = actAs
				w.TokenIssuer = issuer
				once := w.Post("shop", w.ByAdmin(presented(act))).Issued(t)
				require.Contains(t, segment(t, once, 1), `"act":`+act)
				twice := w.Post("shop", world.Present(once)).Issued(t)
				require.Contains(t, segment(t, twice, 1), `"act":`+act, "a second time")
			}
		})
	}
	t.Run("only iss is added", func(t *testing.T) {
		w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{})
		f := w.ByAdmin(presented(`{ "sub":"bob", "x": 1.0 }`))
		require.Contains(t, segment(t, w.Post("shop", f).Issued(t), 1),
			`"act":{"iss":"https://as.example", "sub":"bob", "x": 1.0 }`)
	})
}

// kms is a key in another process. It has the methods of crypto.Signer and no others.
type kms struct{ crypto.Signer }

func (k kms) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(r, digest, opts)
}

// TestJWTIssuer_KeysAndKeySets issues with keys of every kind, and with keys and decisions that are
// refused.
func TestJWTIssuer_KeysAndKeySets(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	weak := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: rsaKey.N, E: 2}}
	w := world.New(t)
	_, err = w.Call(w.Delegation(nil))
	require.NoError(t, err)
	d := w.LastEvent().Decision
	for name, key := range map[string]crypto.Signer{
		"ES256": world.NewKey(t), "ES384": p384, "EdDSA": ed, "PS256": rsaKey,
	} {
		for _, key := range []crypto.Signer{key, kms{key}} {
			j := world.NewIssuer(t, key, "k", tx.JWTIssuer{})
			issued, err := j.IssueToken(t.Context(), d)
			require.NoError(t, err)
			require.Equal(t, name, headerOf(t, issued.Value)["alg"])
			set, err := j.JWKS()
			require.NoError(t, err)
			require.NotContains(t, string(set), `"d"`)
			trust := w.Trusts[0]
			trust.JWKS, trust.Algorithms = set, []string{name}
			v, err := tx.NewVerifier(trust)
			require.NoError(t, err)
			tok, err := verify(t, v, issued.Value, tx.TypeAccessToken)
			require.NoError(t, err, "JWKS verifies the issued token")
			require.Equal(t, "alice", tok.Subject)
			require.Equal(t, issued.ID, tok.ID)
			var published struct{ Keys []map[string]any }
			require.NoError(t, json.Unmarshal(set, &published))
			require.Len(t, published.Keys, 1)
			require.Subset(t, slices.Collect(maps.Keys(published.Keys[0])),
				[]string{"kid", "alg", "use", "kty"})
		}
	}
	t.Run("the zero issuer", func(t *testing.T) {
		zero := &tx.JWTIssuer{}
		_, err := zero.IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "without a key")
		_, err = zero.JWKS()
		require.ErrorContains(t, err, "without a key")
		withID := d
		withID.IDToken = true
		_, err = zero.IssueIDToken(t.Context(), withID, "access")
		require.ErrorContains(t, err, "without a key")
		w.TokenIssuer = zero
		w.Post("shop", w.Delegation(nil)).Refused(t, tx.ServerError)
	})
	for name, c := range map[string]struct {
		key       crypto.Signer
		algorithm string
	}{
		"no key":        {nil, ""},
		"a weak key":    {weak, ""},
		"HS256":         {w.Key, "HS256"},
		"none":          {w.Key, "none"},
		"another kind":  {w.Key, "RS256"},
		"another curve": {p384, "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := tx.NewJWTIssuer(c.key, "k", c.algorithm)
			require.Error(t, err)
			require.Nil(t, j)
		})
	}
	t.Run("a copy has the same key, and its own settings", func(t *testing.T) {
		j, err := tx.NewJWTIssuer(rsaKey, "2", "RS256")
		require.NoError(t, err)
		turned := *j
		turned.ActAs = true
		issued, err := turned.IssueToken(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, claims{"alg": "RS256", "kid": "2", "typ": "at+jwt"},
			headerOf(t, issued.Value))
		require.Contains(t, payloadOf(t, issued.Value), "act_as")
		issued, err = j.IssueToken(t.Context(), d)
		require.NoError(t, err)
		require.Contains(t, payloadOf(t, issued.Value), "act")
	})
	t.Run("a key that fails", func(t *testing.T) {
		for err, code := range map[error]tx.Code{
			world.ErrDeadline:         tx.TemporarilyUnavailable,
			errors.New("hsm is down"): tx.ServerError,
			nil:                       tx.ServerError, // with a signature that is too short
		} {
			w.TokenIssuer = world.NewIssuer(t, failingKey{w.Key, err}, "", tx.JWTIssuer{})
			w.Post("shop", w.Delegation(nil)).Refused(t, code)
		}
	})
	t.Run("decisions that are refused", func(t *testing.T) {
		j := world.NewIssuer(t, w.Key, "", tx.JWTIssuer{})
		for name, change := range map[string]func(*tx.Decision){
			"zero": func(d *tx.Decision) { *d = tx.Decision{} },
			"refresh token": func(d *tx.Decision) {
				d.RefreshToken, d.RefreshExpires = true, world.Now.Add(time.Hour)
			},
			"no audience":          func(d *tx.Decision) { d.Audience = nil },
			"no subject":           func(d *tx.Decision) { d.Subject = tx.Identity{} },
			"a foreign subject":    func(d *tx.Decision) { d.Subject.Issuer = world.IDP },
			"no type":              func(d *tx.Decision) { d.Type = "" },
			"an unknown type":      func(d *tx.Decision) { d.Type = "urn:x" },
			"a refresh token type": func(d *tx.Decision) { d.Type = tx.TypeRefreshToken },
			"SAML":                 func(d *tx.Decision) { d.Type = tx.TypeSAML2 },
			"no expiry":            func(d *tx.Decision) { d.Expires = time.Time{} },
			"expired":              func(d *tx.Decision) { d.Expires = d.Issued },
			"no mode":              func(d *tx.Decision) { d.Mode = "" },
			"no actor":             func(d *tx.Decision) { d.Actor = nil },
			"nameless actor":       func(d *tx.Decision) { d.Actor = &tx.Actor{Issuer: world.Own} },
			"no client":            func(d *tx.Decision) { d.Client = "" },
			"no issuer":            func(d *tx.Decision) { d.Issuer = "" },
			"no time":              func(d *tx.Decision) { d.Issued = time.Time{} },
		} {
			bad := d
			change(&bad)
			issued, err := j.IssueToken(t.Context(), bad)
			require.Error(t, err, name)
			require.Empty(t, issued.Value, name)
		}
	})
	t.Run("types of the host", func(t *testing.T) {
		j := world.NewIssuer(t, w.Key, "",
			tx.JWTIssuer{Types: map[tx.TokenType]string{world.TypeTicket: "ticket+jwt"}})
		ticket := d
		ticket.Type = world.TypeTicket
		issued, err := j.IssueToken(t.Context(), ticket)
		require.NoError(t, err)
		require.Equal(t, "ticket+jwt", headerOf(t, issued.Value)["typ"])
		c := payloadOf(t, issued.Value)
		require.Equal(t, []any{c["iat"], c["client_id"]}, []any{c["nbf"], c["azp"]})
		for _, kind := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
			ticket.Type = kind
			issued, err = j.IssueToken(t.Context(), ticket)
			require.NoError(t, err)
			require.NotContains(t, payloadOf(t, issued.Value), "nbf",
				"RFC 9068 §2.2 does not have it")
			require.NotContains(t, payloadOf(t, issued.Value), "azp")
		}
	})
	t.Run("R07: a typ that says another kind", func(t *testing.T) {
		set, err := world.NewIssuer(t, w.Key, "", tx.JWTIssuer{}).JWKS()
		require.NoError(t, err)
		v, err := tx.NewVerifier(tx.Trust{
			Issuer: world.Own, JWKS: set, Live: alive,
			Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: ""},
		})
		require.NoError(t, err)
		good := strings.Split("ticket+jwt|Ticket+JWT|application/ticket+jwt|bat+jwt|"+
			"vnd.example.ticket|text/jwt|text/at+jwt|at+jwt2", "|")
		bad := strings.Split("at+jwt|AT+JWT|At+jWt|application/at+jwt|APPLICATION/at+jwt|"+
			"at+jwt;x=y|at+jwt;|at+jwt ; x=y|JWT|jwt|application/jwt|Application/JWT; x=y||"+
			" at+jwt|at+jwt |at+jwt\n|at+jwt\u200b|application/|"+
			"application/application/at+jwt|a b|/", "|")
		for _, typ := range slices.Concat(good, bad) {
			ok := slices.Contains(good, typ)
			ticket := d
			ticket.Type = world.TypeTicket
			j := world.NewIssuer(t, w.Key, "",
				tx.JWTIssuer{Types: map[tx.TokenType]string{world.TypeTicket: typ}})
			issued, err := j.IssueToken(t.Context(), ticket)
			require.Equal(t, ok, err == nil, "%q: %v", typ, err)
			if !ok {
				require.Empty(t, issued.Value)
				continue
			}
			kinds := []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT}
			for _, declared := range kinds {
				_, err := verify(t, v, issued.Value, declared)
				require.ErrorContains(t, err, "R07", "%q as %s", typ, declared)
			}
		}
	})
}

// failingKey returns an error, or a signature that is too short.
type failingKey struct {
	crypto.Signer
	err error
}

func (k failingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("short"), k.err
}

// TestD29_IssueTokenWithID issues under an id that the host has chosen for its record.
func TestD29_IssueTokenWithID(t *testing.T) {
	w := world.New(t)
	jwt := w.TokenIssuer.(*tx.JWTIssuer)
	issue := func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		_, err := jwt.IssueTokenWithID(ctx, d, "")
		require.Error(t, err)
		return jwt.IssueTokenWithID(ctx, d, "record-7")
	}
	w.TokenIssuer = world.IssuerFunc(issue)
	require.Equal(t, "record-7", w.Post("shop", w.Delegation(nil)).Granted(t)["jti"])
	require.Equal(t, "record-7", w.LastEvent().TokenID)
}
