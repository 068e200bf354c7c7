package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/go-tokenexchange/tokenexchange"
	fositeexchange "github.com/go-tokenexchange/tokenexchange/adapters/fosite"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
)

const issuer = "https://as.example"

// server is an authorization server as in fosite's documentation. It uses fosite's example store
// and issues JWT access tokens.
type server struct {
	store    *storage.MemoryStore
	provider fosite.OAuth2Provider
}

func newSession(subject string) fosite.Session {
	return &oauth2.JWTSession{Subject: subject, JWTClaims: &jwt.JWTClaims{Subject: subject}}
}

// newServer makes the server. Only two lines concern token exchange: exchange.Factory, and ReadForm
// around the token endpoint.
func newServer(audit tokenexchange.AuditSink) (http.Handler, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	config := &fosite.Config{GlobalSecret: []byte(rand.Text() + rand.Text()),
		AccessTokenIssuer: issuer}
	s := &server{store: newStore()}
	exchange, err := newExchange(s.store, audit)
	if err != nil {
		return nil, err
	}
	strategy := compose.NewOAuth2JWTStrategy(func(context.Context) (any, error) { return key, nil },
		compose.NewOAuth2HMACStrategy(config), config)
	s.provider = compose.Compose(config, s.store, strategy, compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory,
		exchange.Factory)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth2/auth", s.authorize)
	mux.Handle("POST /oauth2/token", fositeexchange.ReadForm(http.HandlerFunc(s.token)))
	mux.HandleFunc("POST /oauth2/introspect", s.introspect)
	mux.HandleFunc("POST /oauth2/revoke", s.revoke)
	return mux, nil
}

// newExchange sets up token exchange: the rules, the directory and the authorizer.
func newExchange(store *storage.MemoryStore,
	audit tokenexchange.AuditSink) (fositeexchange.Config, error) {
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(
		tokenexchange.Rule{Name: "narrow", Narrow: &tokenexchange.Narrowing{},
			Clients: []string{"*"}, Subjects: users, SubjectTypes: access,
			Types: access, SubjectAudience: true, Scope: tokenexchange.Scope{"*"},
			Lifetime: 10 * time.Minute},
		tokenexchange.Rule{Name: "support",
			Delegate: &tokenexchange.Delegation{Actors: users, ActorTypes: access},
			Clients:  []string{"helpdesk"}, Subjects: users, SubjectTypes: access,
			Types: access, Targets: []string{"https://photos.example"},
			Scope: tokenexchange.Scope{"photos"}, Lifetime: 5 * time.Minute},
		tokenexchange.Rule{Name: "behind photos", ClientActs: &tokenexchange.ClientActing{},
			Clients: []string{"photo-service"}, Subjects: users,
			SubjectTypes: access, Types: access, Targets: []string{"https://storage.example"},
			Scope:    tokenexchange.Scope{"photos"},
			Lifetime: time.Minute})
	audiences := map[string][]string{"photo-service": {"https://photos.example"}}
	return fositeexchange.Config{
		Exchanger: tokenexchange.Exchanger{Issuer: issuer, Resolver: directory{store},
			Decide:     policy.Decide,
			Authorizer: authorizer.Relationship(mayActFor), Audit: audit},
		NewSession: func() fosite.Session { return newSession("") },
		Client: func(_ *http.Request, registered fosite.Client, c *tokenexchange.Client) error {
			c.Audiences = audiences[registered.GetID()]
			return nil
		},
	}, err
}

// directory is a resolver for the users and clients of the store. In this store no user has the id
// of a client; otherwise Token.Kind would tell them apart. Introspection also resolves clients,
// which may be the current actor of a chain.
type directory struct{ store *storage.MemoryStore }

func (d directory) ResolveSubject(
	_ context.Context, t tokenexchange.Token,
) (tokenexchange.Subject, error) {
	id := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: t.Subject}
	_, isUser := d.store.Users[t.Subject]
	_, isClient := d.store.Clients[t.Subject]
	switch {
	case isClient && t.Subject == t.ClientID:
		id.Kind = tokenexchange.KindClient
	case !isUser || t.Kind == tokenexchange.KindClient:
		return tokenexchange.Subject{}, fmt.Errorf("%w: %q is unknown",
			tokenexchange.InvalidRequest, t.Subject)
	}
	return tokenexchange.Subject{Identity: id}, nil
}

// mayActFor lets susan of the help desk act for peter, and the photo service.
func mayActFor(_ context.Context, actor, subject tokenexchange.Identity) error {
	if subject.ID == "peter" && (actor.ID == "susan" || actor.ID == "photo-service") {
		return nil
	}
	return fmt.Errorf("%w: %q may not act for %q", tokenexchange.InvalidRequest,
		actor.ID, subject.ID)
}

// newStore returns fosite's example store with two more clients and one more user.
func newStore() *storage.MemoryStore {
	store := storage.NewExampleStore()
	example := store.Clients["my-client"].(*fosite.DefaultClient)
	for _, id := range []string{"my-client", "helpdesk", "photo-service"} {
		c := *example
		c.ID, c.GrantTypes = id, []string{"authorization_code", "refresh_token",
			tokenexchange.GrantType}
		c.Audience = []string{"https://photos.example", "helpdesk"}
		store.Clients[id] = &c
	}
	store.Users["susan"] = storage.MemoryUserRelation{Username: "susan", Password: "secret"}
	return store
}

// authorize logs in a user by password, without asking for consent. A real server shows a page for
// each.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ar, err := s.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	user := r.FormValue("username")
	if _, err := s.store.Authenticate(ctx, user, r.FormValue("password")); err != nil {
		s.provider.WriteAuthorizeError(ctx, w, ar, fosite.ErrAccessDenied)
		return
	}
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	for _, audience := range ar.GetRequestedAudience() {
		ar.GrantAudience(audience)
	}
	resp, err := s.provider.NewAuthorizeResponse(ctx, ar, newSession(user))
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	s.provider.WriteAuthorizeResponse(ctx, w, ar, resp)
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ar, err := s.provider.NewAccessRequest(ctx, r, newSession(""))
	if err != nil {
		s.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	resp, err := s.provider.NewAccessResponse(ctx, ar)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, ar, resp)
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	resp, err := s.provider.NewIntrospectionRequest(ctx, r, newSession(""))
	if err != nil {
		s.provider.WriteIntrospectionError(ctx, w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(ctx, w, resp)
}

func (s *server) revoke(w http.ResponseWriter, r *http.Request) {
	s.provider.WriteRevocationResponse(r.Context(), w,
		s.provider.NewRevocationRequest(r.Context(), r))
}
