package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	zitadelexchange "github.com/go-tokenexchange/tokenexchange/adapters/zitadeloidc"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
)

// newServer returns the example server of the framework with another token endpoint.
func newServer(issuer string, policy *tokenexchange.Policy,
	audit tokenexchange.AuditSink) (http.Handler, error) {
	users := storage.NewUserStore(issuer)
	for _, id := range clients {
		storage.RegisterClients(storage.WebClient(id, secretOf(id)))
	}
	s := &store{Storage: storage.NewStorage(users)}
	rest := exampleop.SetupServer(issuer, s, nil, false)

	// The example does not expose its provider. This one has the same storage and the same key.
	provider, err := op.NewProvider(
		&op.Config{CryptoKey: sha256.Sum256([]byte("test")), CryptoKeyId: "key1",
			AuthMethodPost: true},
		s, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, err
	}
	exchange := &zitadelexchange.Grant{
		Provider: provider, Token: s.token, Session: s.session, Client: registration,
		Exchanger: tokenexchange.Exchanger{
			Resolver: directory{issuer, users}, Decide: policy.Decide, Audit: audit,
			Authorizer: authorizer.Any(authorizer.Roles{administrator: {}},
				authorizer.InAudience()),
		}}
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	mux.Handle("/oauth/token",
		op.RegisterLegacyServer(
			server{op.NewLegacyServer(provider, *op.DefaultEndpoints), exchange},
			op.AuthorizeCallbackHandler(provider), op.WithHTTPMiddleware(zitadelexchange.NoStore)))
	return mux, nil
}

// server is the framework's server with one method replaced.
type server struct {
	*op.LegacyServer
	exchange *zitadelexchange.Grant
}

func (s server) TokenExchange(ctx context.Context,
	r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	return s.exchange.TokenExchange(ctx, r)
}

// registration sets the registered scope of a client.
func registration(_ context.Context, _ *op.ClientRequest[oidc.TokenExchangeRequest],
	c *tokenexchange.Client) error {
	c.Scope = tokenexchange.Scope{oidc.ScopeProfile, oidc.ScopeEmail}
	return nil
}

// store is the storage of the example server. The example's table of tokens has no columns for an
// actor and an earlier expiry, so store has a second table, which takes precedence.
type store struct {
	*storage.Storage
	records sync.Map // tokenexchange.Token, by ID
	// true, by Token.Origin; a database can drop it when all tokens made from it have expired
	revoked sync.Map
}

func (s *store) CreateAccessToken(ctx context.Context,
	r op.TokenRequest) (string, time.Time, error) {
	id, expires, err := s.Storage.CreateAccessToken(ctx, r)
	if err != nil {
		return "", time.Time{}, err
	}
	if x, ok := r.(zitadelexchange.Request); ok && x.Decision.Expires.Before(expires) {
		expires = x.Decision.Expires
	}
	s.records.Store(id, zitadelexchange.TokenOf(ctx, id, expires, r))
	return id, expires, nil
}

func (s *store) RevokeToken(ctx context.Context, id, user, client string) *oidc.Error {
	if err := s.Storage.RevokeToken(ctx, id, user, client); err != nil {
		return err
	}
	s.revoke(id)
	return nil
}

// TerminateSession is called by the framework when a user logs out at a client.
func (s *store) TerminateSession(ctx context.Context, user, client string) error {
	s.records.Range(func(id, record any) bool {
		if t := record.(tokenexchange.Token); t.Subject == user && t.ClientID == client {
			s.revoke(id.(string))
		}
		return true
	})
	return s.Storage.TerminateSession(ctx, user, client)
}

// revoke revokes a token, and so all tokens whose lineage lists it.
func (s *store) revoke(id string) {
	if t, ok := s.records.LoadAndDelete(id); ok {
		s.revoked.Store(t.(tokenexchange.Token).Origin(), true)
	}
}

// checkRevoked returns an error if the token, or a token that it was made from, is revoked.
func (s *store) checkRevoked(t tokenexchange.Token) error {
	origins := []string{t.Origin()}
	if t.Lineage != nil {
		origins = append(origins, t.Lineage.From...)
	}
	for _, origin := range origins {
		if _, ended := s.revoked.Load(origin); ended {
			return fmt.Errorf("%w: the token or one of its origins is revoked",
				tokenexchange.InvalidRequest)
		}
	}
	return nil
}

// token returns the record of a token that is not revoked.
func (s *store) token(_ context.Context, id string) (tokenexchange.Token, error) {
	record, ok := s.records.Load(id)
	if !ok {
		return tokenexchange.Token{}, fmt.Errorf("%w: the token is unknown or revoked",
			tokenexchange.InvalidRequest)
	}
	t := record.(tokenexchange.Token)
	return t, s.checkRevoked(t)
}

// session accepts the ID tokens of exchanges as long as none of their origins is revoked. The
// example has no sessions, so it refuses the ID tokens of logins.
func (s *store) session(_ context.Context, t tokenexchange.Token) error {
	if t.Lineage == nil || len(t.Lineage.From) == 0 {
		return fmt.Errorf("%w: ID tokens of logins are not accepted",
			tokenexchange.InvalidRequest)
	}
	return s.checkRevoked(t)
}

// live returns the record of a token that is neither revoked nor expired.
func (s *store) live(ctx context.Context, id string) (tokenexchange.Token, error) {
	t, err := s.token(ctx, id)
	if err == nil && !time.Now().Before(t.Expires) {
		err = errors.New("the token has expired")
	}
	return t, err
}

func (s *store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, id, subject,
	origin string) error {
	if _, err := s.live(ctx, id); err != nil {
		return err
	}
	return s.Storage.SetUserinfoFromToken(ctx, info, id, subject, origin)
}

// SetIntrospectionFromToken returns the record to a client that the token is for, or was issued to.
func (s *store) SetIntrospectionFromToken(ctx context.Context, info *oidc.IntrospectionResponse, id,
	_, client string) error {
	t, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	if t.ClientID != client && !slices.Contains(t.Audience, client) {
		return errors.New("the token is neither for this client nor issued to it")
	}
	info.Issuer, info.Subject, info.ClientID = t.Issuer, t.Subject, t.ClientID
	info.Audience, info.Scope = t.Audience, oidc.SpaceDelimitedArray(t.Scope)
	info.Expiration = oidc.FromTime(t.Expires)
	info.Claims = map[string]any{}
	if t.Actor != nil {
		info.Claims["act"] = t.Actor
	}
	if t.MayAct != nil {
		info.Claims["may_act"] = t.MayAct
	}
	return nil
}
