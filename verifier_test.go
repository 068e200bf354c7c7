package tokenexchange_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func alive(context.Context, tx.Token) error { return nil }

func TestNewVerifier_ConstructionErrors(t *testing.T) {
	key := newKey(t)
	set := keySet(t, key, "k")
	ownTrust := tx.Trust{Issuer: ownIss, JWKS: set, Live: alive, Types: map[tx.TokenType]string{tx.TypeAccessToken: ""}}
	foreign := tx.Trust{Issuer: idpIss, JWKS: set, Foreign: true, Audience: []string{ownIss}, Types: map[tx.TokenType]string{tx.TypeJWT: ""}}
	for _, good := range [][]tx.Trust{{}, {ownTrust}, {foreign}, {ownTrust, foreign}} {
		v, err := tx.NewVerifier(good...)
		require.NoError(t, err)
		require.NotNil(t, v)
	}
	types := func(pairs ...string) map[tx.TokenType]string {
		m := map[tx.TokenType]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[tx.TokenType(pairs[i])] = pairs[i+1]
		}
		return m
	}
	access, id, jwt := string(tx.TypeAccessToken), string(tx.TypeIDToken), string(tx.TypeJWT)
	for name, change := range map[string]func(own, foreign *tx.Trust){
		"no issuer":                 func(o, _ *tx.Trust) { o.Issuer = "" },
		"an issuer twice":           func(o, f *tx.Trust) { f.Issuer = o.Issuer },
		"own without liveness":      func(o, _ *tx.Trust) { o.Live = nil },
		"own with audience":         func(o, _ *tx.Trust) { o.Audience = []string{api} },
		"own with scopes":           func(o, _ *tx.Trust) { o.Scopes = map[string]tx.Scope{} },
		"foreign without audience":  func(_, f *tx.Trust) { f.Audience = nil },
		"foreign with none":         func(_, f *tx.Trust) { f.Audience = []string{} },
		"foreign with an empty one": func(_, f *tx.Trust) { f.Audience = []string{ownIss, ""} },
		"foreign with liveness":     func(_, f *tx.Trust) { f.Live = alive },
		"no keys":                   func(o, _ *tx.Trust) { o.JWKS = nil },
		"keys and a URL":            func(o, _ *tx.Trust) { o.JWKSURL = "https://as.example/jwks" },
		"an empty set":              func(o, _ *tx.Trust) { o.JWKS = []byte(`{"keys":[]}`) },
		"no set":                    func(o, _ *tx.Trust) { o.JWKS = []byte(`[]`) },
		"no JSON":                   func(o, _ *tx.Trust) { o.JWKS = []byte(`{`) },
		"a symmetric key":           func(o, _ *tx.Trust) { o.JWKS = []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`) },
		"a private key": func(o, _ *tx.Trust) {
			o.JWKS = []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`)
		},
		"http":                              func(o, _ *tx.Trust) { o.JWKS, o.JWKSURL = nil, "http://as.example/jwks" },
		"a file":                            func(o, _ *tx.Trust) { o.JWKS, o.JWKSURL = nil, "file:///etc/passwd" },
		"a URL with password":               func(o, _ *tx.Trust) { o.JWKS, o.JWKSURL = nil, "https://u:p@as.example/jwks" },
		"a relative URL":                    func(o, _ *tx.Trust) { o.JWKS, o.JWKSURL = nil, "/jwks" },
		"loopback look-alike":               func(o, _ *tx.Trust) { o.JWKS, o.JWKSURL = nil, "http://127.0.0.1.example/jwks" },
		"no algorithm":                      func(o, _ *tx.Trust) { o.Algorithms = []string{} },
		"HS256":                             func(o, _ *tx.Trust) { o.Algorithms = []string{"ES256", "HS256"} },
		"none":                              func(o, _ *tx.Trust) { o.Algorithms = []string{"none"} },
		"an unknown algorithm":              func(o, _ *tx.Trust) { o.Algorithms = []string{"ES256K"} },
		"an algorithm that no key fits":     func(o, _ *tx.Trust) { o.Algorithms = []string{"RS256"} },
		"foreign HS256":                     func(_, f *tx.Trust) { f.Algorithms = []string{"HS512"} },
		"no types":                          func(o, _ *tx.Trust) { o.Types = nil },
		"an empty type":                     func(o, _ *tx.Trust) { o.Types = types("", "at+jwt") },
		"foreign access token":              func(_, f *tx.Trust) { f.Types = types(access, "") },
		"foreign refresh token":             func(_, f *tx.Trust) { f.Types = types(string(tx.TypeRefreshToken), "rt+jwt") },
		"own jwt":                           func(o, _ *tx.Trust) { o.Types = types(jwt, "") },
		"own access token by JWT":           func(o, _ *tx.Trust) { o.Types = types(access, "JWT") },
		"own access token by JWT, longer":   func(o, _ *tx.Trust) { o.Types = types(access, "application/jwt") },
		"own refresh token by JWT":          func(o, _ *tx.Trust) { o.Types = types(string(tx.TypeRefreshToken), "jwt") },
		"a type without a usual typ":        func(o, _ *tx.Trust) { o.Types = types("urn:x", "") },
		"two types of one typ":              func(o, _ *tx.Trust) { o.Types = types(access, "", "urn:x", "AT+jwt") },
		"two types of one typ, usual":       func(o, _ *tx.Trust) { o.Types = types(id, "", "urn:x", "application/JWT") },
		"foreign, two types of one typ":     func(_, f *tx.Trust) { f.Types = types(jwt, "JWT", id, "") },
		"own access token by a bare prefix": func(o, _ *tx.Trust) { o.Types = types(access, "application/") },
	} {
		t.Run(name, func(t *testing.T) {
			o, f := ownTrust, foreign
			change(&o, &f)
			v, err := tx.NewVerifier(o, f)
			require.Error(t, err)
			require.Nil(t, v)
		})
	}
}

// verify asks without HTTP.
func verify(t *testing.T, v *tx.Verifier, token string, declared tx.TokenType) (tx.Token, error) {
	t.Helper()
	return v.Verify(context.Background(), tx.Credential{Token: token, Type: declared, Issuer: ownIss, Client: tx.Client{ID: "shop"}, Now: at})
}

func TestR08_AlgorithmsOfAnIssuer(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	w := newWorld(t)
	for alg, key := range map[string]crypto.Signer{"ES256": w.key, "EdDSA": ed, "RS256": rsaKey, "PS256": rsaKey, "ES384": p384} {
		t.Run(alg, func(t *testing.T) {
			token := sign(t, key, `{"alg":"`+alg+`","typ":"at+jwt"}`, w.accessClaims(nil))
			trust := w.trusts[0]
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
				require.Error(t, err, "not among the usual ones")
			}
			other := map[string]string{"ES256": "ES384", "EdDSA": "ES256", "RS256": "PS256", "PS256": "RS256", "ES384": "ES256"}[alg]
			trust.Algorithms = []string{other}
			_, err = tx.NewVerifier(trust)
			require.Error(t, err, "the key says %s, the configuration %s", alg, other)
		})
	}
}

// The Verifier alone, without a policy behind it that would refuse the same.
func TestD26_TheVerifierAlone(t *testing.T) {
	w := newWorld(t)
	w.trusts = append(w.trusts, tx.Trust{Issuer: "shop", JWKS: keySet(t, w.key, "shop-1"), Foreign: true, Audience: []string{ownIss}, Types: map[tx.TokenType]string{typeAssertion: "JWT"}})
	v, err := tx.NewVerifier(w.trusts...)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		patch claims
		good  bool
	}{
		"exp in a second": {claims{"exp": at.Unix() + 1}, true}, "exp now": {claims{"exp": at.Unix()}, false}, "exp a second ago": {claims{"exp": at.Unix() - 1}, false},
		"nbf in 60 s": {claims{"nbf": at.Unix() + 60}, true}, "nbf in 61 s": {claims{"nbf": at.Unix() + 61}, false}, "iat in 60 s": {claims{"iat": at.Unix() + 60}, true}, "iat in 61 s": {claims{"iat": at.Unix() + 61}, false},
	} {
		_, err := verify(t, v, w.access(c.patch), tx.TypeAccessToken)
		require.Equal(t, c.good, err == nil, name)
		_, err = verify(t, v, w.foreignToken(c.patch), tx.TypeJWT)
		require.Equal(t, c.good, err == nil, "foreign "+name)
		if !c.good {
			require.ErrorIs(t, err, tx.InvalidRequest)
		}
	}
	t.Run("R07 a client assertion", func(t *testing.T) {
		for sub, good := range map[string]bool{"alice": true, "shop": false} {
			_, err := verify(t, v, sign(t, w.key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`, payload(claims{"iss": "shop", "sub": sub, "aud": ownIss, "exp": at.Unix() + 60})), tx.TypeJWT)
			require.Equal(t, good, err == nil)
		}
	})
	t.Run("another issuer name than its own", func(t *testing.T) {
		_, err := v.Verify(t.Context(), tx.Credential{Token: w.access(nil), Type: tx.TypeAccessToken, Issuer: "https://other-name.example", Client: tx.Client{ID: "shop"}, Now: at})
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
}

func TestD06_ForeignIssuers(t *testing.T) {
	w := newWorld(t)
	v, err := tx.NewVerifier(w.trusts...)
	require.NoError(t, err)
	t.Run("client_id, azp and scope", func(t *testing.T) {
		tok, err := verify(t, v, w.foreignToken(claims{"azp": "other", "scope": "ext.admin ext.read ext.read"}), tx.TypeJWT)
		require.NoError(t, err)
		require.Empty(t, tok.ClientID)
		require.Equal(t, tx.Scope{"read"}, tok.Scope)
		require.Equal(t, tx.TypeJWT, tok.Type)
	})
	t.Run("scope that is absent or unmapped", func(t *testing.T) {
		tok, err := verify(t, v, w.foreignToken(claims{"scope": nil}), tx.TypeJWT)
		require.NoError(t, err)
		require.Nil(t, tok.Scope)
		tok, err = verify(t, v, w.foreignToken(claims{"scope": "read admin"}), tx.TypeJWT)
		require.NoError(t, err)
		require.Empty(t, tok.Scope, "our own scope names mean nothing in their tokens")
	})
	for name, patch := range map[string]claims{"act": {"act": claims{"sub": "x"}}, "act_as": {"act_as": claims{"sub": "x"}}, "may_act": {"may_act": claims{"sub": "x"}}, "malformed act": {"act": "x"}, "malformed may_act": {"may_act": 1}, "empty may_act": {"may_act": claims{}}} {
		t.Run("not believed for "+name, func(t *testing.T) {
			_, err := verify(t, v, w.foreignToken(patch), tx.TypeJWT)
			require.ErrorIs(t, err, tx.InvalidRequest)
			w.post("gateway", form(w.foreignToken(patch), tx.TypeJWT)).refused(t, tx.InvalidRequest)
		})
	}
	t.Run("own, not believed", func(t *testing.T) {
		trust := w.trusts[0]
		trust.ActClaims = false
		v, err := tx.NewVerifier(trust)
		require.NoError(t, err)
		_, err = verify(t, v, w.access(claims{"act": claims{"sub": "x"}}), tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest)
	})
	t.Run("believed: an entry without iss gets theirs", func(t *testing.T) {
		w.trusts[1].ActClaims = true
		w.configure()
		w.people[idpIss+" robot"] = tx.Subject{Identity: tx.Identity{Issuer: idpIss, Kind: tx.KindWorkload, ID: "robot"}}
		says := w.post("gateway", form(w.foreignToken(claims{"act": claims{"sub": "robot", "x": 1}}), tx.TypeJWT)).granted(t)
		act := says["act"].(map[string]any)
		require.Equal(t, idpIss, act["iss"])
		require.Equal(t, "robot", act["sub"])
		require.Contains(t, act, "x")
	})
	t.Run("a foreign actor keeps its issuer and has no client_id here", func(t *testing.T) {
		says := w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.foreignToken(claims{"sub": "robot", "client_id": "shop"}), tx.TypeJWT)).granted(t)
		require.Equal(t, map[string]any{"iss": idpIss, "sub": "robot"}, says["act"])
	})
}

func TestD29_OwnTokensLive(t *testing.T) {
	w := newWorld(t)
	var asked []tx.Token
	answer := error(nil)
	w.trusts[0].Live = func(_ context.Context, tok tx.Token) error { asked = append(asked, tok); return answer }
	w.configure()
	w.post("shop", form(w.access(claims{"jti": nil}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
	w.post("shop", form(w.access(claims{"jti": nil}), tx.TypeJWT)).refused(t, tx.InvalidRequest)
	require.Empty(t, asked, "what is no token is nobody's to look up")
	w.post("shop", withActor(form(w.id(nil), tx.TypeIDToken), w.access(claims{"sub": "admin", "jti": "j-9"}), tx.TypeAccessToken)).granted(t)
	require.Len(t, asked, 2)
	require.Contains(t, string(asked[0].Claims), `"sid":"s-1"`, "an ID token lives as its session")
	require.Equal(t, "j-9", asked[1].ID)
	w.post("gateway", form(w.foreignToken(nil), tx.TypeJWT)).granted(t)
	require.Len(t, asked, 2)
	for code, err := range map[tx.Code]error{tx.InvalidRequest: fmt.Errorf("%w: revoked", tx.InvalidRequest), tx.ServerError: errors.New("down"), tx.TemporarilyUnavailable: deadline()} {
		answer = err
		w.post("shop", form(w.access(nil), tx.TypeAccessToken)).refused(t, code)
		w.post("shop", withActor(form(w.id(nil), tx.TypeIDToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)).refused(t, code)
	}
	n := len(asked)
	w.post("shop", form(sign(t, w.idpKey, goodHeader, w.accessClaims(nil)), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
	require.Len(t, asked, n, "nothing is looked up for a signature that is wrong")
}

// keyServer publishes what it is told to.
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
func (s *keyServer) trust(w *world) tx.Trust {
	trust := w.trusts[0]
	trust.JWKS, trust.JWKSURL = nil, s.URL+"/jwks"
	return trust
}

func TestI12_KeySourceThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   tx.Code
	}{
		"500":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, tx.ServerError},
		"404":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, tx.ServerError},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, tx.ServerError},
		"HTML":     {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, tx.ServerError},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"keys":`)
		}, tx.ServerError},
		"too long": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) }, tx.ServerError},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, tx.ServerError},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := newWorld(t), newKeyServer(t)
			s.set(c.answer)
			w.trusts = []tx.Trust{s.trust(w)}
			w.configure()
			for range 3 {
				w.post("shop", form(w.access(nil), tx.TypeAccessToken)).refused(t, c.code)
				w.post("shop", form(sign(t, newKey(t), goodHeader, w.accessClaims(nil)), tx.TypeAccessToken)).refused(t, c.code)
			}
			require.EqualValues(t, 1, s.hits.Load(), "a failure is remembered for a while")
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		w, s := newWorld(t), newKeyServer(t)
		w.trusts = []tx.Trust{s.trust(w)}
		w.configure()
		s.Close()
		w.post("shop", form(w.access(nil), tx.TypeAccessToken)).refused(t, tx.ServerError)
	})
	t.Run("slow", func(t *testing.T) {
		w, s := newWorld(t), newKeyServer(t)
		free := make(chan struct{})
		s.set(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-free:
			case <-r.Context().Done():
			}
		})
		defer close(free)
		w.trusts = []tx.Trust{s.trust(w)}
		w.configure()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := w.Exchange(ctx, w.clients["shop"], form(w.access(nil), tx.TypeAccessToken))
		require.Equal(t, tx.TemporarilyUnavailable, tx.AsError(err).Code, "the caller's deadline")
		require.Less(t, time.Since(start), 3*time.Second)
		w.post("shop", form(w.access(nil), tx.TypeAccessToken)).refused(t, tx.TemporarilyUnavailable)
		require.Less(t, time.Since(start), 10*time.Second, "the source's own limit")
	})
	t.Run("it recovers", func(t *testing.T) {
		w, s := newWorld(t), newKeyServer(t)
		s.publish(keySet(t, w.key, "own-1"))
		w.trusts = []tx.Trust{s.trust(w)}
		w.configure()
		for range 5 {
			w.post("shop", form(w.access(nil), tx.TypeAccessToken)).granted(t)
		}
		require.EqualValues(t, 1, s.hits.Load())
	})
}

// A key that left the published set is untrusted within the cache time, and a new one is found. The clock is a fake one;
// the way to the keys is real.
func TestR08_KeyRotation(t *testing.T) {
	w, s := newWorld(t), newKeyServer(t)
	second := newKey(t)
	v, err := tx.NewVerifier(s.trust(w))
	require.NoError(t, err)
	old := w.access(nil)
	young := sign(t, second, `{"alg":"ES256","kid":"own-2","typ":"at+jwt"}`, w.accessClaims(nil))
	s.publish(keySet(t, w.key, "own-1"))
	synctest.Test(t, func(t *testing.T) {
		_, err := verify(t, v, old, tx.TypeAccessToken)
		require.NoError(t, err)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.ErrorIs(t, err, tx.InvalidRequest)
		s.publish(keySet(t, second, "own-2"))
		time.Sleep(61 * time.Second)
		_, err = verify(t, v, young, tx.TypeAccessToken)
		require.NoError(t, err, "an unknown kid has the set fetched, once a minute")
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
