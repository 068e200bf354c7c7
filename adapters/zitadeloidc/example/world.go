package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/go-tokenexchange/tokenexchange"
)

// clients are the application where users log in, an API that it calls, and an API that the first
// API calls.
var clients = []string{"web", "api", "billing"}

func secretOf(client string) string { return "secret-of-" + client }

// administrator is a privilege. Administrators may act for users who are not administrators.
const administrator = "administrator"

// directory is a resolver for the users and clients of the example server.
type directory struct {
	issuer string
	users  storage.UserStore
}

// ResolveSubject implements tokenexchange.SubjectResolver. No user has the ID of a client.
func (d directory) ResolveSubject(_ context.Context,
	t tokenexchange.Token) (tokenexchange.Subject, error) {
	user := d.users.GetUserByID(t.Subject)
	identity := tokenexchange.Identity{Issuer: d.issuer, Kind: tokenexchange.KindUser,
		ID: t.Subject}
	switch {
	case t.Issuer != d.issuer || user == nil && !slices.Contains(clients, t.Subject):
		return tokenexchange.Subject{}, fmt.Errorf("%w: %q is unknown",
			tokenexchange.InvalidRequest,
			t.Subject)
	case user == nil:
		identity.Kind = tokenexchange.KindClient
		return tokenexchange.Subject{Identity: identity}, nil
	case user.IsAdmin:
		return tokenexchange.Subject{Identity: identity, Privileges: []string{administrator}}, nil
	}
	return tokenexchange.Subject{Identity: identity, Privileges: []string{}}, nil
}

var (
	anyUser      = []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	accessTokens = []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
)

// rules are the policy. No rule allows impersonation.
var rules = []tokenexchange.Rule{
	{Name: "narrow", Narrow: &tokenexchange.Narrowing{}, Clients: []string{"web"},
		Subjects: anyUser, SubjectTypes: accessTokens,
		Types: accessTokens, SubjectAudience: true, Scope: tokenexchange.Scope{"*"},
		Lifetime: 4 * time.Minute},
	{Name: "support",
		Delegate: &tokenexchange.Delegation{
			Actors:     anyUser,
			ActorTypes: accessTokens,
		},
		Clients: []string{"web"}, Subjects: anyUser,
		SubjectTypes: accessTokens,
		Types:        append(accessTokens, tokenexchange.TypeIDToken), Targets: []string{"api"},
		Scope: tokenexchange.Scope{"profile", "email"}, Lifetime: 2 * time.Minute},
	{Name: "next hop", ClientActs: &tokenexchange.ClientActing{}, Clients: []string{"api"},
		Subjects: anyUser, SubjectTypes: accessTokens,
		Types: accessTokens, Targets: []string{"billing"}, Scope: tokenexchange.Scope{"email"},
		Lifetime: time.Minute},
	{Name: "support by ID token",
		Delegate: &tokenexchange.Delegation{
			Actors:     anyUser,
			ActorTypes: accessTokens,
		},
		Clients:  []string{"web"},
		Subjects: anyUser, SubjectTypes: []tokenexchange.TokenType{tokenexchange.TypeIDToken},
		Types: accessTokens, Targets: []string{"api"},
		Scope: tokenexchange.Scope{"profile", "email"}, Lifetime: time.Minute},
}

// trail is an AuditSink in memory.
type trail struct {
	mu     sync.Mutex
	events []tokenexchange.Event
}

func (t *trail) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, ev)
	return nil
}

// take returns the events since the last call.
func (t *trail) take() []tokenexchange.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.events
	t.events = nil
	return events
}
