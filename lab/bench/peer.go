package main

import (
	"context"
	"crypto"
	"log/slog"
	"net/url"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	peercrypto "github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// peerIssuer is the issuer in the peer's own example.
const peerIssuer = "http://localhost:9998/"

// peerStorage is the storage of the peer's example, in memory, with a key of this run and with JWTs
// as access tokens.
type peerStorage struct {
	*storage.Storage
	key peerKey
}

func (s peerStorage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }
func (s peerStorage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{peerPublicKey{s.key}}, nil
}
func (s peerStorage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.key.alg}, nil
}

func (s peerStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	return jwtClient{client}, err
}

// jwtClient is a client of the example that gets JWTs.
type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

type peerKey struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func (k peerKey) SignatureAlgorithm() jose.SignatureAlgorithm { return k.alg }
func (k peerKey) Key() any                                    { return k.key }
func (k peerKey) ID() string                                  { return "k1" }

type peerPublicKey struct{ peerKey }

func (k peerPublicKey) Algorithm() jose.SignatureAlgorithm { return k.alg }
func (k peerPublicKey) Use() string                        { return "sig" }
func (k peerPublicKey) Key() any                           { return k.key.Public() }

// peerExchange exchanges a JWT for a JWT by the peer's own token exchange.
func peerExchange(alg string, actor bool) post {
	clients := map[string]*storage.Client{clientID: storage.WebClient(clientID, secret)}
	key := peerKey{jose.SignatureAlgorithm(alg), keys[alg]}
	users := storage.NewUserStore(peerIssuer)
	s := peerStorage{storage.NewStorageWithClients(users, clients), key}
	config := &op.Config{CryptoKey: [32]byte{1}}
	provider := must(op.NewProvider(config, s, op.StaticIssuer(peerIssuer), op.WithAllowInsecure(),
		op.WithLogger(slog.New(slog.DiscardHandler)),
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms(alg))))
	mint := func(sub string) string {
		claims := oidc.NewAccessTokenClaims(peerIssuer, sub, []string{ordersAPI, mailAPI},
			time.Now().Add(time.Hour), "0123456789abcdef", clientID, 0)
		claims.Scopes = oidc.SpaceDelimitedArray(scopes)
		act := map[string]any{"iss": peerIssuer, "sub": "agent", "client_id": "agents"}
		claims.Claims = map[string]any{"act": act}
		return must(peercrypto.Sign(claims, must(op.SignerFromKey(key))))
	}
	form := url.Values{
		"grant_type":           {string(oidc.GrantTypeTokenExchange)},
		"subject_token":        {mint("id1")},
		"subject_token_type":   {string(oidc.AccessTokenType)},
		"requested_token_type": {string(oidc.AccessTokenType)},
		"audience":             {ordersAPI},
		"scope":                {scopes[:1].String()},
	}
	if actor {
		form.Set("actor_token", mint("id2"))
		form.Set("actor_token_type", string(oidc.AccessTokenType))
	}
	return newPost(provider, "/oauth/token", form.Encode())
}

func peer(alg string, actor bool) candidate {
	return func() work { return peerExchange(alg, actor).times }
}
