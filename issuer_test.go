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
)

func segment(t *testing.T, token string, i int) string {
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	require.NoError(t, err)
	return string(data)
}

func headerOf(t *testing.T, token any) (h map[string]any) {
	require.NoError(t, json.Unmarshal([]byte(segment(t, token.(string), 0)), &h))
	return h
}

func payloadOf(t *testing.T, token string) (c map[string]any) {
	require.NoError(t, json.Unmarshal([]byte(segment(t, token, 1)), &c))
	return c
}

// idLogin is the delegation of an ID token that has everything an ID token may have.
func (w *world) idLogin(more ...string) url.Values {
	id := w.id(claims{"c_hash": "c", "s_hash": "s", "jti": "old", "sid": "s-1", "email": "alice@example.com"})
	actor := w.access(claims{"sub": "admin", "acr": "actor's", "amr": []string{"actor's"}, "auth_time": at.Unix(), "jti": "actor's"})
	f := withActor(form(id, tx.TypeIDToken), actor, tx.TypeAccessToken)
	for i := 0; i < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f
}

func TestR11_AccessTokensOfRFC9068(t *testing.T) {
	w := newWorld(t)
	for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
		f := w.delegation(nil)
		f.Set("requested_token_type", string(requested))
		a := w.post("shop", f)
		c := a.granted(t)
		require.Equal(t, map[string]any{"alg": "ES256", "kid": "own-1", "typ": "at+jwt"}, headerOf(t, a.json["access_token"]))
		for _, name := range []string{"iss", "sub", "aud", "jti", "client_id", "scope"} {
			require.IsType(t, "", c[name], name)
			require.NotEmpty(t, c[name], name)
		}
		require.Equal(t, json.Number("1800000000"), c["iat"])
		require.Equal(t, json.Number("1800003600"), c["exp"])
		require.Equal(t, w.lastEvent().TokenID, c["jti"])
		for name := range c {
			require.Contains(t, []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id",
				"scope", "act", "lineage"}, name)
		}
	}
	ids := map[any]bool{}
	for range 50 {
		ids[w.post("shop", w.delegation(nil)).granted(t)["jti"]] = true
	}
	require.Len(t, ids, 50)
}

// TestD17_MayActIsCarriedUntilSomebodyActs: with its issuer, and whatever the hook says, unless the
// rule lets it replace.
func TestD17_MayActIsCarriedUntilSomebodyActs(t *testing.T) {
	w := newWorld(t)
	patch := claims{"may_act": claims{"sub": "admin", "x": 1}}
	carried := map[string]any{"iss": ownIss, "sub": "admin", "x": json.Number("1")}
	acting := claims{"may_act": claims{"sub": "admin"}}
	require.NotContains(t, w.post("shop", w.delegation(acting)).granted(t), "may_act",
		"the actor acts")
	narrowed := w.post("shop", form(w.access(patch), tx.TypeAccessToken))
	require.Equal(t, carried, narrowed.granted(t)["may_act"], "narrow")
	again := w.post("shop", form(narrowed.json["access_token"].(string),
		tx.TypeAccessToken)).granted(t)
	require.Equal(t, carried, again["may_act"], "narrowed once more, it is the same")
	for _, malformed := range []any{"admin", claims{}, claims{"sub": 1}, claims{"iss": ownIss},
		nil} {
		got := w.post("shop", form(w.access(claims{"may_act": malformed}),
			tx.TypeAccessToken)).granted(t)
		if malformed == nil {
			require.NotContains(t, got, "may_act")
			continue
		}
		require.NotContains(t, got["may_act"], "sub", "%v still names no actor", malformed)
	}
	byClient := claims{"may_act": claims{"client_id": "helpdesk"}}
	got := w.post("shop", form(w.access(byClient), tx.TypeAccessToken)).granted(t)
	require.Equal(t, map[string]any{"client_id": "helpdesk"}, got["may_act"],
		"iss without sub would name no actor")

	w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{Claims: func(_ context.Context, d tx.Decision, c map[string]any) error {
		c["may_act"] = map[string]any{"sub": "next"}
		return nil
	}})
	next := map[string]any{"sub": "next"}
	require.Equal(t, next, w.post("shop", w.delegation(nil)).granted(t)["may_act"])
	require.Equal(t, next, w.post("shop", w.delegation(acting)).granted(t)["may_act"],
		"the actor acts")
	require.Equal(t, carried, w.post("shop", form(w.access(patch),
		tx.TypeAccessToken)).granted(t)["may_act"])
	w.rule("narrow").ReplaceMayAct = true
	w.configure()
	require.Equal(t, next, w.post("shop", form(w.access(patch),
		tx.TypeAccessToken)).granted(t)["may_act"])
}

// D18, D27: whatever the hook does to the claims that the issuer answers for, they stay.
func TestD18_TheHookCannotSetReservedClaims(t *testing.T) {
	w := newWorld(t)
	reserved := []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id",
		"act", "act_as", "cnf", "azp", "auth_time", "acr", "amr", "nonce", "at_hash", "c_hash",
		"s_hash", "lineage"}
	for _, actAs := range []bool{false, true} {
		for _, requested := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
			for _, f := range []url.Values{w.delegation(nil), w.idLogin(), w.idLogin("scope", "openid read")} {
				f.Set("requested_token_type", string(requested))
				plain := newIssuer(t, w.key, "own-1", tx.JWTIssuer{ActAs: actAs})
				w.TokenIssuer = plain
				want := w.post("shop", f)
				for how, hook := range map[string]func(c map[string]any){
					"set": func(c map[string]any) {
						for _, name := range reserved {
							c[name] = "hook"
						}
					},
					"delete": func(c map[string]any) { clear(c) },
					"nil": func(c map[string]any) {
						for _, name := range reserved {
							c[name] = nil
						}
					},
					"mutate": func(c map[string]any) {
						for _, v := range c {
							if m, ok := v.(map[string]any); ok {
								m["sub"] = "hook"
							}
							if l, ok := v.([]any); ok && len(l) > 0 {
								l[0] = "hook"
							}
						}
					},
					"nothing": func(map[string]any) {},
				} {
					calls := 0
					w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{ActAs: actAs, Claims: func(_ context.Context, _ tx.Decision, c map[string]any) error {
						calls++
						hook(c)
						c["extra"] = "kept"
						return nil
					}})
					got := w.post("shop", f)
					for _, member := range []string{"access_token", "id_token"} {
						if want.json[member] == nil {
							require.Nil(t, got.json[member])
							continue
						}
						a, b := says(t, want.json[member]), says(t, got.json[member])
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
					require.Equal(t, 1+len(got.json)-len(want.json)+map[bool]int{true: 1}[want.json["id_token"] != nil], calls)
				}
			}
		}
	}
	t.Run("an error of the hook issues nothing", func(t *testing.T) {
		w.TokenIssuer = newIssuer(t, w.key, "", tx.JWTIssuer{Claims: func(context.Context, tx.Decision, map[string]any) error { return errors.New("no") }})
		w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
		w.TokenIssuer = newIssuer(t, w.key, "", tx.JWTIssuer{Claims: func(_ context.Context, _ tx.Decision, c map[string]any) error { c["x"] = func() {}; return nil }})
		w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
	})
	t.Run("the hook sees all, and which token it is for", func(t *testing.T) {
		var seen []tx.TokenType
		w.TokenIssuer = newIssuer(t, w.key, "", tx.JWTIssuer{Claims: func(_ context.Context, d tx.Decision, c map[string]any) error {
			seen = append(seen, d.Type)
			require.Equal(t, json.Number("1800003600"), c["exp"])
			require.Equal(t, "alice", c["sub"])
			require.Equal(t, "admin", c["act"].(map[string]any)["sub"])
			return nil
		}})
		w.post("shop", w.idLogin("scope", "openid")).granted(t)
		require.Equal(t, []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken}, seen)
	})
}

func TestD27_IDTokens(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	half := func(token string, long bool) string {
		a, b := sha256.Sum256([]byte(token)), sha512.Sum512([]byte(token))
		if long {
			return b64(string(b[:32]))
		}
		return b64(string(a[:16]))
	}
	for alg, key := range map[string]crypto.Signer{"ES256": newKey(t), "EdDSA": ed, "RS256": rsaKey, "PS256": rsaKey} {
		t.Run(alg, func(t *testing.T) {
			w := newWorld(t)
			w.TokenIssuer, err = tx.NewJWTIssuer(key, "k", alg)
			require.NoError(t, err)
			a := w.post("shop", w.idLogin("scope", "openid read"))
			a.granted(t)
			c := says(t, a.json["id_token"])
			require.Equal(t, map[string]any{"alg": alg, "kid": "k", "typ": "JWT"}, headerOf(t, a.json["id_token"]))
			require.Equal(t, half(a.json["access_token"].(string), alg == "EdDSA"), c["at_hash"])
			w.checkIDToken(t, c)
			require.NotEqual(t, says(t, a.json["access_token"])["jti"], c["jti"])

			asked := w.post("shop", w.idLogin("scope", "openid read", "requested_token_type", string(tx.TypeIDToken)))
			c = asked.granted(t)
			require.NotContains(t, asked.json, "id_token")
			require.Equal(t, "N_A", asked.json["token_type"])
			require.NotContains(t, c, "at_hash", "that of the old one never")
			w.checkIDToken(t, c)
		})
	}
	w := newWorld(t)
	t.Run("absent where the subject token has none, and never the actor's", func(t *testing.T) {
		f := withActor(form(w.access(claims{"scope": "openid"}), tx.TypeAccessToken, "requested_token_type", string(tx.TypeIDToken)), w.access(claims{"sub": "admin", "acr": "x", "amr": []string{"x"}, "auth_time": at.Unix()}), tx.TypeAccessToken)
		c := w.post("shop", f).granted(t)
		for _, name := range []string{"auth_time", "acr", "amr", "nonce", "at_hash"} {
			require.NotContains(t, c, name)
		}
	})
	t.Run("its audience is the client", func(t *testing.T) {
		w.post("shop", w.idLogin("requested_token_type", string(tx.TypeIDToken), "audience", orders)).refused(t, tx.InvalidTarget)
		require.Equal(t, "shop", w.post("shop", w.idLogin("requested_token_type", string(tx.TypeIDToken), "audience", "shop")).granted(t)["aud"])
	})
	t.Run("only about a user", func(t *testing.T) {
		w.rule("delegate").Subjects = []tx.Identity{{Kind: "*", ID: "*"}}
		w.configure()
		f := withActor(form(w.access(claims{"sub": "backend", "scope": "openid read"}), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
		a := w.post("shop", f)
		require.Equal(t, "read", a.granted(t)["scope"], "D23: inherited and off is left out")
		require.NotContains(t, a.json, "id_token")
		f.Set("requested_token_type", string(tx.TypeIDToken))
		w.post("shop", f).refused(t, tx.InvalidRequest)
	})
}

func (w *world) checkIDToken(t *testing.T, c map[string]any) {
	require.Equal(t, "shop", c["aud"])
	require.Equal(t, "shop", c["azp"])
	require.Equal(t, "alice", c["sub"])
	require.Equal(t, json.Number("1799999100"), c["auth_time"], "never renewed")
	require.Equal(t, "gold", c["acr"])
	require.Equal(t, []any{"pwd", "otp"}, c["amr"])
	require.Equal(t, "admin", c["act"].(map[string]any)["sub"])
	require.NotEqual(t, "old", c["jti"])
	for name := range c {
		require.Contains(t, []string{"iss", "sub", "act", "aud", "exp", "iat", "jti", "client_id",
			"azp", "at_hash", "auth_time", "acr", "amr", "lineage"}, name)
	}
	require.Equal(t, json.Number("1800000000"), c["iat"])
}

func TestD30_Binding(t *testing.T) {
	w := newWorld(t)
	prove := func(c tx.Confirmation) {
		shop := w.clients["shop"]
		shop.Confirmation = c
		w.clients["shop"] = shop
	}
	bound := claims{"cnf": claims{"jkt": "one"}}
	w.post("shop", w.delegation(bound)).refused(t, tx.InvalidRequest)
	prove(tx.Confirmation{JKT: "two"})
	w.post("shop", w.delegation(bound)).refused(t, tx.InvalidRequest)
	for name, c := range map[string]struct {
		proved tx.Confirmation
		patch  claims
		want   map[string]any
	}{
		"the same key": {tx.Confirmation{JKT: "one"}, bound, map[string]any{"jkt": "one"}}, "a key, unbound subject": {tx.Confirmation{X5T: "cert"}, nil, map[string]any{"x5t#S256": "cert"}},
		"both, bound to DPoP": {tx.Confirmation{JKT: "one", X5T: "cert"}, bound, map[string]any{"jkt": "one"}}, "both, unbound": {tx.Confirmation{JKT: "one", X5T: "cert"}, nil, map[string]any{"jkt": "one"}},
		"both, bound to the certificate": {tx.Confirmation{JKT: "one", X5T: "cert"}, claims{"cnf": claims{"x5t#S256": "cert"}}, map[string]any{"x5t#S256": "cert"}},
	} {
		t.Run(name, func(t *testing.T) {
			prove(c.proved)
			f := w.delegation(c.patch)
			f.Set("scope", "read")
			a := w.post("shop", f)
			require.Equal(t, c.want, a.granted(t)["cnf"])
			require.Equal(t, map[bool]string{true: "DPoP", false: "Bearer"}[c.want["jkt"] != nil], a.json["token_type"])
		})
	}
	prove(tx.Confirmation{})
	w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "admin"}, bound), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
	require.NotContains(t, w.post("shop", w.delegation(nil)).granted(t), "cnf")
}

// D12: prior actors are passed on byte for byte, in the payload that is signed.
func TestD12_ByteForByte(t *testing.T) {
	w := newWorld(t)
	const act = `{ "sub":"bob" ,"iss":"https://as.example","n":1.0e+2,"big":12345678901234567890123,"h":"<&>\u0041\/","act":{"iss" : "https://idp.example","sub":"robot","x":[ 1, {"y":null} ]},"client_id":"b"}`
	inner := strings.TrimSuffix(string(w.accessClaims(nil)), "}")
	for name, hook := range map[string]func(context.Context, tx.Decision, map[string]any) error{"no hook": nil, "a hook": func(_ context.Context, _ tx.Decision, c map[string]any) error { c["extra"] = 1; return nil }} {
		t.Run(name, func(t *testing.T) {
			for _, actAs := range []bool{false, true} {
				w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{Claims: hook, ActAs: actAs})
				subject := sign(t, w.key, goodHeader, []byte(inner+`,"act":`+act+`}`))
				a := w.post("shop", withActor(form(subject, tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken))
				a.granted(t)
				require.Contains(t, segment(t, a.json["access_token"].(string), 1), `"act":`+act)
				again := w.post("shop", form(a.json["access_token"].(string), tx.TypeAccessToken))
				again.granted(t)
				require.Contains(t, segment(t, again.json["access_token"].(string), 1), `"act":`+act, "a second time")
			}
		})
	}
	t.Run("only iss is added", func(t *testing.T) {
		w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{})
		subject := sign(t, w.key, goodHeader, []byte(inner+`,"act":{ "sub":"bob", "x": 1.0 }}`))
		a := w.post("shop", withActor(form(subject, tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken))
		a.granted(t)
		require.Contains(t, segment(t, a.json["access_token"].(string), 1), `"act":{"iss":"https://as.example", "sub":"bob", "x": 1.0 }`)
	})
}

// kms is a key elsewhere: all that is known of it is crypto.Signer.
type kms struct{ crypto.Signer }

func (k kms) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(r, digest, opts)
}

func TestJWTIssuer_KeysAndKeySets(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	weak := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: rsaKey.N, E: 2}}
	w := newWorld(t)
	_, err = w.exchange(w.delegation(nil))
	require.NoError(t, err)
	d := w.lastEvent().Decision
	for name, key := range map[string]crypto.Signer{"ES256": newKey(t), "ES384": p384, "EdDSA": ed, "PS256": rsaKey} {
		for _, key := range []crypto.Signer{key, kms{key}} {
			j := newIssuer(t, key, "k", tx.JWTIssuer{})
			issued, err := j.IssueToken(t.Context(), d)
			require.NoError(t, err)
			require.Equal(t, name, headerOf(t, issued.Value)["alg"])
			set, err := j.JWKS()
			require.NoError(t, err)
			require.NotContains(t, string(set), `"d"`)
			trust := w.trusts[0]
			trust.JWKS, trust.Algorithms = set, []string{name}
			v, err := tx.NewVerifier(trust)
			require.NoError(t, err)
			tok, err := verify(t, v, issued.Value, tx.TypeAccessToken)
			require.NoError(t, err, "JWKS verifies what was issued")
			require.Equal(t, "alice", tok.Subject)
			require.Equal(t, issued.ID, tok.ID)
			var published struct{ Keys []map[string]any }
			require.NoError(t, json.Unmarshal(set, &published))
			require.Len(t, published.Keys, 1)
			require.Subset(t, slices.Collect(maps.Keys(published.Keys[0])), []string{"kid", "alg", "use", "kty"})
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
		w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
	})
	for name, c := range map[string]struct {
		key       crypto.Signer
		algorithm string
	}{
		"no key": {nil, ""}, "a weak key": {weak, ""}, "HS256": {w.key, "HS256"}, "none": {w.key, "none"},
		"another kind": {w.key, "RS256"}, "another curve": {p384, "ES256"},
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
		require.Equal(t, map[string]any{"alg": "RS256", "kid": "2", "typ": "at+jwt"}, headerOf(t, issued.Value))
		require.Contains(t, payloadOf(t, issued.Value), "act_as")
		issued, err = j.IssueToken(t.Context(), d)
		require.NoError(t, err)
		require.Contains(t, payloadOf(t, issued.Value), "act")
	})
	t.Run("a key that fails", func(t *testing.T) {
		w.TokenIssuer = newIssuer(t, failingKey{w.key, deadline()}, "", tx.JWTIssuer{})
		w.post("shop", w.delegation(nil)).refused(t, tx.TemporarilyUnavailable)
		w.TokenIssuer = newIssuer(t, failingKey{w.key, errors.New("hsm is down")}, "", tx.JWTIssuer{})
		w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
		w.TokenIssuer = newIssuer(t, failingKey{w.key, nil}, "", tx.JWTIssuer{})
		w.post("shop", w.delegation(nil)).refused(t, tx.ServerError)
	})
	t.Run("decisions that are refused", func(t *testing.T) {
		j := newIssuer(t, w.key, "", tx.JWTIssuer{})
		for name, change := range map[string]func(*tx.Decision){
			"zero": func(d *tx.Decision) { *d = tx.Decision{} }, "refresh token": func(d *tx.Decision) { d.RefreshToken, d.RefreshExpires = true, at.Add(time.Hour) },
			"no audience": func(d *tx.Decision) { d.Audience = nil }, "no subject": func(d *tx.Decision) { d.Subject = tx.Identity{} }, "a foreign subject": func(d *tx.Decision) { d.Subject.Issuer = idpIss },
			"no type": func(d *tx.Decision) { d.Type = "" }, "an unknown type": func(d *tx.Decision) { d.Type = "urn:x" }, "a refresh token type": func(d *tx.Decision) { d.Type = tx.TypeRefreshToken }, "SAML": func(d *tx.Decision) { d.Type = tx.TypeSAML2 },
			"no expiry": func(d *tx.Decision) { d.Expires = time.Time{} }, "expired": func(d *tx.Decision) { d.Expires = d.Issued }, "no mode": func(d *tx.Decision) { d.Mode = "" }, "no actor": func(d *tx.Decision) { d.Actor = nil },
			"nameless actor": func(d *tx.Decision) { d.Actor = &tx.Actor{Issuer: ownIss} }, "no client": func(d *tx.Decision) { d.Client = "" }, "no issuer": func(d *tx.Decision) { d.Issuer = "" }, "no time": func(d *tx.Decision) { d.Issued = time.Time{} },
		} {
			bad := d
			change(&bad)
			issued, err := j.IssueToken(t.Context(), bad)
			require.Error(t, err, name)
			require.Empty(t, issued.Value, name)
		}
	})
	t.Run("types of the host", func(t *testing.T) {
		j := newIssuer(t, w.key, "", tx.JWTIssuer{Types: map[tx.TokenType]string{typeTicket: "ticket+jwt"}})
		ticket := d
		ticket.Type = typeTicket
		issued, err := j.IssueToken(t.Context(), ticket)
		require.NoError(t, err)
		require.Equal(t, "ticket+jwt", headerOf(t, issued.Value)["typ"])
		said := payloadOf(t, issued.Value)
		require.Equal(t, []any{said["iat"], said["client_id"]}, []any{said["nbf"], said["azp"]})
		for _, kind := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT} {
			ticket.Type = kind
			issued, err = j.IssueToken(t.Context(), ticket)
			require.NoError(t, err)
			require.NotContains(t, payloadOf(t, issued.Value), "nbf", "RFC 9068 §2.2 does not name it")
			require.NotContains(t, payloadOf(t, issued.Value), "azp")
		}
	})
	t.Run("R07: a typ that says another kind", func(t *testing.T) {
		set, err := newIssuer(t, w.key, "", tx.JWTIssuer{}).JWKS()
		require.NoError(t, err)
		v, err := tx.NewVerifier(tx.Trust{Issuer: ownIss, JWKS: set, Live: alive,
			Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: ""}})
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
			ticket.Type = typeTicket
			j := newIssuer(t, w.key, "", tx.JWTIssuer{Types: map[tx.TokenType]string{typeTicket: typ}})
			issued, err := j.IssueToken(t.Context(), ticket)
			require.Equal(t, ok, err == nil, "%q: %v", typ, err)
			if !ok {
				require.Empty(t, issued.Value)
				continue
			}
			kinds := []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT}
			for _, declared := range kinds {
				_, err = v.Verify(t.Context(), tx.Credential{Token: issued.Value, Type: declared,
					Issuer: ownIss, Client: tx.Client{ID: "shop"}, Now: at})
				require.ErrorContains(t, err, "R07", "%q as %s", typ, declared)
			}
		}
	})
}

type failingKey struct {
	crypto.Signer
	err error
}

func (k failingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("short"), k.err
}
