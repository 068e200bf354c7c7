// Package server is an authorization server that embeds the library. embed.go and answers.go are
// the embedding. The other files are the endpoints and pages that every authorization server has,
// with the grants and APIs that build on the exchange.
package server

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/notify"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Server is an authorization server. It is an http.Handler, and the host of an Exchanger.
type Server struct {
	http.Handler

	Issuer    string
	Log       *slog.Logger
	now       func() time.Time
	session   time.Duration
	codes     time.Duration // how long a code is remembered
	Directory *world.Directory
	roles     map[string]world.Role
	links     map[account]string
	mayAct    map[string]world.Party // by rule

	key        crypto.Signer // of Signer
	Signer     *tokenexchange.JWTIssuer
	JWKS       []byte
	algorithms []string // of the keys in JWKS
	Tokens     *tokenstore.Tokens
	Notices    *notify.Sink // nil: no notifications
	policy     *tokenexchange.Policy
	ownPolicy  *tokenexchange.Policy
	Exchanger  *tokenexchange.Exchanger

	tickets    *grants.Tickets
	assertions *grants.Assertions
	actAs      grants.ActAs
	embedded   *grants.Embedded

	forms sealer
}

// Options are the settings that are not in the world. All zero values are useful, except that
// Issuer must be set if the world has none.
type Options struct {
	Issuer string           // for a world without one
	Key    crypto.Signer    // nil: a new key for ES256
	Store  tokenstore.Store // nil: in memory
	Log    slog.Handler     // audit events and everything else; nil: discarded
	Send   sender           // delivers notifications; nil: into the log
	Now    func() time.Time // nil: time.Now
}

// New makes a server for a world that has been checked.
func New(w *world.World, o Options) (*Server, error) {
	if o.Key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		o.Key = key
	}
	if o.Store == nil {
		o.Store = tokenstore.NewMemory()
	}
	if o.Log == nil {
		o.Log = slog.NewJSONHandler(io.Discard, nil)
	}
	s := &Server{Issuer: cmp.Or(w.Issuer, o.Issuer), Log: slog.New(o.Log), now: o.Now,
		roles:   maps.Clone(w.Roles),
		session: time.Duration(w.Lifetimes.Session), codes: time.Duration(w.Lifetimes.AccessToken),
		links: map[account]string{}, mayAct: maps.Clone(w.MayAct)}
	if s.Issuer == "" {
		return nil, errors.New("the issuer is set neither in the world nor in the options")
	}
	for _, f := range w.Issuers {
		for sub, user := range f.Links {
			s.links[account{f.Issuer, sub}] = user
		}
	}
	var err error
	if s.Directory, err = world.NewDirectory(w); err != nil {
		return nil, err
	}
	if s.forms, err = newSealer(); err != nil {
		return nil, err
	}
	if err := s.embed(w, o); err != nil {
		return nil, err
	}
	s.Handler, err = s.routes(w)
	return s, err
}

// routes returns the endpoints of the server.
func (s *Server) routes(w *world.World) (http.Handler, error) {
	metadata, err := s.metadata(w)
	if err != nil {
		return nil, err
	}
	// refuses forms that another site sends
	pages := http.NewCrossOriginProtection()
	if err := pages.AddTrustedOrigin(s.Issuer); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+pathAuthorize, s.authorizationEndpoint())
	mux.Handle("POST "+pathAuthorize, s.authorizationEndpoint())
	mux.Handle("POST "+pathLogin, pages.Handler(s.loginEndpoint()))
	mux.Handle("POST "+pathConsent, pages.Handler(s.consentEndpoint()))
	mux.Handle("GET "+pathStyle, styles())
	mux.Handle(pathToken, s.tokenEndpoint())
	mux.Handle(pathIntrospect, s.Tokens.IntrospectionHandler(s.Issuer, s.authenticate("")))
	mux.Handle(pathRevoke, s.Tokens.RevocationHandler(s.Issuer, s.authenticate("")))
	mux.Handle("GET "+pathJWKS, document("application/jwk-set+json", s.JWKS))
	mux.Handle("GET /.well-known/oauth-authorization-server",
		document("application/json", metadata))
	mux.Handle("GET /.well-known/openid-configuration", document("application/json", metadata))
	mux.Handle("GET /api/users", s.management(w))
	if w.Management.Delegations != "" {
		mux.Handle("GET /api/delegations", s.delegations(w, s.listDelegations))
		mux.Handle("DELETE /api/delegations/{id}", s.delegations(w, s.endDelegation))
		mux.Handle("DELETE /api/delegations/ended/{id}", s.delegations(w, s.allowDelegation))
	}
	return mux, nil
}

// detached returns a context for work that must be done although the request is gone.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// document serves a constant document.
func document(contentType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	})
}

// KeyID names a key by the hash of its public part, so that a key has the same kid after every
// start.
func KeyID(key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "" // the issuer refuses such a key
	}
	hash := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// ReadKey reads a private key from a PEM file: PKCS #8, or SEC 1 for elliptic curves.
func ReadKey(file string) (crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New(file + " is not a PEM file")
	}
	if block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New(file + " has a key that cannot sign")
	}
	return signer, nil
}

// drainTime is how long requests under way may take once the server is told to stop.
const drainTime = 10 * time.Second

// Serve answers requests until ctx ends. It calls ready once requests are accepted.
func (s *Server) Serve(ctx context.Context, l net.Listener, ready func() error) error {
	web := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelError),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	err := ready()
	if ctx.Err() != nil {
		err = nil // told to stop before it was ready
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-served:
			return err
		}
	}
	s.Log.Info("stopping")
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err = errors.Join(err, web.Shutdown(drain))
	if s.Notices != nil && s.Notices.Close(drain) != nil {
		s.Log.Warn("users were not told any more", "dropped", s.Notices.Dropped())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// account is an account at another issuer.
type account struct{ issuer, subject string }
