package tokenexchange_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func alive(context.Context, tx.Token) error { return nil }

// TestNewVerifier_ConstructionErrors makes verifiers from a good Trust that was changed in one
// field.
func TestNewVerifier_ConstructionErrors(t *testing.T) {
	set := world.KeySet(t, world.NewKey(t), "k")
	ownTrust := tx.Trust{
		Issuer: world.Own, JWKS: set, Live: alive,
		Types: map[tx.TokenType]string{tx.TypeAccessToken: ""},
	}
	foreign := tx.Trust{
		Issuer: world.IDP, JWKS: set, Foreign: true, Audience: []string{world.Own},
		Types: map[tx.TokenType]string{tx.TypeJWT: ""},
	}
	for _, good := range [][]tx.Trust{{}, {ownTrust}, {foreign}, {ownTrust, foreign}} {
		v, err := tx.NewVerifier(good...)
		require.NoError(t, err)
		require.NotNil(t, v)
	}
	for name, change := range map[string]func(own, foreign *tx.Trust){
		"no issuer":                 func(o, _ *tx.Trust) { o.Issuer = "" },
		"an issuer twice":           func(o, f *tx.Trust) { f.Issuer = o.Issuer },
		"own without liveness":      func(o, _ *tx.Trust) { o.Live = nil },
		"own with audience":         func(o, _ *tx.Trust) { o.Audience = []string{world.API} },
		"own with scopes":           func(o, _ *tx.Trust) { o.Scopes = map[string]tx.Scope{} },
		"foreign without audience":  func(_, f *tx.Trust) { f.Audience = nil },
		"foreign with none":         func(_, f *tx.Trust) { f.Audience = []string{} },
		"foreign with an empty one": func(_, f *tx.Trust) { f.Audience = []string{world.Own, ""} },
		"foreign with liveness":     func(_, f *tx.Trust) { f.Live = alive },
		"keys and a URL":            func(o, _ *tx.Trust) { o.JWKSURL = "https://as.example/jwks" },
		"no types":                  func(o, _ *tx.Trust) { o.Types = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o, f := ownTrust, foreign
			change(&o, &f)
			requireNoVerifier(t, o, f)
		})
	}
	for name, set := range map[string]string{
		"no keys":         ``,
		"an empty set":    `{"keys":[]}`,
		"no set":          `[]`,
		"no JSON":         `{`,
		"a symmetric key": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"a private key": `{"keys":[{"kty":"OKP","crv":"Ed25519",` +
			`"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",` +
			`"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			o := ownTrust
			o.JWKS = []byte(set)
			requireNoVerifier(t, o, foreign)
		})
	}
	for name, url := range map[string]string{
		"http":                "http://as.example/jwks",
		"a file":              "file:///etc/passwd",
		"a URL with password": "https://u:p@as.example/jwks",
		"a relative URL":      "/jwks",
		"loopback look-alike": "http://127.0.0.1.example/jwks",
	} {
		t.Run(name, func(t *testing.T) {
			o := ownTrust
			o.JWKS, o.JWKSURL = nil, url
			requireNoVerifier(t, o, foreign)
		})
	}
	for name, algorithms := range map[string][]string{
		"no algorithm":                  {},
		"HS256":                         {"ES256", "HS256"},
		"HS512":                         {"HS512"},
		"none":                          {"none"},
		"an unknown algorithm":          {"ES256K"},
		"an algorithm that no key fits": {"RS256"},
	} {
		t.Run(name, func(t *testing.T) {
			o, f := ownTrust, foreign
			o.Algorithms = algorithms
			requireNoVerifier(t, o, f)
			f.Algorithms = algorithms
			requireNoVerifier(t, ownTrust, f)
		})
	}
	const access, id, jwt = tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT
	for name, types := range map[string]map[tx.TokenType]string{
		"an empty type":                     {"": "at+jwt"},
		"own jwt":                           {jwt: ""},
		"own access token by JWT":           {access: "JWT"},
		"own access token by JWT, longer":   {access: "application/jwt"},
		"own refresh token by JWT":          {tx.TypeRefreshToken: "jwt"},
		"a type without a usual typ":        {"urn:x": ""},
		"two types of one typ":              {access: "", "urn:x": "AT+jwt"},
		"two types of one typ, usual":       {id: "", "urn:x": "application/JWT"},
		"own access token by a bare prefix": {access: "application/"},
	} {
		t.Run(name, func(t *testing.T) {
			o := ownTrust
			o.Types = types
			requireNoVerifier(t, o, foreign)
		})
	}
	for name, types := range map[string]map[tx.TokenType]string{
		"foreign access token":          {access: ""},
		"foreign refresh token":         {tx.TypeRefreshToken: "rt+jwt"},
		"foreign, two types of one typ": {jwt: "JWT", id: ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := foreign
			f.Types = types
			requireNoVerifier(t, ownTrust, f)
		})
	}
}

func requireNoVerifier(t *testing.T, trusts ...tx.Trust) {
	t.Helper()
	v, err := tx.NewVerifier(trusts...)
	require.Error(t, err)
	require.Nil(t, v)
}

// verify calls a Verifier as the world does for shop.
func verify(t *testing.T, v *tx.Verifier, token string, declared tx.TokenType) (tx.Token, error) {
	t.Helper()
	return v.Verify(context.Background(), tx.Credential{
		Token: token, Type: declared, Issuer: world.Own, Client: tx.Client{ID: "shop"},
		Now: world.Now,
	})
}

// TestR08_AlgorithmsOfAnIssuer verifies with each usual algorithm. Another algorithm needs
// Trust.Algorithms, which must agree with the key.
func TestR08_AlgorithmsOfAnIssuer(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	w := world.New(t)
	for alg, key := range map[string]crypto.Signer{
		"ES256": w.Key, "EdDSA": ed, "RS256": rsaKey, "PS256": rsaKey, "ES384": p384,
	} {
		t.Run(alg, func(t *testing.T) {
			token := world.Sign(t, key, `{"alg":"`+alg+`","typ":"at+jwt"}`, w.AccessClaims())
			trust := w.Trusts[0]
			j, err := tx.NewJWTIssuer(key, "", alg)
			require.NoError(t, err)
			trust.JWKS, err = j.JWKS()
			require.NoError(t, err)
			if v, err := tx.NewVerifier(trust); alg != "ES384" {
				require.NoError(t, err)
				tok, err := verify(t, v, token, tx.TypeAccessToken)
				require.NoError(t, err)
				require.Equal(t, "alice", tok.Subject)
			} else {
				require.Error(t, err, "not a usual algorithm")
			}
			other := map[string]string{
				"ES256": "ES384", "EdDSA": "ES256", "RS256": "PS256", "PS256": "RS256",
				"ES384": "ES256",
			}[alg]
			trust.Algorithms = []string{other}
			_, err = tx.NewVerifier(trust)
			require.Error(t, err, "the key is for %s, the configuration for %s", alg, other)
		})
	}
}

// TestD26_TheVerifierAlone checks dates and client assertions without a policy, which would refuse
// them as well.
func TestD26_TheVerifierAlone(t *testing.T) {
	w := world.New(t)
	w.Trusts = append(w.Trusts, tx.Trust{
		Issuer: "shop", JWKS: world.KeySet(t, w.Key, "shop-1"), Foreign: true,
		Audience: []string{world.Own},
		Types:    map[tx.TokenType]string{world.TypeAssertion: "JWT"},
	})
	v, err := tx.NewVerifier(w.Trusts...)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		patch claims
		good  bool
	}{
		"exp in a second":  {claims{"exp": world.Now.Unix() + 1}, true},
		"exp now":          {claims{"exp": world.Now.Unix()}, false},
		"exp a second ago": {claims{"exp": world.Now.Unix() - 1}, false},
		"nbf in 60 s":      {claims{"nbf": world.Now.Unix() + 60}, true},
		"nbf in 61 s":      {claims{"nbf": world.Now.Unix() + 61}, false},
		"iat in 60 s":      {claims{"iat": world.Now.Unix() + 60}, true},
		"iat in 61 s":      {claims{"iat": world.Now.Unix() + 61}, false},
	} {
		_, err := verify(t, v, w.Access(c.patch), tx.TypeAccessToken)
		require.Equal(t, c.good, err == nil, name)
		_, err = verify(t, v, w.ForeignToken(c.patch), tx.TypeJWT)
		require.Equal(t, c.good, err == nil, "foreign "+name)
		if !c.good {
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
	}
	t.Run("R07 a client assertion", func(t *testing.T) {
		for sub, good := range map[string]bool{"alice": true, "shop": false} {
			token := world.Sign(t, w.Key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`,
				world.Payload(claims{
					"iss": "shop", "sub": sub, "aud": world.Own, "exp": world.Now.Unix() + 60,
				}))
			_, err := verify(t, v, token, tx.TypeJWT)
			require.Equal(t, good, err == nil)
		}
	})
	t.Run("another issuer name than its own", func(t *testing.T) {
		_, err := v.Verify(t.Context(), tx.Credential{
			Token: w.Access(), Type: tx.TypeAccessToken, Issuer: "https://other-name.example",
			Client: tx.Client{ID: "shop"}, Now: world.Now,
		})
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
}

// TestD06_ForeignIssuers checks which claims of another issuer count.
func TestD06_ForeignIssuers(t *testing.T) {
	w := world.New(t)
	v, err := tx.NewVerifier(w.Trusts...)
	require.NoError(t, err)
	t.Run("client_id, azp and scope", func(t *testing.T) {
		token := w.ForeignToken(claims{"azp": "other", "scope": "ext.admin ext.read ext.read"})
		tok, err := verify(t, v, token, tx.TypeJWT)
		require.NoError(t, err)
		require.Empty(t, tok.ClientID)
		require.Equal(t, tx.Scope{"read"}, tok.Scope)
		require.Equal(t, tx.TypeJWT, tok.Type)
	})
	t.Run("scope that is absent or unmapped", func(t *testing.T) {
		tok, err := verify(t, v, w.ForeignToken(claims{"scope": nil}), tx.TypeJWT)
		require.NoError(t, err)
		require.Nil(t, tok.Scope)
		tok, err = verify(t, v, w.ForeignToken(claims{"scope": "read admin"}), tx.TypeJWT)
		require.NoError(t, err)
		require.Empty(t, tok.Scope, "our own scope names mean nothing in their tokens")
	})
	for name, patch := range map[string]claims{
		"act":               {"act": claims{"sub": "x"}},
		"act_as":            {"act_as": claims{"sub": "x"}},
		"may_act":           {"may_act": claims{"sub": "x"}},
		"malformed act":     {"act": "x"},
		"malformed may_act": {"may_act": 1},
		"empty may_act":     {"may_act": claims{}},
	} {
		t.Run("not believed for "+name, func(t *testing.T) {
			_, err := verify(t, v, w.ForeignToken(patch), tx.TypeJWT)
			require.ErrorIs(t, err, tx.InvalidRequest)
			w.Post("gateway", world.Form(w.ForeignToken(patch), tx.TypeJWT)).
				Refused(t, tx.InvalidRequest)
		})
	}
	t.Run("own, not believed", func(t *testing.T) {
		trust := w.Trusts[0]
		trust.ActClaims = false
		v, err := tx.NewVerifier(trust)
		require.NoError(t, err)
		_, err = verify(t, v, w.Access(claims{"act": claims{"sub": "x"}}), tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
	t.Run("believed: an entry without iss gets theirs", func(t *testing.T) {
		w.Trusts[1].ActClaims = true
		w.Configure()
		w.People[world.IDP+" robot"] = tx.Subject{
			Identity: tx.Identity{Issuer: world.IDP, Kind: tx.KindWorkload, ID: "robot"},
		}
		token := w.ForeignToken(claims{"act": claims{"sub": "robot", "x": 1}})
		got := w.Post("gateway", world.Form(token, tx.TypeJWT)).Granted(t)
		act := got["act"].(claims)
		require.Equal(t, world.IDP, act["iss"])
		require.Equal(t, "robot", act["sub"])
		require.Contains(t, act, "x")
	})
	t.Run("a foreign actor keeps its issuer and has no client_id here", func(t *testing.T) {
		robot := w.ForeignToken(claims{"sub": "robot", "client_id": "shop"})
		got := w.Post("shop", world.WithActor(w.AccessForm(nil), robot, tx.TypeJWT)).Granted(t)
		require.Equal(t, claims{"iss": world.IDP, "sub": "robot"}, got["act"])
	})
}

// TestD29_OwnTokensLive checks which tokens Trust.Live is asked about. Its error is the answer.
func TestD29_OwnTokensLive(t *testing.T) {
	w := world.New(t)
	var asked []tx.Token
	answer := error(nil)
	w.Trusts[0].Live = func(_ context.Context, tok tx.Token) error {
		asked = append(asked, tok)
		return answer
	}
	w.Configure()
	w.Post("shop", w.AccessForm(claims{"jti": nil})).Refused(t, tx.InvalidRequest)
	w.Post("shop", world.Form(w.Access(claims{"jti": nil}), tx.TypeJWT)).
		Refused(t, tx.InvalidRequest)
	require.Empty(t, asked, "a token without jti is malformed")
	admin := w.Access(claims{"sub": "admin", "jti": "j-9"})
	f := world.WithActor(world.Form(w.ID(), tx.TypeIDToken), admin, tx.TypeAccessToken)
	w.Post("shop", f).Granted(t)
	require.Len(t, asked, 2)
	require.Contains(t, string(asked[0].Claims), `"sid":"s-1"`, "an ID token has a session")
	require.Equal(t, "j-9", asked[1].ID)
	w.Post("gateway", world.Form(w.ForeignToken(), tx.TypeJWT)).Granted(t)
	require.Len(t, asked, 2)
	for code, err := range map[tx.Code]error{
		tx.InvalidRequest:         fmt.Errorf("%w: revoked", tx.InvalidRequest),
		tx.ServerError:            errors.New("down"),
		tx.TemporarilyUnavailable: world.ErrDeadline,
	} {
		answer = err
		w.Post("shop", w.AccessForm(nil)).Refused(t, code)
		w.Post("shop", w.ByAdmin(world.Form(w.ID(), tx.TypeIDToken))).Refused(t, code)
	}
	n := len(asked)
	forged := world.Sign(t, w.IDPKey, world.AccessHeader, w.AccessClaims())
	w.Post("shop", world.Present(forged)).Refused(t, tx.InvalidRequest)
	require.Len(t, asked, n, "the signature is checked first")
}

// keyServer publishes a JWK set, or fails to.
type keyServer struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	hits   atomic.Int32
}

func newKeyServer(t *testing.T) *keyServer {
	s := &keyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		w.Header().Set("Connection", "close")
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) set(h http.HandlerFunc) { s.answer.Store(&h) }
func (s *keyServer) publish(set []byte) {
	s.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
}
func (s *keyServer) trust(w *world.World) tx.Trust {
	trust := w.Trusts[0]
	trust.JWKS, trust.JWKSURL = nil, s.URL+"/jwks"
	return trust
}

// TestI12_KeySourceThatFails lets the JWKS URL fail. The exchange fails, and the token is not
// called invalid.
func TestI12_KeySourceThatFails(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, answer := range map[string]http.HandlerFunc{
		"500":      status(500),
		"404":      status(404),
		"redirect": http.RedirectHandler("/other", http.StatusFound).ServeHTTP,
		"HTML":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"keys":`)
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 2<<20))
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			w, s := world.New(t), newKeyServer(t)
			s.set(answer)
			w.Trusts = []tx.Trust{s.trust(w)}
			w.Configure()
			forged := world.Sign(t, world.NewKey(t), world.AccessHeader, w.AccessClaims())
			for range 3 {
				w.Post("shop", w.AccessForm(nil)).Refused(t, tx.ServerError)
				w.Post("shop", world.Present(forged)).Refused(t, tx.ServerError)
			}
			require.EqualValues(t, 1, s.hits.Load(), "a failure is remembered for a while")
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		w, s := world.New(t), newKeyServer(t)
		w.Trusts = []tx.Trust{s.trust(w)}
		w.Configure()
		s.Close()
		w.Post("shop", w.AccessForm(nil)).Refused(t, tx.ServerError)
	})
	t.Run("slow", func(t *testing.T) {
		w, s := world.New(t), newKeyServer(t)
		free := make(chan struct{})
		s.set(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-free:
			case <-r.Context().Done():
			}
		})
		defer close(free)
		w.Trusts = []tx.Trust{s.trust(w)}
		w.Configure()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := w.Exchange(ctx, w.Clients["shop"], w.AccessForm(nil))
		require.Equal(t, tx.TemporarilyUnavailable, tx.AsError(err).Code, "the caller's deadline")
		require.Less(t, time.Since(start), 3*time.Second)
		w.Post("shop", w.AccessForm(nil)).Refused(t, tx.TemporarilyUnavailable)
		require.Less(t, time.Since(start), 10*time.Second, "the limit on a fetch")
	})
	t.Run("it recovers", func(t *testing.T) {
		w, s := world.New(t), newKeyServer(t)
		s.publish(world.KeySet(t, w.Key, "own-1"))
		w.Trusts = []tx.Trust{s.trust(w)}
		w.Configure()
		for range 5 {
			w.Post("shop", w.AccessForm(nil)).Granted(t)
		}
		require.EqualValues(t, 1, s.hits.Load())
	})
}

// TestR08_KeyRotation checks that a new key of a JWKS URL is found, and that a key which left the
// set is not trusted after the cache time. The clock is fake, the HTTP requests are real.
func TestR08_KeyRotation(t *testing.T) {
	w, s := world.New(t), newKeyServer(t)
	second := world.NewKey(t)
	v, err := tx.NewVerifier(s.trust(w))
	require.NoError(t, err)
	old := w.Access()
	young := world.Sign(t, second, `{"alg":"ES256","kid":"own-2","typ":"at+jwt"}`, w.AccessClaims())
	s.publish(world.KeySet(t, w.Key, "own-1"))
	synctest.Test(t, func(t *testing.T) {
		_, err := verify(t, v, old, tx.TypeAccessToken)
		require.NoError(t, err)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest)
		s.publish(world.KeySet(t, second, "own-2"))
		time.Sleep(61 * time.Second)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.NoError(t, err, "an unknown kid lets the set be fetched, once a minute")
		_, err = verify(t, v, old, tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest, "the key has left")
		s.publish([]byte(`{"keys":[]}`))
		time.Sleep(16 * time.Minute)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest, "the last key has left")
		s.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		time.Sleep(16 * time.Minute)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.Equal(t, tx.ServerError, tx.AsError(err).Code, "no keys, no verdict")
	})
}

// TestR07_R08_D06_D09_D26_D29_VerifierAlone calls a Verifier without an Exchanger, as an API does.
// It must refuse by itself what the policy would refuse as well.
func TestR07_R08_D06_D09_D26_D29_VerifierAlone(t *testing.T) {
	const in = "https://as.example/in"
	ours, theirs := tokenexchangetest.NewMinter(own), tokenexchangetest.NewMinter(foreign)
	mine := ours.Trust()
	mine.Types[ticket] = "ticket+jwt"
	yours := theirs.ForeignTrust(in)
	yours.Types = map[tx.TokenType]string{tx.TypeJWT: "", ticket: "assertion+jwt"}
	yours.Scopes = map[string]tx.Scope{"ext.read": {"read"}}
	v, err := tx.NewVerifier(mine, yours)
	require.NoError(t, err)
	now := propertyNow.Unix()
	base := func(iss string, changes claims) claims {
		c := claims{
			"iss": iss, "sub": "alice", "aud": in, "jti": "j", "client_id": "shop",
			"iat": now, "exp": now + 60,
		}
		maps.Copy(c, changes)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return c
	}

	type row struct {
		minter   *tokenexchangetest.Minter
		typ      string
		declared tx.TokenType
		claims   claims
		reason   string // empty: accepted
	}
	type m = claims
	access := func(c m, reason string) row {
		return row{ours, "at+jwt", tx.TypeAccessToken, c, reason}
	}
	id := func(c m, reason string) row {
		c["client_id"] = nil
		return row{ours, "JWT", tx.TypeIDToken, c, reason}
	}
	evidence := func(c m, reason string) row { return row{ours, "ticket+jwt", ticket, c, reason} }
	theirJWT := func(c m, reason string) row { return row{theirs, "at+jwt", tx.TypeJWT, c, reason} }
	actor := m{"sub": "bob"}
	for name, c := range map[string]row{
		"good":                     access(nil, ""),
		"good, by prefix and case": {ours, "Application/AT+JWT", tx.TypeAccessToken, nil, ""},
		"a second is left":         access(m{"exp": now + 1}, ""),
		"expires now":              access(m{"exp": now}, "D26"),
		"no exp":                   access(m{"exp": nil}, "R08"),
		"no iat":                   access(m{"iat": nil}, "R08"),
		"a minute from now": access(
			m{"iat": now + 60, "nbf": now + 60, "exp": now + 99}, ""),
		"later, by iat":      access(m{"iat": now + 61, "exp": now + 99}, "D26"),
		"later, by nbf":      access(m{"nbf": now + 61, "exp": now + 99}, "D26"),
		"no sub":             access(m{"sub": nil}, "R08"),
		"no aud":             access(m{"aud": nil}, "R08"),
		"no jti":             access(m{"jti": nil}, "D29"),
		"a security event":   access(m{"events": m{}}, "R08"),
		"a client assertion": access(m{"sub": own}, "R07"),

		"an ID token without jti":        id(m{"jti": nil, "nonce": "n"}, ""),
		"an ID token without its marks":  id(m{}, "R07"),
		"an ID token with scope":         id(m{"scope": "read", "nonce": "n"}, "R07"),
		"an ID token with scp":           id(m{"scp": []string{}, "nonce": "n"}, "R07"),
		"an ID token of another kind":    id(m{"typ": "Bearer", "azp": in}, "R07"),
		"an ID token that says its kind": id(m{"typ": "ID", "azp": in}, ""),
		"an ID token as access token":    {ours, "JWT", tx.TypeAccessToken, nil, "R07"},
		"an access token as ID token":    {ours, "at+jwt", tx.TypeIDToken, nil, "R07"},
		"an unknown typ":                 {ours, "dpop+jwt", tx.TypeJWT, nil, "R07"},
		"an access token as JWT":         {ours, "at+jwt", tx.TypeJWT, nil, ""},

		"a ticket":              evidence(m{"may_act": actor}, ""),
		"a ticket for nobody":   evidence(nil, "D09"),
		"a ticket for a client": evidence(m{"may_act": m{"client_id": "shop"}}, "D09"),

		"foreign":                      theirJWT(m{"scope": "ext.read ext.write"}, ""),
		"foreign as access token":      {theirs, "at+jwt", tx.TypeAccessToken, nil, "R07"},
		"foreign, for somebody else":   theirJWT(m{"aud": "https://else.example"}, "D06"),
		"foreign, for us among others": theirJWT(m{"aud": []string{"x", in}}, ""),
		"foreign, with act":            theirJWT(m{"act": actor}, "D06"),
		"foreign, with may_act":        theirJWT(m{"may_act": actor}, "D06"),
		"foreign, with act_as":         theirJWT(m{"act_as": actor}, "D06"),
		"foreign: both and different":  theirJWT(m{"azp": "other"}, ""),
		"an assertion":                 {theirs, "assertion+jwt", ticket, nil, ""},
		"an assertion for others too": {
			theirs, "assertion+jwt", ticket, m{"aud": []string{in, "x"}}, "D06",
		},

		"theirs, signed by us":         {ours, "at+jwt", tx.TypeJWT, m{"iss": foreign}, "R08"},
		"an issuer that nobody trusts": access(m{"iss": own + "/"}, "R08"),
		"different client_id and azp":  access(m{"azp": "other"}, "R08"),
		"act beside act_as":            access(m{"act": actor, "act_as": actor}, "R08"),
		"act without sub, two levels in": access(
			m{"act": m{"sub": "b", "act": m{"iss": own}}}, "R08"),
	} {
		t.Run(name, func(t *testing.T) {
			iss := own
			if c.minter == theirs {
				iss = foreign
			}
			credential := tx.Credential{
				Token: c.minter.Sign(c.typ, base(iss, c.claims)), Type: c.declared, Issuer: own,
				Client: tx.Client{ID: "shop"}, Now: propertyNow,
			}
			if name == "a client assertion" {
				credential.Client.ID = own // a client with the name of an issuer
			}
			tok, err := v.Verify(context.Background(), credential)
			if c.reason == "" {
				require.NoError(t, err)
				require.NotEmpty(t, tok.ID, "every token has a name")
				if c.minter == theirs {
					require.Empty(t, tok.ClientID, "D06")
				}
				if c.claims["scope"] != nil {
					require.Equal(t, tx.Scope{"read"}, tok.Scope, "D22")
				} else {
					require.Empty(t, tok.Scope)
				}
				return
			}
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Contains(t, err.Error(), c.reason)
			require.Equal(t, tx.Token{}, tok)
		})
	}

	good := tx.Credential{
		Token: ours.Sign("at+jwt", base(own, nil)), Type: tx.TypeAccessToken, Issuer: own,
		Now: propertyNow,
	}
	t.Run("R08 another name of ours", func(t *testing.T) {
		elsewhere := good
		elsewhere.Issuer = "https://tenant2.example"
		_, err := v.Verify(context.Background(), elsewhere)
		require.ErrorContains(t, err, "issuer_mismatch")
	})
	t.Run("D07 not live any more", func(t *testing.T) {
		for _, answer := range []error{tx.InvalidRequest, errors.New("the store is down")} {
			mine.Live = func(context.Context, tx.Token) error { return answer }
			v, err := tx.NewVerifier(mine)
			require.NoError(t, err)
			_, err = v.Verify(context.Background(), good)
			require.ErrorIs(t, err, answer)
			refused := tx.AsError(err).Code == tx.InvalidRequest
			require.Equal(t, errors.Is(answer, tx.InvalidRequest), refused)
		}
	})
}

// verifyForeign verifies claims that another issuer has signed, under a Trust that a test has
// changed.
func verifyForeign(
	t *testing.T, change func(*tx.Trust), typ string, declared tx.TokenType, extra claims,
) (tx.Token, error) {
	t.Helper()
	m := tokenexchangetest.NewMinter(foreign)
	trust := m.ForeignTrust(own)
	trust.Scopes = map[string]tx.Scope{"ext.read": {"read"}, "ext.write": {"write"}}
	if change != nil {
		change(&trust)
	}
	v, err := tx.NewVerifier(trust)
	require.NoError(t, err)
	c := claims{
		"iss": foreign, "sub": "ext", "aud": own,
		"iat": propertyNow.Unix(), "exp": propertyNow.Add(time.Minute).Unix(),
	}
	maps.Copy(c, extra)
	return v.Verify(context.Background(), tx.Credential{
		Token: m.Sign(typ, c), Type: declared, Issuer: own, Client: tx.Client{ID: "shop"},
		Now: propertyNow,
	})
}

// TestVerifier_ForeignScope checks how a foreign scope is mapped. A scope that cannot be read is an
// empty scope, and not an absent one: without a scope, an assertion would have all of
// Subject.Scope.
func TestVerifier_ForeignScope(t *testing.T) {
	type m = claims
	for name, row := range map[string]struct {
		claims m
		want   tx.Scope
	}{
		"absent":           {nil, nil},
		"mapped":           {m{"scope": "ext.read else"}, tx.Scope{"read"}},
		"unmapped":         {m{"scope": "read"}, tx.Scope{}},
		"empty":            {m{"scope": ""}, tx.Scope{}},
		"an array":         {m{"scope": []string{"ext.read"}}, tx.Scope{}},
		"a number":         {m{"scope": 7}, tx.Scope{}},
		"null":             {m{"scope": json.RawMessage("null")}, tx.Scope{}},
		"a trailing blank": {m{"scope": "ext.read "}, tx.Scope{}},
		"two blanks":       {m{"scope": "ext.read  ext.write"}, tx.Scope{}},
		"not ASCII":        {m{"scope": "ext.read é"}, tx.Scope{}},
		"scp as a string":  {m{"scp": "ext.read"}, tx.Scope{"read"}},
		"scp as an array": {
			m{"scp": []string{"ext.write", "ext.read"}}, tx.Scope{"write", "read"},
		},
		"scp unmapped":                {m{"scp": "else"}, tx.Scope{}},
		"scp as an empty array":       {m{"scp": []string{}}, tx.Scope{}},
		"scp unreadable":              {m{"scp": m{"ext.read": true}}, tx.Scope{}},
		"scp with a blank inside":     {m{"scp": []string{"ext.read ext.write"}}, tx.Scope{}},
		"scope unreadable beside scp": {m{"scope": 7, "scp": "ext.read"}, tx.Scope{}},
		"scope counts, not scp": {
			m{"scope": "ext.read", "scp": "ext.write"}, tx.Scope{"read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for typ, kind := range map[string]tx.TokenType{
				"at+jwt": tx.TypeJWT, "assertion+jwt": assertion,
			} {
				configure := func(trust *tx.Trust) { trust.Types[assertion] = "assertion+jwt" }
				tok, err := verifyForeign(t, configure, typ, kind, row.claims)
				require.NoError(t, err)
				require.Equal(t, row.want, tok.Scope, kind)
			}
			withNonce := m{"nonce": "n"}
			maps.Copy(withNonce, row.claims)
			_, err := verifyForeign(t, nil, "JWT", tx.TypeIDToken, withNonce)
			require.Equal(t, row.claims != nil, err != nil,
				"an ID token has neither scope nor scp: %v", err)
		})
	}
}

// TestVerifier_KindsWithOneTyp checks how an ID token is recognized if its issuer writes the typ
// JWT into every token: an ID token must have a claim that other tokens do not have.
func TestVerifier_KindsWithOneTyp(t *testing.T) {
	type m = claims
	onlyJWT := func(trust *tx.Trust) { trust.Types = map[tx.TokenType]string{tx.TypeJWT: "JWT"} }
	onlyID := func(trust *tx.Trust) { trust.Types = map[tx.TokenType]string{tx.TypeIDToken: "JWT"} }
	ownTyp := func(trust *tx.Trust) {
		trust.Types = map[tx.TokenType]string{tx.TypeIDToken: "id+jwt"}
	}
	for name, row := range map[string]struct {
		claims    m
		isID, jwt bool // accepted as an ID token, accepted as a JWT
	}{
		"nothing": {nil, false, true},
		"nonce":   {m{"nonce": "n"}, true, false},
		"at_hash": {m{"at_hash": "h"}, true, false},
		"c_hash":  {m{"c_hash": "h"}, true, false},
		"s_hash":  {m{"s_hash": "h"}, true, false},
		"azp and auth_time": {
			m{"azp": "theirs", "auth_time": propertyNow.Unix()}, false, true,
		},
		"typ ID":                      {m{"typ": "ID"}, true, false},
		"token_use id":                {m{"token_use": "id"}, true, false},
		"typ Bearer, with a nonce":    {m{"typ": "Bearer", "nonce": "n"}, false, true},
		"token_use access":            {m{"token_use": "access"}, false, true},
		"typ JWT in the claims too":   {m{"typ": "JWT", "nonce": "n"}, true, false},
		"typ JWT and nothing besides": {m{"typ": "JWT"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, typ := range []string{"JWT", "", "application/jwt"} {
				_, err := verifyForeign(t, onlyID, typ, tx.TypeIDToken, row.claims)
				require.Equal(t, row.isID, err == nil, "as an ID token: %v", err)
				_, err = verifyForeign(t, onlyID, typ, tx.TypeJWT, row.claims)
				require.Equal(t, row.isID, err == nil, "found to be an ID token: %v", err)
				_, err = verifyForeign(t, onlyJWT, typ, tx.TypeJWT, row.claims)
				require.Equal(t, row.jwt, err == nil, "as a JWT: %v", err)
			}
		})
	}
	_, err := verifyForeign(t, ownTyp, "id+jwt", tx.TypeIDToken, nil)
	require.NoError(t, err, "a typ of ID tokens alone is enough")
}

// TestVerifier_ForeignLogin checks that auth_time, acr and amr of another issuer count only if the
// Trust maps them.
func TestVerifier_ForeignLogin(t *testing.T) {
	login := claims{
		"auth_time": propertyNow.Add(-time.Hour).Unix(), "acr": "gold",
		"amr": []string{"pwd", "otp"},
	}
	check := func(set func(*tx.Trust), authTime bool, acr string, amr []string) {
		t.Helper()
		tok, err := verifyForeign(t, set, "at+jwt", tx.TypeJWT, login)
		require.NoError(t, err)
		require.Equal(t, authTime, !tok.AuthTime.IsZero())
		require.Equal(t, acr, tok.ACR)
		require.Equal(t, amr, tok.AMR)
	}
	check(nil, false, "", nil)
	check(func(trust *tx.Trust) { trust.AuthTime = true }, true, "", nil)
	check(func(trust *tx.Trust) {
		trust.ACR = map[string]string{"gold": "2"}
		trust.AMR = map[string]string{"otp": "mfa", "x": "y"}
	}, false, "2", []string{"mfa"})
}

// TestVerifier_ForeignBeginning checks which claim of a foreign token is the login that its lineage
// begins with.
func TestVerifier_ForeignBeginning(t *testing.T) {
	login := propertyNow.Add(-time.Hour)
	for name, row := range map[string]struct {
		typ      string
		kind     tx.TokenType
		believed bool
		want     time.Time
	}{
		"an access token":               {"at+jwt", tx.TypeJWT, false, login},
		"an access token, believed":     {"at+jwt", tx.TypeJWT, true, login},
		"an assertion is no login":      {"assertion+jwt", assertion, false, time.Time{}},
		"an assertion that is believed": {"assertion+jwt", assertion, true, login},
	} {
		configure := func(trust *tx.Trust) {
			trust.Types[assertion], trust.AuthTime = "assertion+jwt", row.believed
		}
		loggedIn := claims{"auth_time": login.Unix()}
		tok, err := verifyForeign(t, configure, row.typ, row.kind, loggedIn)
		require.NoError(t, err, name)
		require.True(t, row.want.Equal(tok.Begun()), "%s: %s", name, tok.Begun())
	}
	tok, err := verifyForeign(t, nil, "at+jwt", tx.TypeJWT, nil)
	require.NoError(t, err)
	require.True(t, propertyNow.Equal(tok.Begun()), "without auth_time, iat")
}

// TestVerifier_ClientsWord checks that only the subject counts of a token which a client has
// signed.
func TestVerifier_ClientsWord(t *testing.T) {
	asClient := func(trust *tx.Trust) {
		trust.Client, trust.Scopes = true, nil
		trust.Types = map[tx.TokenType]string{assertion: "JWT"}
	}
	tok, err := verifyForeign(t, asClient, "JWT", tx.TypeJWT, claims{
		"scope": "read", "acr": "gold", "amr": []string{"pwd"}, "auth_time": propertyNow.Unix(),
	})
	require.NoError(t, err)
	require.True(t, tok.ByClient)
	require.Nil(t, tok.Scope)
	require.Zero(t, tok.AuthTime)
	require.Empty(t, tok.ACR)
	require.Empty(t, tok.AMR)
	require.Zero(t, tok.Begun(), "a client knows of no login")

	m := tokenexchangetest.NewMinter(own)
	for name, change := range map[string]func(*tx.Trust){
		"own":            func(trust *tx.Trust) { *trust = m.Trust(); trust.Client = true },
		"with auth_time": func(trust *tx.Trust) { trust.AuthTime = true },
		"with acr":       func(trust *tx.Trust) { trust.ACR = map[string]string{} },
		"with amr":       func(trust *tx.Trust) { trust.AMR = map[string]string{} },
		"with act":       func(trust *tx.Trust) { trust.ActClaims = true },
		"with scopes":    func(trust *tx.Trust) { trust.Scopes = map[string]tx.Scope{} },
		"an own ticket with the typ of access tokens": func(trust *tx.Trust) {
			*trust = m.Trust()
			trust.Types = map[tx.TokenType]string{assertion: "application/AT+JWT"}
		},
		"own auth_time": func(trust *tx.Trust) { *trust = m.Trust(); trust.AuthTime = true },
		"own acr": func(trust *tx.Trust) {
			*trust = m.Trust()
			trust.ACR = map[string]string{}
		},
		"own amr": func(trust *tx.Trust) {
			*trust = m.Trust()
			trust.AMR = map[string]string{}
		},
	} {
		trust := m.ForeignTrust(own)
		trust.Client = strings.HasPrefix(name, "with ")
		change(&trust)
		_, err := tx.NewVerifier(trust)
		require.Error(t, err, name)
	}
}

// FuzzVerifier signs any header and payload, and presents any bytes in place of a token. A Token is
// returned only if it could be a token of the issuer and has not expired.
func FuzzVerifier(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	v, err := tx.NewVerifier(tx.Trust{
		Issuer: own, JWKS: world.KeySet(f, key, "k"), ActClaims: true, Live: alive,
		Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: ""},
	})
	require.NoError(f, err)
	for _, claims := range claimSeeds {
		f.Add([]byte(`{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`), []byte(claims), "")
		f.Add([]byte(`{"alg":"EdDSA","kid":"k"}`), []byte(claims), "")
	}
	f.Add([]byte(`{"alg":"none"}`), []byte(`{}`), "a.b.c")
	f.Fuzz(func(t *testing.T, header, payload []byte, raw string) {
		c := tx.Credential{
			Token: world.Sign(t, key, string(header), payload), Type: tx.TypeJWT, Issuer: own,
			Client: tx.Client{ID: "c"}, Now: propertyNow,
		}
		tok, err := v.Verify(context.Background(), c)
		if err == nil {
			require.Contains(t, []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken}, tok.Type)
			require.Equal(t, own, tok.Issuer)
			require.NotEmpty(t, tok.Subject)
			require.NotEmpty(t, tok.Audience)
			require.True(t, tok.Expires.After(propertyNow))
			require.False(t, tok.Issued.After(propertyNow.Add(time.Minute)))
			require.True(t, tok.Type == tx.TypeIDToken || tok.ID != "", "D29")
		} else {
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Equal(t, tx.Token{}, tok)
		}
		c.Token = raw
		tok, err = v.Verify(context.Background(), c)
		if strings.Count(raw, ".") != 2 {
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Equal(t, tx.Token{}, tok)
		}
	})
}
