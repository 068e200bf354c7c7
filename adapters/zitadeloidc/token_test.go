package zitadelexchange_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// sign signs the claims with the key of the server.
func (h *host) sign(t testing.TB, claims map[string]any) string {
	key, err := h.SigningKey(t.Context())
	require.NoError(t, err)
	return signWith(t, key.SignatureAlgorithm(), key.Key(), key.ID(), claims)
}

func signWith(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string,
	claims map[string]any) string {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: &jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(t, err)
	data, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(data)
	require.NoError(t, err)
	token, err := signed.CompactSerialize()
	require.NoError(t, err)
	return token
}

// TestR08_OpaqueTokens checks that opaque tokens are verified by their record.
func TestR08_OpaqueTokens(t *testing.T) {
	for name, options := range map[string][]op.Option{"GCM, and CFB for old ones": nil,
		"CFB": {op.WithCrypto(op.NewAESCrypto([32]byte{7}))}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.options = options })
			token := h.alice(t)
			require.NotContains(t, strings.TrimSuffix(token, "."), "eyJhbGciOiJSUzI1NiI",
				"the token is opaque")
			got := h.narrow(t, token, "scope", "orders:read").granted(t)
			require.Equal(t, "alice", h.read(t, got.token())["sub"])
			h.refused(t, h.narrow(t, token, "subject_token_type", "jwt"),
				tokenexchange.InvalidRequest)
			for _, other := range []string{"jwt", "id_token"} {
				ev := h.refused(t,
					h.exchange(t, "webapp", "subject_token", token, "subject_token_type", other),
					tokenexchange.InvalidRequest)
				require.Equal(t, "not_a_jwt", tokenexchange.AsError(ev.Err).Reason)
			}
			for i := 1; i < len(token); i += 5 {
				h.refused(t, h.narrow(t, token[:i]), tokenexchange.InvalidRequest)
				if token[i] != '.' {
					h.refused(t, h.narrow(t, token[:i]+flip(token[i])+token[i+1:]),
						tokenexchange.InvalidRequest)
				}
			}
			require.Len(t, h.records(), 2, "no other token was issued")

			// The older cipher decrypts every text to some result. An ID that is not UTF-8 must not
			// be looked up.
			odd, err := h.provider.Crypto().Encrypt("\xff\xfe:alice")
			require.NoError(t, err)
			h.failing, h.failure = "token", errors.New("not UTF-8")
			h.refused(t, h.narrow(t, odd), tokenexchange.InvalidRequest)
		})
	}
}

// flip returns another base64 character.
func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// TestR08_Records checks that the record must be that of an access token, of this issuer and of the
// subject that the token states.
func TestR08_Records(t *testing.T) {
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format)
		for name, change := range map[string]func(*tokenexchange.Token){
			"a refresh token": func(t *tokenexchange.Token) {
				t.Type = tokenexchange.TypeRefreshToken
			},
			"no type":         func(t *tokenexchange.Token) { t.Type = "" },
			"another issuer":  func(t *tokenexchange.Token) { t.Issuer = "https://other.example" },
			"another subject": func(t *tokenexchange.Token) { t.Subject = "bob" },
			"no expiry":       func(t *tokenexchange.Token) { t.Expires = time.Time{} },
			"expired": func(t *tokenexchange.Token) {
				t.Expires = time.Now().Add(-time.Second)
			},
			"an empty record": func(t *tokenexchange.Token) { *t = tokenexchange.Token{} },
		} {
			token := h.alice(t)
			h.narrow(t, token).granted(t)
			h.mu.Lock()
			for id, record := range h.tokens {
				change(&record)
				h.tokens[id] = record
			}
			h.mu.Unlock()
			for _, declared := range []string{"access_token", "jwt"} {
				ev := h.refused(t,
					h.exchange(t, "webapp", "subject_token", token, "subject_token_type", declared),
					tokenexchange.InvalidRequest)
				require.Empty(t, ev.Facts.Subject.Token, "%s: the token must not be accepted", name)
			}
			h.mu.Lock()
			clear(h.tokens)
			h.mu.Unlock()
		}
		// The earlier of the expiries of record and JWT applies.
		token := h.alice(t)
		h.mu.Lock()
		for id, record := range h.tokens {
			record.Expires = time.Now().Add(40 * time.Second)
			h.tokens[id] = record
		}
		h.mu.Unlock()
		require.LessOrEqual(t, h.narrow(t, token).granted(t).body["expires_in"], 40.0, "I04")
	}
}

// TestR08_Issuers checks that a token of one issuer is refused under another, although one provider
// serves both with one key.
func TestR08_Issuers(t *testing.T) {
	for _, format := range []op.AccessTokenType{op.AccessTokenTypeBearer, op.AccessTokenTypeJWT} {
		h := newHost(t, format, func(h *host) { h.issuerOf = op.IssuerFromHost("") })
		mint := func(issuer string) string {
			c := h.clients["webapp"]
			token, _, _, err := op.CreateAccessToken(op.ContextWithIssuer(t.Context(), issuer),
				login{subject: "alice", client: "webapp",
					audience: []string{"https://orders.example"}, scope: []string{"orders:read"},
					expires: time.Now().Add(time.Hour)}, c.format, h.provider, c, "")
			require.NoError(t, err)
			return token
		}
		h.grant.Exchanger.Resolver = resolver(
			func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
				return tokenexchange.Subject{
					Identity: tokenexchange.Identity{Issuer: tok.Issuer,
						Kind: tokenexchange.KindUser, ID: tok.Subject}}, nil
			})
		h.narrow(t, mint(h.web.URL)).granted(t) // the issuer of op.IssuerFromHost
		require.Equal(t, h.web.URL, h.audit.Last().Decision.Issuer)
		ev := h.refused(t, h.narrow(t, mint("http://other.example")), tokenexchange.InvalidRequest)
		require.Empty(t, ev.Facts.Subject.Token, "the token must not be accepted")
	}
}

type resolver func(tokenexchange.Token) (tokenexchange.Subject, error)

func (f resolver) ResolveSubject(_ context.Context,
	t tokenexchange.Token) (tokenexchange.Subject, error) {
	return f(t)
}

// TestR07_R08_JWTs checks that the kind of a JWT is recognised whatever its declared type, since
// the framework signs all JWTs in the same way.
func TestR07_R08_JWTs(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	now := time.Now()
	token := h.alice(t)
	access := claimsOf(t, token)
	id := claimsOf(t,
		h.idToken(t, login{subject: "alice", client: "webapp", audience: []string{"webapp"}}))
	with := func(base map[string]any, pairs ...any) map[string]any {
		c := map[string]any{}
		for name, value := range base {
			c[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			if c[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
				delete(c, pairs[i].(string))
			}
		}
		return c
	}
	for _, declared := range []string{"access_token", "jwt"} {
		h.exchange(t, "webapp", "subject_token", h.sign(t, access), "subject_token_type",
			declared).granted(t)
	}
	found := func(token string) tokenexchange.TokenType {
		ev := h.refused(t,
			h.exchange(t, "webapp", "subject_token", token, "subject_token_type", "jwt"),
			tokenexchange.InvalidRequest)
		return ev.Facts.Subject.Token.Type
	}
	require.Equal(t, tokenexchange.TypeIDToken, found(h.sign(t, id)),
		"the ID token is valid, but no rule of webapp accepts it")

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	own, err := h.SigningKey(t.Context())
	require.NoError(t, err)
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		strings.Split(token, ".")[1] + "."
	public, err := json.Marshal(jose.JSONWebKey{Key: &own.Key().(*rsa.PrivateKey).PublicKey})
	require.NoError(t, err)
	// A record without an ID or a subject must not make a token valid.
	for id, subject := range map[string]string{"": "alice", "no-subject": ""} {
		h.tokens[id] = tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Issuer: issuer,
			Subject: subject, ClientID: "webapp", Expires: now.Add(time.Hour)}
	}
	for name, bad := range map[string]string{
		"another key":                   signWith(t, jose.RS256, key, own.ID(), access),
		"another key, and another kid":  signWith(t, jose.RS256, key, "other", access),
		"an ID token, another key":      signWith(t, jose.RS256, key, own.ID(), id),
		"an ID token of another issuer": h.sign(t, with(id, "iss", "https://other.example")),
		"an ID token, HS256":            signWith(t, jose.HS256, public, own.ID(), id),
		"alg none":                      unsigned,
		"HS256 with the public key":     signWith(t, jose.HS256, public, own.ID(), access),
		"expired":                       h.sign(t, with(access, "exp", now.Unix()-1)),
		"no exp":                        h.sign(t, with(access, "exp", nil)),
		"issued in the future":          h.sign(t, with(access, "iat", now.Unix()+70)),
		"another issuer":                h.sign(t, with(access, "iss", "https://other.example")),
		"D29: no jti":                   h.sign(t, with(access, "jti", nil)),
		"an unknown jti":                h.sign(t, with(access, "jti", "unknown")),
		"no sub":                        h.sign(t, with(access, "sub", nil, "jti", "no-subject")),
		"another sub than its record":   h.sign(t, with(access, "sub", "bob")),
		"D04: client_id is not azp":     h.sign(t, with(access, "azp", "helpdesk")),
		"act is a string":               h.sign(t, with(access, "act", "bob")),
		"an unknown cnf":                h.sign(t, with(access, "cnf", map[string]any{"kid": "x"})),
		"an ID token of another client": h.sign(t, with(id, "aud", "helpdesk")),
		"an ID token with scope":        h.sign(t, with(id, "scope", "orders:read")),
		"an expired ID token":           h.sign(t, with(id, "exp", now.Unix()-1)),
		"an ID token from the future":   h.sign(t, with(id, "iat", now.Unix()+70)),
		"a logout token": h.sign(t,
			with(id, "events", map[string]any{}, "azp", nil, "jti", "x")),
		"a logout token with azp": h.sign(t,
			with(id, "events", map[string]any{}, "jti", "x")),
		"neither azp nor nbf":  h.sign(t, with(id, "azp", nil)),
		"an ID token with nbf": h.sign(t, with(id, "nbf", now.Unix())),
		"a JWT with a space":   token + " ",
		"four parts":           token + ".x",
		"a truncated JWT":      token[:len(token)-5],
		"a payload with two sub claims": signRaw(t, own,
			strings.Replace(string(payload(t, token)), `"sub":`, `"sub":"bob","sub":`, 1)),
	} {
		require.Empty(t, found(bad), name)
	}
	// An access token to which the host has added azp is still an access token, even if its client
	// is in its aud.
	h.claims = map[string]any{"azp": "helpdesk"}
	odd := h.logIn(t, login{subject: "bob", client: "helpdesk", scope: []string{"orders:read"}})
	require.Equal(t, "helpdesk", claimsOf(t, odd)["azp"])
	ask := func(declared string) reply {
		return h.exchange(t, "helpdesk", "subject_token",
			h.idToken(t, login{subject: "alice", client: "helpdesk"}), "subject_token_type",
			"id_token",
			"actor_token", odd, "actor_token_type", declared)
	}
	ev := h.refused(t, ask("id_token"), tokenexchange.InvalidRequest)
	require.Equal(t, "token_type_mismatch", tokenexchange.AsError(ev.Err).Reason)
	ask("access_token").granted(t)
	h.revoke(t, odd)
	h.refused(t, ask("id_token"), tokenexchange.InvalidRequest)
	h.refused(t, ask("access_token"), tokenexchange.InvalidRequest)
}

// signRaw signs a payload without encoding it.
func signRaw(t testing.TB, key op.SigningKey, payload string) string {
	signer, err := op.SignerFromKey(key)
	require.NoError(t, err)
	signed, err := signer.Sign([]byte(payload))
	require.NoError(t, err)
	token, err := signed.CompactSerialize()
	require.NoError(t, err)
	return token
}

// TestD07_D29_Sessions checks that Grant.Session decides whether an ID token is accepted, and that
// none is without it.
func TestD07_D29_Sessions(t *testing.T) {
	var sessions []tokenexchange.Token
	h := newHost(t, op.AccessTokenTypeBearer)
	answer := error(nil)
	h.grant.Session = func(_ context.Context, tok tokenexchange.Token) error {
		sessions = append(sessions, tok)
		return answer
	}
	ask := func() reply {
		return h.exchange(t, "helpdesk", "subject_token",
			h.idToken(t, login{subject: "alice", client: "helpdesk", acr: "high"}),
			"subject_token_type", "id_token",
			"actor_token", h.bob(t), "actor_token_type", "access_token")
	}
	ask().granted(t)
	require.Len(t, sessions, 1)
	require.Equal(t, "alice", sessions[0].Subject)
	require.Equal(t, "high", sessions[0].ACR)
	require.True(t, strings.HasPrefix(sessions[0].ID, "sha256:"), sessions[0].ID)

	answer = fmt.Errorf("%w: the session has ended", tokenexchange.InvalidRequest)
	h.refused(t, ask(), tokenexchange.InvalidRequest)
	answer = errors.New("the sessions are down")
	h.refused(t, ask(), tokenexchange.ServerError)
	h.grant.Session = nil
	ev := h.refused(t, ask(), tokenexchange.InvalidRequest)
	require.Equal(t, "id_token_not_accepted", tokenexchange.AsError(ev.Err).Reason)
}

// TestD13_ChainOfTheHost checks a chain that the host has written, either in the JWT or in its
// record.
func TestD13_ChainOfTheHost(t *testing.T) {
	for _, where := range []string{"in the JWT", "in the record"} {
		h := newHost(t, op.AccessTokenTypeJWT)
		l := login{subject: "alice", client: "webapp", audience: []string{"https://orders.example"},
			scope: []string{"orders:read"}}
		if where == "in the JWT" {
			h.claims = map[string]any{"act": map[string]any{"sub": "bob", "x": "y"},
				"may_act": map[string]any{"sub": "carol"}}
		} else {
			chain, err := tokenexchange.ParseToken(
				[]byte(`{"act":{"sub":"bob","x":"y"},"may_act":{"sub":"carol"}}`))
			require.NoError(t, err)
			l.actor, l.mayAct = chain.Actor, chain.MayAct
		}
		token := h.logIn(t, l)
		h.claims = nil
		claims := h.narrow(t, token).granted(t)
		require.Equal(t, `{"iss":"https://as.example","sub":"bob","x":"y"}`,
			string(member(t, payload(t, claims.token()), "act")), where)
		got := h.exchange(t, "orders", "subject_token", token, "subject_token_type", "access_token",
			"audience", "https://billing.example")
		require.Contains(t, h.refused(t, got, tokenexchange.InvalidRequest).Err.Error(), "D09",
			where)
	}
}

// TestJWTClaimsWithoutRecord checks that claims of a JWT count that its record lacks: the
// framework's default audience and client, and claims of the host.
func TestJWTClaimsWithoutRecord(t *testing.T) {
	var seen tokenexchange.Token
	h := newHost(t, op.AccessTokenTypeJWT)
	h.grant.Exchanger.Resolver = resolver(
		func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
			seen = tok
			return tokenexchange.Subject{
				Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser,
					ID: tok.Subject}}, nil
		})
	// A request of the framework without a client, as for client credentials.
	h.claims = map[string]any{"scope": "orders:read", "org": "o-1"}
	token, _, _, err := op.CreateAccessToken(h.ctx(t),
		&oidc.JWTTokenRequest{Subject: "svc", Scopes: []string{"orders:read", "orders:write"}},
		op.AccessTokenTypeJWT, h.provider, h.clients["webapp"], "")
	require.NoError(t, err)
	h.claims = nil
	claims := claimsOf(t, h.narrow(t, token).granted(t).token())
	require.Equal(t, "webapp", claims["aud"], "not in the record")
	require.Equal(t, "orders:read", claims["scope"], "D22: less than in the record")
	require.Equal(t, "webapp", seen.ClientID, "D04: not in the record")
	require.JSONEq(t, `"o-1"`, string(member(t, seen.Claims, "org")), "claims are for the resolver")
	require.False(t, seen.Issued.IsZero())

	h.claims = map[string]any{"cnf": map[string]any{"jkt": "a-thumbprint"}}
	token = h.alice(t)
	h.claims = nil
	require.Contains(t, h.refused(t, h.narrow(t, token), tokenexchange.InvalidRequest).Err.Error(),
		"D30")
}

// member returns a member of a JSON object, byte for byte.
func member(t testing.TB, object []byte, name string) json.RawMessage {
	members := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal(object, &members))
	return members[name]
}

// TestTokenOf checks that a record has everything that a later exchange and an ID token need.
func TestTokenOf(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer)
	at := time.Unix(1700000000, 0)
	h.logIn(t,
		login{subject: "alice", client: "webapp", audience: []string{"a"}, authTime: at,
			acr: "high", amr: []string{"pwd"}})
	for id, record := range h.records() {
		require.WithinDuration(t, time.Now(), record.Issued, 2*time.Second)
		record.Issued, record.Expires = time.Time{}, time.Time{}
		require.Equal(t,
			tokenexchange.Token{Type: tokenexchange.TypeAccessToken, ID: id, Issuer: issuer,
				Subject: "alice", ClientID: "webapp",
				Audience: []string{"a"}, Scope: tokenexchange.Scope{}, AuthTime: at, ACR: "high",
				AMR: []string{"pwd"}}, record)
	}
	bare, err := op.CreateBearerToken("x", "y", h.provider.Crypto())
	require.NoError(t, err)
	require.NotEmpty(t, bare)
	_, _, err = h.CreateAccessToken(h.ctx(t),
		&oidc.JWTTokenRequest{Subject: "svc", Audience: []string{"b"}, Scopes: []string{"s"}})
	require.NoError(t, err)
	found := false
	for _, record := range h.records() {
		if record.Subject == "svc" {
			found = true
			require.Empty(t, record.ClientID, "the request has no client")
			require.Equal(t, tokenexchange.Scope{"s"}, record.Scope)
		}
	}
	require.True(t, found)
}
