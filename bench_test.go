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
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// benchAlgorithms are the schemes that are measured, with keys made for this run.
func benchAlgorithms(b testing.TB) map[string]crypto.Signer {
	b.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(b, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	return map[string]crypto.Signer{"ES256": ec, "EdDSA": ed, "RS256": rs}
}

// BenchmarkExchange is one exchange through the handler: a JWT access token of two audiences and one actor is verified,
// decided on, and a narrower one signed, recorded and written. Divide by BenchmarkFloor of the same run.
func BenchmarkExchange(b *testing.B) {
	for alg, key := range benchAlgorithms(b) {
		b.Run(alg, func(b *testing.B) {
			handler, body := benchServer(b, key, alg)
			b.ReportAllocs()
			for b.Loop() {
				exchangeOnce(b, handler, body)
			}
		})
	}
}

func exchangeOnce(b testing.TB, handler http.Handler, body string) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatal(w.Body)
	}
}

// TestExchange_Allocations notices when the allocations of a whole exchange grow by a third. Those of
// the request and the recorder are included.
func TestExchange_Allocations(t *testing.T) {
	most := map[string]float64{"ES256": 250, "EdDSA": 155, "RS256": 165}
	for alg, key := range benchAlgorithms(t) {
		handler, body := benchServer(t, key, alg)
		got := testing.AllocsPerRun(100, func() { exchangeOnce(t, handler, body) })
		assert.LessOrEqual(t, got, most[alg], alg)
	}
}

// BenchmarkFloor is the bare cryptography of one exchange: one signature checked and one made, by the standard library.
func BenchmarkFloor(b *testing.B) {
	message := []byte(strings.Repeat("x", 600))
	digest := sha256.Sum256(message)
	for alg, key := range benchAlgorithms(b) {
		verify := map[string]func(signature []byte) bool{
			"ES256": func(s []byte) bool { return ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], s) },
			"EdDSA": func(s []byte) bool { return ed25519.Verify(key.Public().(ed25519.PublicKey), message, s) },
			"RS256": func(s []byte) bool {
				return rsa.VerifyPKCS1v15(key.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], s) == nil
			},
		}[alg]
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				signed, hash := digest[:], crypto.Hash(crypto.SHA256)
				if alg == "EdDSA" {
					signed, hash = message, 0
				}
				signature, err := key.Sign(rand.Reader, signed, hash)
				if err != nil || !verify(signature) {
					b.Fatal("signature", err)
				}
			}
		})
	}
}

type benchHost struct{}

func (benchHost) ResolveSubject(_ context.Context, t tx.Token) (tx.Subject, error) {
	return tx.Subject{Identity: tx.Identity{Issuer: t.Issuer, Kind: tx.KindUser, ID: t.Subject}}, nil
}

func (benchHost) AuthorizeActor(context.Context, tx.Facts) error { return nil }

func (benchHost) RecordExchange(context.Context, tx.Event) error { return nil }

func benchServer(b testing.TB, key crypto.Signer, alg string) (http.Handler, string) {
	b.Helper()
	issuer := &tx.JWTIssuer{Key: key, KeyID: "k1", Algorithm: alg}
	jwks, err := issuer.JWKS()
	require.NoError(b, err)
	verifier, err := tx.NewVerifier(tx.Trust{
		Issuer: own, JWKS: jwks, Actors: true, Live: func(context.Context, tx.Token) error { return nil },
		Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: ""},
	})
	require.NoError(b, err)
	policy, err := tx.NewPolicy(tx.Rule{
		Name: "smaller", Mode: tx.Narrow, Clients: []string{"backend"}, Subjects: []tx.Identity{{Kind: tx.KindUser, ID: "*"}},
		SubjectTypes: []tx.TokenType{tx.TypeAccessToken}, Types: []tx.TokenType{tx.TypeAccessToken},
		Targets: []string{"https://api.example", "https://mail.example"}, Scope: tx.Scope{"*"}, Lifetime: 5 * time.Minute,
	})
	require.NoError(b, err)
	x := &tx.Exchanger{Issuer: own, Verify: tx.Verifiers{tx.TypeAccessToken: verifier.Verify}, Subjects: benchHost{}, Decide: policy.Decide,
		Actors: benchHost{}, Tokens: issuer, Audit: benchHost{}}
	signer, err := jose.NewSigner(key, "k1", alg)
	require.NoError(b, err)
	now := time.Now().Unix()
	token, err := signer.Sign("at+jwt", fmt.Appendf(nil, `{"iss":%q,"sub":"alice","aud":["https://api.example","https://mail.example"],"exp":%d,`+
		`"iat":%d,"jti":"0123456789abcdef","client_id":"backend","scope":"read write","act":{"iss":%q,"sub":"agent","client_id":"agents"}}`,
		own, now+3600, now, own))
	require.NoError(b, err)
	handler := x.Handler(func(*http.Request) (tx.Client, error) {
		return tx.Client{ID: "backend", Scope: tx.Scope{"read", "write"}}, nil
	})
	form := tx.Request{SubjectToken: token, SubjectTokenType: tx.TypeAccessToken, Audience: []string{"https://api.example"}, Scope: tx.Scope{"read"}}
	return handler, form.Values().Encode()
}
