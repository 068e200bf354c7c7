// Package world is an authorization server for tests: its users, its clients, its rules, and
// another issuer that it trusts. The tests of the root package and of internal/securitytest send
// requests to it over HTTP, change it, and look at what it recorded.
package world

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const (
	Own    = "https://as.example"  // the issuer of the server itself
	IDP    = "https://idp.example" // the other issuer, which the server trusts
	API    = "https://api.example" // the audience of a token of Access
	Orders = "https://orders.example"

	TypeAssertion = "urn:example:assertion" // evidence from IDP, its typ is assertion+jwt
	TypeTicket    = "urn:example:ticket"    // evidence from Own, its typ is ticket+jwt
)

// Now is the time on the server's clock.
var Now = time.Unix(1_800_000_000, 0).UTC()

// World is the server. The secret of each client is "secret-" and the client's id.
type World struct {
	tx.Exchanger
	Key, IDPKey *ecdsa.PrivateKey     // of Own and of IDP
	People      map[string]tx.Subject // by iss, a space, sub
	Clients     map[string]tx.Client  // by id
	Rules       []tx.Rule             // Configure puts changes of rules and trusts into force
	Trusts      []tx.Trust            // of Own and of IDP
	Revoked     map[string]bool       // by jti
	URL         string                // of the token endpoint

	Events   []tx.Event // that were recorded
	Asked    []tx.Facts // that the authorizer was asked about
	Resolved []tx.Token // whose subject was looked up

	t  *testing.T
	mu sync.Mutex // for Events, Asked and Resolved while requests are served
}

// New starts a server that is closed at the end of the test.
func New(t *testing.T) *World {
	w := &World{
		t: t, Key: NewKey(t), IDPKey: NewKey(t), Revoked: map[string]bool{},
		People: map[string]tx.Subject{}, Clients: map[string]tx.Client{},
	}
	for _, id := range []string{"alice", "bob", "carol", "admin"} {
		w.People[Own+" "+id] = Person(id)
	}
	w.People[IDP+" ext-alice"] = Person("alice") // a linked account
	w.People[IDP+" robot"] = tx.Subject{
		Identity: tx.Identity{Issuer: IDP, Kind: tx.KindWorkload, ID: "robot"},
	}
	for _, id := range []string{"shop", "backend", "gateway", "other", "spa"} {
		scope := tx.Scope{"read", "write", "openid"}
		w.Clients[id] = tx.Client{ID: id, Scope: scope, Public: id == "spa"}
		w.People[Own+" "+id] = tx.Subject{
			Identity: tx.Identity{Issuer: Own, Kind: tx.KindClient, ID: id},
		}
	}
	w.Rules, w.Trusts = defaultRules(), w.defaultTrusts()
	w.Exchanger = tx.Exchanger{
		Issuer:      Own,
		TokenIssuer: NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{}),
		Now:         func() time.Time { return Now },
		Resolver:    ResolverFunc(w.resolve),
		Authorizer:  AuthorizerFunc(w.authorize),
		Audit:       SinkFunc(w.record),
	}
	w.Configure()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Handler(w.Authenticate).ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

// The four host interfaces as functions.
type (
	ResolverFunc   func(context.Context, tx.Token) (tx.Subject, error)
	AuthorizerFunc func(context.Context, tx.Facts) error
	IssuerFunc     func(context.Context, tx.Decision) (tx.IssuedToken, error)
	SinkFunc       func(context.Context, tx.Event) error
)

func (f ResolverFunc) ResolveSubject(ctx context.Context, t tx.Token) (tx.Subject, error) {
	return f(ctx, t)
}

func (f AuthorizerFunc) AuthorizeActor(ctx context.Context, x tx.Facts) error { return f(ctx, x) }

func (f IssuerFunc) IssueToken(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
	return f(ctx, d)
}

func (f SinkFunc) RecordExchange(ctx context.Context, e tx.Event) error { return f(ctx, e) }

func (w *World) resolve(_ context.Context, tok tx.Token) (tx.Subject, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Resolved = append(w.Resolved, tok)
	if who, ok := w.People[tok.Issuer+" "+tok.Subject]; ok {
		return who, nil
	}
	return tx.Subject{}, fmt.Errorf("%w: unknown subject", tx.InvalidRequest)
}

func (w *World) authorize(_ context.Context, f tx.Facts) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Asked = append(w.Asked, f)
	return nil
}

func (w *World) record(_ context.Context, e tx.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Events = append(w.Events, e)
	return nil
}

// Errorf and FailNow let a World stand for the test it belongs to.
func (w *World) Errorf(format string, args ...any) { w.t.Errorf(format, args...) }

func (w *World) FailNow() { w.t.FailNow() }

// Configure puts Rules and Trusts into force. A test calls it after it has changed them.
func (w *World) Configure() {
	policy, err := tx.NewPolicy(w.Rules...)
	require.NoError(w, err)
	v, err := tx.NewVerifier(w.Trusts...)
	require.NoError(w, err)
	w.Decide = policy.Decide
	w.Verify = tx.Verifiers{
		tx.TypeAccessToken: v.Verify, tx.TypeIDToken: v.Verify, tx.TypeJWT: v.Verify,
	}
}

// Rule returns the rule of that name. A test may change it and call Configure.
func (w *World) Rule(name string) *tx.Rule {
	for i := range w.Rules {
		if w.Rules[i].Name == name {
			return &w.Rules[i]
		}
	}
	panic(name)
}

// Person returns a user of the server.
func Person(id string) tx.Subject {
	return tx.Subject{
		Identity: tx.Identity{Issuer: Own, Kind: tx.KindUser, ID: id},
		Scope:    tx.Scope{"read", "write", "openid"},
	}
}

// defaultRules let shop narrow its own tokens and delegate to the holder of an actor token, backend
// become the actor itself, and gateway impersonate with tokens of any client.
func defaultRules() []tx.Rule {
	users := []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
	issued := []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken}
	base := tx.Rule{
		Subjects: users,
		SubjectTypes: []tx.TokenType{
			tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT, TypeAssertion, TypeTicket,
		},
		Types:   issued,
		Targets: []string{Orders, API}, DefaultTargets: []string{Orders},
		Scope: tx.Scope{"*"}, Lifetime: time.Hour,
	}
	delegate, asClient, impersonate := base, base, base
	delegate.Name, delegate.Clients = "delegate", []string{"shop"}
	delegate.Delegate = &tx.Delegation{
		Actors:     []tx.Identity{{Issuer: "*", Kind: "*", Tenant: "*", ID: "*"}},
		ActorTypes: issued, Issuers: []string{IDP}, IDToken: true,
	}
	asClient.Name, asClient.Clients = "as-client", []string{"backend"}
	asClient.ClientActs = &tx.ClientActing{IDToken: true}
	impersonate.Name, impersonate.Clients = "impersonate", []string{"gateway"}
	impersonate.Impersonate = &tx.Impersonation{
		OtherTokens: true, Carry: true, Issuers: []string{IDP}, IDToken: true,
	}
	narrow := tx.Rule{
		Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{"shop"}, Subjects: users,
		SubjectTypes:    []tx.TokenType{tx.TypeAccessToken},
		Types:           []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT},
		SubjectAudience: true, Scope: tx.Scope{"*"}, Lifetime: 10 * time.Minute,
	}
	return []tx.Rule{narrow, delegate, asClient, impersonate}
}

func (w *World) defaultTrusts() []tx.Trust {
	live := func(_ context.Context, tok tx.Token) error {
		if w.Revoked[tok.ID] {
			return fmt.Errorf("%w: revoked", tx.InvalidRequest)
		}
		return nil
	}
	return []tx.Trust{{
		Issuer: Own, JWKS: KeySet(w, w.Key, "own-1"), ActClaims: true, Live: live,
		Types: map[tx.TokenType]string{
			tx.TypeAccessToken: "", tx.TypeIDToken: "", TypeTicket: "ticket+jwt",
		},
	}, {
		Issuer: IDP, JWKS: KeySet(w, w.IDPKey, "idp-1"), Foreign: true, Audience: []string{Own},
		Types: map[tx.TokenType]string{
			tx.TypeJWT: "", tx.TypeIDToken: "", TypeAssertion: "assertion+jwt",
		},
		Scopes: map[string]tx.Scope{"ext.read": {"read"}},
	}}
}

// Authenticate accepts HTTP Basic, client_secret in the body, and the client_id alone of a public
// client.
func (w *World) Authenticate(r *http.Request) (tx.Client, error) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if c, ok := w.Clients[id]; ok && (c.Public || secret == "secret-"+id) {
		return c, nil
	}
	return tx.Client{}, fmt.Errorf("%w: %s/%s", tx.InvalidClient, id, secret)
}

// ErrDeadline is the error of a host whose database did not answer in time.
var ErrDeadline = fmt.Errorf("asking the database: %w", context.DeadlineExceeded)

// Request returns a request to the token endpoint. An empty client does not authenticate.
func (w *World) Request(client, body string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, w.URL, strings.NewReader(body))
	require.NoError(w, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(client, "secret-"+client)
	}
	return r
}

// Send sends a request and reads the answer.
func (w *World) Send(r *http.Request) Answer {
	resp, err := http.DefaultClient.Do(r)
	require.NoError(w, err)
	return readAnswer(w, resp)
}

// Post sends a form as a client.
func (w *World) Post(client string, f url.Values) Answer {
	return w.Send(w.Request(client, f.Encode()))
}

// Call exchanges as shop, without HTTP. It requires one event, which tells the same as the result
// (I07) and has no token in it.
func (w *World) Call(f url.Values) (tx.Response, error) {
	before := len(w.Events)
	resp, err := w.Exchange(context.Background(), w.Clients["shop"], f)
	require.Len(w, w.Events, before+1, "I07: one event")
	e := w.LastEvent()
	if err != nil {
		require.Equal(w, tx.Response{}, resp)
		require.IsType(w, &tx.Error{}, err)
		require.NotNil(w, e.Err)
		require.Equal(w, tx.AsError(err).Code, tx.AsError(e.Err).Code)
		require.Equal(w, tx.Decision{}, e.Decision)
		require.Empty(w, e.TokenID)
	} else {
		require.NoError(w, e.Err)
		require.NotEmpty(w, e.TokenID)
		require.Equal(w, e.Facts, e.Decision.Facts)
	}
	require.False(w, e.Time.IsZero())
	require.Empty(w, e.Facts.Request.SubjectToken+e.Facts.Request.ActorToken)
	return resp, err
}

// LastEvent returns the event of the last exchange.
func (w *World) LastEvent() tx.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NotEmpty(w, w.Events)
	return w.Events[len(w.Events)-1]
}
