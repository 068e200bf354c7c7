package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// issuer is the server's iss. It need not be the address of the server, and here it is not, since
// the port differs at every start.
const issuer = "https://as.example"

// server is an authorization server. It keeps in maps what a real one keeps in a database. Its
// methods are the answers of the host: who the client is, who a token is about, who may act for a
// subject, and which tokens are still valid.
type server struct {
	clients map[string]client             // by client_id
	parties map[string]tokenexchange.Kind // by sub: everyone who may take part
	actsFor map[relation]bool             // who may act for a subject
	signer  *tokenexchange.JWTIssuer

	mu   sync.Mutex
	live map[string]bool // by Token.Origin: tokens that were issued and not revoked
}

// client is a registered client. The hash of its secret needs no salt, since the secret is random.
type client struct {
	tokenexchange.Client
	secret [sha256.Size]byte
}

// relation allows actor to act for subject.
type relation struct{ actor, subject tokenexchange.Identity }

// handler is all of the embedding: name the trusted issuers, fill in the parts, mount two
// endpoints.
func (s *server) handler(policy *tokenexchange.Policy, audit tokenexchange.AuditSink) (
	http.Handler, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if s.signer, err = tokenexchange.NewJWTIssuer(key, "2026-01", ""); err != nil {
		return nil, err
	}
	keys, err := s.signer.JWKS()
	if err != nil {
		return nil, err
	}
	own, err := tokenexchange.NewVerifier(tokenexchange.Trust{
		Issuer: issuer,
		JWKS:   keys,
		// "" is the default typ, at+jwt
		Types:     map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		Live:      s.isLive,
		ActClaims: true, // we trust act and may_act in our own tokens
	})
	if err != nil {
		return nil, err
	}
	exchange := &tokenexchange.Exchanger{
		Issuer:      issuer,
		Verify:      tokenexchange.Verifiers{tokenexchange.TypeAccessToken: own.Verify},
		Resolver:    s,
		Decide:      policy.Decide,
		Authorizer:  s,
		TokenIssuer: s,
		Audit:       audit,
	}
	mux := http.NewServeMux()
	mux.Handle("/token", exchange.Handler(s.authenticate))
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(keys)
	})
	return mux, nil
}

// authenticate is client_secret_basic. Name and secret are form-encoded inside the base64 (RFC 6749
// §2.3.1). An unknown client takes as much time as a wrong secret.
func (s *server) authenticate(r *http.Request) (tokenexchange.Client, error) {
	user, password, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if !ok || errID != nil || errSecret != nil {
		return tokenexchange.Client{},
			fmt.Errorf("%w: no Basic credentials", tokenexchange.InvalidClient)
	}
	c, known := s.clients[id]
	hash := sha256.Sum256([]byte(secret))
	if same := subtle.ConstantTimeCompare(hash[:], c.secret[:]) == 1; !known || !same {
		return tokenexchange.Client{},
			fmt.Errorf("%w: unknown, or a wrong secret", tokenexchange.InvalidClient)
	}
	return c.Client, nil
}

// ResolveSubject says who a token is about. Users and clients share one map: this server assigns
// every sub, none of them twice, so that no client can pass for a user by its name.
func (s *server) ResolveSubject(_ context.Context, tok tokenexchange.Token) (
	tokenexchange.Subject, error) {
	kind, active := s.parties[tok.Subject]
	if tok.Issuer != issuer || !active {
		// The code makes this a refusal. An error without a code would be a failure of the server,
		// and a 500.
		return tokenexchange.Subject{},
			fmt.Errorf("%w: not an active party of ours", tokenexchange.InvalidRequest)
	}
	return tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: issuer, Kind: kind,
		ID: tok.Subject}}, nil
}

// AuthorizeActor is called after the tokens have been verified, in addition to the policy. Without
// an actor token the client is the actor.
func (s *server) AuthorizeActor(_ context.Context, f tokenexchange.Facts) error {
	actor := f.ActingParty()
	if !s.actsFor[relation{actor, f.Subject.Identity}] {
		return fmt.Errorf("%w: %s does not act for %s", tokenexchange.InvalidRequest, actor.ID,
			f.Subject.ID)
	}
	return nil
}

// IssueToken signs, and keeps the jti until the token is revoked. Discard forgets a token that
// could not be audited: it must not leave, and must not be valid either. A database would also drop
// expired tokens.
func (s *server) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	t, err := s.signer.IssueToken(ctx, d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	s.setLive(t.ID, true)
	t.Discard = func(context.Context) error {
		s.setLive(t.ID, false)
		return nil
	}
	return t, nil
}

func (s *server) setLive(jti string, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if good {
		s.live[originOf(jti)] = true
	} else {
		delete(s.live, originOf(jti))
	}
}

// originOf returns the name of one of our tokens in the lineage of other tokens.
func originOf(jti string) string { return tokenexchange.Token{Issuer: issuer, ID: jti}.Origin() }

// isLive is called for every token of ours after its signature and dates were checked. It also
// looks up all tokens that this one was made from, so that a revoked token ends this one too.
func (s *server) isLive(_ context.Context, tok tokenexchange.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	origins := []string{tok.Origin()}
	if tok.Lineage != nil {
		origins = append(origins, tok.Lineage.From...)
	}
	for _, origin := range origins {
		if !s.live[origin] {
			return fmt.Errorf("%w: revoked, never issued, or made from such a token",
				tokenexchange.InvalidRequest)
		}
	}
	return nil
}
