package zitadelexchange_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	zitadelexchange "github.com/go-tokenexchange/tokenexchange/adapters/zitadeloidc"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// TestI04_D25_StorageIgnoresExpiry checks a storage that ignores Request.Decision. An opaque token
// that would live too long is revoked. A JWT states its own expiry.
func TestI04_D25_StorageIgnoresExpiry(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.ignoreDecision = true })
	logins := len(h.records())
	require.Contains(t, h.refused(t, h.delegate(t), tokenexchange.ServerError).Err.Error(), "I04")
	require.Len(t, h.records(), logins+2, "the new token is revoked")

	h = newHost(t, op.AccessTokenTypeJWT, func(h *host) { h.ignoreDecision = true })
	got := h.delegate(t).granted(t)
	require.InDelta(t, 600, got.body["expires_in"], 1)
	require.InDelta(t, time.Now().Unix()+600, claimsOf(t, got.token())["exp"], 2)
	got = h.exchange(t, "helpdesk", "subject_token", got.token(), "subject_token_type",
		"access_token").granted(t)
	require.LessOrEqual(t, got.body["expires_in"], 600.0, "I04: the JWT expires before its record")

	// A requested JWT is a JWT, even if the client's access tokens are opaque.
	h = newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.ignoreDecision = true })
	got = h.narrow(t, h.alice(t), "requested_token_type", "jwt").granted(t)
	require.InDelta(t, 1800, got.body["expires_in"], 1)
}

// TestD25_StorageChoosesEarlierExpiry checks that the storage may choose an earlier expiry.
func TestD25_StorageChoosesEarlierExpiry(t *testing.T) {
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format, func(h *host) { h.lifetime = 30 * time.Second })
		got := h.delegate(t).granted(t)
		require.InDelta(t, 29, got.body["expires_in"], 1)
		require.InDelta(t, time.Now().Unix()+30, h.read(t, got.token())["exp"], 1)

		h = newHost(t, format, func(h *host) { h.lifetime = time.Millisecond })
		h.refused(t, h.delegate(t), tokenexchange.ServerError)
		require.Len(t, h.records(), 2, "the new token is revoked")
	}
}

// TestR07_JWTsOfTheFramework checks that the framework signs every JWT with the typ JWT and without
// scope.
func TestR07_JWTsOfTheFramework(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	for _, token := range []string{h.alice(t),
		h.idToken(t, login{subject: "alice", client: "webapp"})} {
		require.Equal(t, "JWT", headerOf(t, token)["typ"])
		require.NotContains(t, claimsOf(t, token), "scope")
	}
	// The framework's hooks are for its own grants only.
	alice := h.alice(t)
	h.claims, h.grant.Claims = map[string]any{"roles": "all"}, nil
	claims := claimsOf(t, h.narrow(t, alice, "scope", "orders:read").granted(t).token())
	require.NotContains(t, claims, "roles")
	require.Equal(t, "orders:read", claims["scope"])
}

func headerOf(t testing.TB, jwt string) (header map[string]any) {
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &header))
	return header
}

// TestD18_JWTs checks that an issued JWT follows RFC 9068 (R11), and that a host can add claims to
// it but cannot change the decided ones (D17).
func TestD18_JWTs(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	alice, bob := h.alice(t), h.bob(t)
	h.claims = map[string]any{"roles": []string{"a"}, "nbf": 1, "azp": "x", "scope": "all",
		"act": "x", "sub": "root", "may_act": map[string]any{"sub": "carol"},
		"lineage": map[string]any{"scope": "all"}}
	for name := range claimsOf(t, h.idToken(t, login{subject: "alice", client: "webapp"})) {
		h.claims[name] = "of the host"
	}
	token := h.exchange(t, "helpdesk", "subject_token", alice, "subject_token_type", "access_token",
		"actor_token", bob,
		"actor_token_type", "access_token", "scope", "orders:read").granted(t).token()
	key, err := h.SigningKey(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "at+jwt"},
		headerOf(t, token))
	claims := claimsOf(t, token)
	require.ElementsMatch(t, []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id",
		"scope", "act", "roles", "may_act", "lineage"}, slices.Collect(maps.Keys(claims)))
	require.Equal(t, "alice", claims["sub"])
	require.Equal(t, "orders:read", claims["scope"])
	require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"},
		claims["act"])
	require.NotContains(t, claims["lineage"], "from", "its record lists the origins")
	require.Contains(t, h.records(), claims["jti"], "the jti is the ID of the record")
	require.Equal(t, h.audit.Last().TokenID, claims["jti"])
}

// TestD12_ChainsAreCopied checks that a chain is copied byte for byte. The framework's encoder
// would sort members, escape characters and round numbers.
func TestD12_ChainsAreCopied(t *testing.T) {
	const act = `{"sub":"bob","z":1,"a":12345678901234567890.50,"n":"<&é>",` +
		`"act":{"sub":"carol","iss":"https://as.example"}}`
	chain, err := tokenexchange.ParseToken([]byte(`{"act":` + act + `}`))
	require.NoError(t, err)
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format)
		token := h.logIn(t,
			login{subject: "alice", client: "orders", audience: []string{"https://orders.example"},
				scope: []string{"orders:read"}, actor: chain.Actor})
		got := h.exchange(t, "orders", "subject_token", token, "subject_token_type", "access_token",
			"audience", "https://billing.example", "requested_token_type", "access_token")
		got.granted(t)
		want := `{"iss":"https://as.example","sub":"orders","client_id":"orders",` +
			`"act":{"iss":"https://as.example",` + act[1:] + `}`
		if format == op.AccessTokenTypeJWT {
			require.Contains(t, string(payload(t, got.token())), `"act":`+want)
		}
		recorded, err := h.records()[h.audit.Last().TokenID].Actor.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, want, string(recorded))
	}
}

// TestD27_IDTokens checks that an ID token states the login of the subject, and that ClockSkew and
// IDTokenLifetime of the client are not used.
func TestD27_IDTokens(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		c := h.clients["helpdesk"]
		c.skew, c.idTokenLifetime = time.Hour, 24*time.Hour
		h.clients["helpdesk"] = c
	})
	at := time.Unix(1700000000, 0)
	id := h.idToken(t,
		login{subject: "alice", client: "helpdesk", authTime: at.Add(time.Hour), acr: "high",
			amr: []string{"pwd"}})
	require.NotEmpty(t, claimsOf(t, id)["nonce"])
	ask := func() map[string]any {
		got := h.exchange(t, "helpdesk", "subject_token", id, "subject_token_type", "id_token",
			"requested_token_type", "id_token",
			"actor_token", h.bob(t), "actor_token_type", "access_token").granted(t)
		require.Equal(t, "N_A", got.body["token_type"])
		require.InDelta(t, 600, got.body["expires_in"], 1)
		return claimsOf(t, got.token())
	}
	h.claims = map[string]any{"name": "Alice", "nonce": "x", "auth_time": 1, "acr": "x"}
	claims := ask()
	require.ElementsMatch(t, []string{"iss", "sub", "aud", "azp", "client_id", "exp", "iat", "jti",
		"auth_time", "acr", "amr", "act", "name", "lineage"}, slices.Collect(maps.Keys(claims)))
	require.Len(t, claims["lineage"].(map[string]any)["from"], 2, "an ID token has no record")
	require.EqualValues(t, at.Unix(), claims["auth_time"])
	require.Equal(t, "high", claims["acr"])
	require.InDelta(t, time.Now().Unix()+600, claims["exp"], 2)
	require.InDelta(t, time.Now().Unix(), claims["iat"], 2)
	require.Len(t, h.records(), 1, "only bob's login has a record")

	got := h.delegate(t, "scope", "orders:read")
	require.NotContains(t, got.granted(t).body, "id_token")
	openid := h.logIn(t,
		login{subject: "alice", client: "webapp", audience: []string{"helpdesk"},
			scope: []string{"openid", "orders:read"}})
	got = h.exchange(t, "helpdesk", "subject_token", openid, "subject_token_type", "access_token",
		"actor_token", h.bob(t), "actor_token_type", "access_token").granted(t)
	added, err := op.VerifyIDTokenHint[*oidc.IDTokenClaims](h.ctx(t), got.body["id_token"].(string),
		h.provider.IDTokenHintVerifier(h.ctx(t)))
	require.NoError(t, err)
	hash, err := oidc.ClaimHash(got.token(), "RS256")
	require.NoError(t, err)
	require.Equal(t, hash, added.AccessTokenHash)

	// The ID token is accepted, but only from its client.
	again := h.exchange(t, "helpdesk", "subject_token", got.body["id_token"].(string),
		"subject_token_type", "id_token",
		"actor_token", h.bob(t), "actor_token_type", "access_token").granted(t)
	require.Equal(t, "alice", h.read(t, again.token())["sub"])
	h.refused(t,
		h.exchange(t, "helpdesk", "subject_token", got.body["id_token"].(string),
			"subject_token_type", "access_token",
			"actor_token", h.bob(t), "actor_token_type", "access_token"),
		tokenexchange.InvalidRequest)
}

// TestD23_D28_NoRefreshTokens checks that no refresh token is issued, since the framework would
// refresh it without the policy.
func TestD23_D28_NoRefreshTokens(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "all",
			Impersonate:     &tokenexchange.Impersonation{RefreshLifetime: time.Hour},
			Clients:         []string{"webapp"},
			Subjects:        []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
			SubjectTypes:    []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
			Types:           []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
			SubjectAudience: true, Scope: tokenexchange.Scope{"*"},
			Lifetime: time.Minute})
		require.NoError(t, err)
		h.grant.Exchanger.Decide, h.grant.Exchanger.Authorizer = policy.Decide, allowAll{}
		h.grant.Exchanger.Resolver = resolver(
			func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
				return tokenexchange.Subject{
					Identity: tokenexchange.Identity{Issuer: tok.Issuer,
						Kind: tokenexchange.KindUser, ID: tok.Subject}}, nil
			})
		h.grant.Client = func(_ context.Context, _ *op.ClientRequest[oidc.TokenExchangeRequest],
			c *tokenexchange.Client) error {
			c.Scope = tokenexchange.Scope{"orders:read", "offline_access"}
			return nil
		}
	})
	token := h.logIn(t,
		login{subject: "alice", client: "webapp", audience: []string{"https://orders.example"},
			scope: []string{"orders:read", "offline_access"}})
	got := h.narrow(t, token).granted(t)
	require.NotContains(t, got.body, "refresh_token")
	require.Equal(t, "orders:read", got.body["scope"])
	h.refused(t, h.narrow(t, token, "scope", "orders:read offline_access"),
		tokenexchange.InvalidScope)
	h.refused(t, h.narrow(t, token, "requested_token_type", "refresh_token"),
		tokenexchange.InvalidRequest)
	refresh := h.exchange(t, "webapp", "subject_token", token, "subject_token_type",
		"refresh_token")
	h.refused(t, refresh, tokenexchange.InvalidRequest)
}

// allowAll is an authorizer that allows every actor.
type allowAll struct{}

func (allowAll) AuthorizeActor(context.Context, tokenexchange.Facts) error { return nil }

// TestIssuerContract checks the contract of a TokenIssuer.
func TestIssuerContract(t *testing.T) {
	for name, format := range map[string]op.AccessTokenType{"opaque": op.AccessTokenTypeBearer,
		"JWT": op.AccessTokenTypeJWT} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, format)
			h.delegate(t).granted(t)
			d := h.audit.Last().Decision
			d.Issued = time.Now().UTC().Truncate(time.Second)
			d.Facts.Now, d.Expires = d.Issued, d.Issued.Add(time.Minute)
			tokens := h.grant.Issuer(h.clients["helpdesk"])
			require.NoError(t, tokenexchangetest.CheckIssuer(h.ctx(t), tokens, d))
			require.NoError(t,
				tokenexchangetest.CheckRoundTrip(h.ctx(t), tokens, h.grant.Verifiers(), d))
			records := len(h.records())
			incomplete := d
			incomplete.Audience = nil
			_, err := tokens.IssueToken(h.ctx(t), incomplete)
			require.Error(t, err)
			for _, kind := range []tokenexchange.TokenType{tokenexchange.TypeSAML2,
				tokenexchange.TypeRefreshToken, "urn:example:x"} {
				d.Type = kind
				_, err := tokens.IssueToken(h.ctx(t), d)
				require.Error(t, err, kind)
			}
			_, err = tokens.IssueToken(h.ctx(t), tokenexchange.Decision{})
			require.Error(t, err)
			require.Len(t, h.records(), records, "no record is left")
		})
	}
}

// TestRequest checks that a storage sees an exchange as it would see one of the framework, without
// tokens.
func TestRequest(t *testing.T) {
	var seen []op.TokenRequest
	h := newHost(t, op.AccessTokenTypeBearer)
	storage := &recordingStorage{Storage: h.testStorage,
		record: func(r op.TokenRequest) { seen = append(seen, r) }}
	provider, err := op.NewProvider(&op.Config{}, storage, op.StaticIssuer(issuer))
	require.NoError(t, err)
	at := time.Unix(1700000000, 0)
	subject := h.logIn(t,
		login{subject: "alice", client: "webapp", audience: []string{"helpdesk"},
			scope: []string{"orders:read"}, authTime: at, amr: []string{"pwd"}})
	actor := h.bob(t)
	h.grant.Provider = withStorageOf{h.provider, provider}
	got := h.exchange(t, "helpdesk", "subject_token", subject, "subject_token_type", "access_token",
		"actor_token", actor, "actor_token_type", "access_token",
		"resource", "https://orders.example", "audience", "https://billing.example", "scope",
		"orders:read")
	got.granted(t)
	require.Len(t, seen, 1)
	r := seen[0].(op.TokenExchangeRequest)
	r.SetSubject("root")
	r.SetCurrentScopes([]string{"all"})
	r.SetRequestedTokenType(oidc.RefreshTokenType)
	require.Equal(t, "alice", r.GetSubject())
	require.Equal(t, "helpdesk", r.GetClientID())
	require.Equal(t, []string{"https://billing.example", "https://orders.example"}, r.GetAudience())
	require.Equal(t, []string{"https://orders.example"}, r.GetResourses())
	require.Equal(t, []string{"orders:read"}, r.GetScopes())
	require.Equal(t, at, r.GetAuthTime())
	require.Equal(t, []string{"pwd"}, r.GetAMR())
	require.Equal(t, oidc.AccessTokenType, r.GetRequestedTokenType())
	require.Equal(t, "alice", r.GetExchangeSubject())
	require.Equal(t, oidc.AccessTokenType, r.GetExchangeSubjectTokenType())
	require.Equal(t, "bob", r.GetExchangeActor())
	require.Equal(t, oidc.AccessTokenType, r.GetExchangeActorTokenType())
	ids := []string{r.GetExchangeSubjectTokenIDOrToken(), r.GetExchangeActorTokenIDOrToken()}
	require.Equal(t, "alice", h.records()[ids[0]].Subject)
	require.Equal(t, "bob", h.records()[ids[1]].Subject)
	require.Nil(t, r.GetExchangeSubjectTokenClaims())
	require.Nil(t, r.GetExchangeActorTokenClaims())
	require.Equal(t, h.audit.Last().Decision, r.(zitadelexchange.Request).Decision)

	h.narrow(t, h.alice(t)).granted(t)
	r = seen[1].(op.TokenExchangeRequest)
	require.Empty(t, r.GetExchangeActor(), "no actor token")
	require.Empty(t, r.GetExchangeActorTokenType())
	written, err := json.Marshal(r)
	require.NoError(t, err)
	for _, token := range []string{subject, actor} {
		require.NotContains(t, string(written), token, "I08")
	}
}

// recordingStorage is a storage that passes its requests to record.
type recordingStorage struct {
	op.Storage
	record func(op.TokenRequest)
}

func (w *recordingStorage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string,
	time.Time, error) {
	w.record(r)
	return w.Storage.CreateAccessToken(ctx, r)
}

// withStorageOf is a provider with the storage of another one.
type withStorageOf struct {
	op.OpenIDProvider
	other op.OpenIDProvider
}

func (b withStorageOf) Storage() op.Storage { return b.other.Storage() }
