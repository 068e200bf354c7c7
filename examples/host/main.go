// Host is an authorization server for token exchange in one file, with everything in memory.
// docs/getting-started.md shows it and explains how to use it.
package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const issuer = "https://as.example"

// What the server knows. A real server has tables in a database.
var (
	active  = map[string]bool{"alice": true, "bob": true, "mallory": false} // users
	helpers = map[string]string{"alice": "bob"}                             // bob may act for alice
	secrets = map[string]string{"helpdesk": "secret1", "orders": "secret2"} // of clients
	names   = map[string][]string{"orders": {"https://orders.example"}}     // of APIs, in aud
)

// The policy: at the help desk one user may act for another, to read orders.
const rules = `{"rules": [{
	"name":    "support",
	"clients": ["helpdesk"],
	"delegate": {
		"actors":      [{"kind": "user", "id": "*"}],
		"actor_types": ["urn:ietf:params:oauth:token-type:access_token"]
	},
	"subjects":      [{"kind": "user", "id": "*"}],
	"subject_types": ["urn:ietf:params:oauth:token-type:access_token"],
	"types":         ["urn:ietf:params:oauth:token-type:access_token"],
	"targets":       ["https://orders.example"],
	"scope":         ["orders:read"],
	"lifetime":      "5m"
}]}`

// users is the tokenexchange.SubjectResolver: it knows who a token is about.
type users struct{}

func (users) ResolveSubject(_ context.Context, tok tx.Token) (tx.Subject, error) {
	if !active[tok.Subject] {
		return tx.Subject{}, fmt.Errorf("%w: unknown or locked", tx.InvalidRequest)
	}
	id := tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: tok.Subject}
	return tx.Subject{Identity: id}, nil
}

// mayHelp is the tokenexchange.ActorAuthorizer: it knows who may act for a user.
func mayHelp(_ context.Context, actor, subject tx.Identity) error {
	if actor.Kind != tx.KindUser || helpers[subject.ID] != actor.ID {
		return fmt.Errorf("%w: %q is no helper of %q", tx.InvalidRequest, actor.ID, subject.ID)
	}
	return nil
}

// authenticate accepts client_secret_basic. Both values are form-encoded (RFC 6749 §2.3.1).
func authenticate(r *http.Request) (tx.Client, error) {
	user, password, _ := r.BasicAuth()
	id, _ := url.QueryUnescape(user)
	secret, _ := url.QueryUnescape(password)
	want, known := secrets[id]
	if !known || subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1 {
		return tx.Client{}, fmt.Errorf("%w: unknown client or wrong secret", tx.InvalidClient)
	}
	return tx.Client{ID: id, Audiences: names[id], Scope: tx.Scope{"orders:read"}}, nil
}

// newServer returns the endpoints of the server, and its tokens.
func newServer(audit slog.Handler) (http.Handler, *tokenstore.Tokens, error) {
	policy, err := tx.ParsePolicy([]byte(rules))
	if err != nil {
		return nil, nil, err
	}
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory(), Subjects: users{}}
	exchanger := &tx.Exchanger{
		Issuer:      issuer,
		Verify:      tx.Verifiers{tx.TypeAccessToken: tokens.VerifyToken},
		Resolver:    users{},
		Decide:      policy.Decide,
		Authorizer:  authorizer.Relationship(mayHelp),
		TokenIssuer: tokens,
		Audit:       auditlog.Sink{Handler: audit},
	}
	mux := http.NewServeMux()
	mux.Handle("/token", exchanger.Handler(authenticate))
	mux.Handle("/introspect", tokens.IntrospectionHandler(issuer, authenticate))
	return mux, tokens, nil
}

// logIn stands for a login: the user gets a token through the client, to be used at the help desk.
func logIn(tokens *tokenstore.Tokens, user, client string) string {
	now := time.Now()
	issued, err := tokens.Mint(context.Background(), tx.Token{
		Type: tx.TypeAccessToken, Kind: tx.KindUser, Issuer: issuer, Subject: user,
		ClientID: client, Audience: []string{"helpdesk"},
		Scope: tx.Scope{"orders:read", "orders:write"}, Issued: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		log.Fatal(err)
	}
	return issued.Value
}

func main() {
	server, tokens, err := newServer(slog.NewJSONHandler(os.Stdout, nil))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ALICE=" + logIn(tokens, "alice", "webapp"))
	fmt.Println("BOB=" + logIn(tokens, "bob", "helpdesk"))
	fmt.Println("MALLORY=" + logIn(tokens, "mallory", "webapp"))
	listener := &http.Server{Addr: "127.0.0.1:8080", Handler: server, ReadTimeout: 10 * time.Second}
	log.Fatal(listener.ListenAndServe())
}
