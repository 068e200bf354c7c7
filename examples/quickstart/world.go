package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// This file has what an authorization server has before it exchanges tokens: clients, people and
// logins.

// newServer registers the clients and people, and returns the secrets of the clients.
func newServer() (s *server, secrets map[string]string) {
	alice := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}
	bob := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "bob"}
	agent := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: "ai-agent"}
	gateway := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: "gateway"}
	s = &server{
		clients: map[string]client{},
		parties: map[string]tokenexchange.Kind{},
		actsFor: map[relation]bool{{bob, alice}: true, {agent, alice}: true,
			{gateway, alice}: true},
		live: map[string]bool{},
	}
	for _, id := range []tokenexchange.Identity{alice, bob, agent, gateway} {
		s.parties[id.ID] = id.Kind
	}
	secrets = map[string]string{}
	for _, c := range []tokenexchange.Client{
		{ID: "webapp", Scope: tokenexchange.Scope{"orders:read", "orders:write", "billing:read"}},
		{ID: "helpdesk", Scope: tokenexchange.Scope{"orders:read", "tickets"}},
		// These two are APIs as well. Tokens with this audience are for them, so they may exchange
		// them.
		{ID: "ai-agent", Scope: tokenexchange.Scope{"tickets"},
			Audiences: []string{"https://ai-agent.example"}},
		{ID: "gateway", Scope: tokenexchange.Scope{"orders:read"},
			Audiences: []string{"https://gateway.example"}},
	} {
		secrets[c.ID] = rand.Text()
		s.clients[c.ID] = client{c, sha256.Sum256([]byte(secrets[c.ID]))}
	}
	return s, secrets
}

// login is a token that is not from an exchange: of a user who has logged in, or of a client about
// itself.
type login struct {
	name     string // by which it is printed
	subject  string
	client   string
	audience []string
	scope    tokenexchange.Scope
	mayAct   string // the user who may act for this one; empty: no may_act
}

var logins = []login{
	{
		name: "<alice's token>", subject: "alice", client: "webapp",
		audience: []string{"https://gateway.example", "https://orders.example",
			"https://billing.example"},
		scope: tokenexchange.Scope{"orders:read", "orders:write", "billing:read"},
	},
	// She has asked for help, and named the helper. The help desk may exchange these tokens, since
	// it is their audience.
	{
		name: "<alice's token for bob>", subject: "alice", client: "webapp",
		audience: []string{"helpdesk"},
		scope:    tokenexchange.Scope{"orders:read", "tickets"}, mayAct: "bob",
	},
	{
		name: "<alice's token for carol>", subject: "alice", client: "webapp",
		audience: []string{"helpdesk"},
		scope:    tokenexchange.Scope{"orders:read", "tickets"}, mayAct: "carol",
	},
	{name: "<bob's token>", subject: "bob",
		client: "helpdesk", audience: []string{"https://helpdesk.example"}},
	{name: "<ai-agent's token>", subject: "ai-agent",
		client: "ai-agent", audience: []string{issuer}},
}

// logIn issues the token of a login. A real server does that already. This one has no other signer
// than that of the exchange, which issues a login like any other decision.
func (s *server) logIn(ctx context.Context, l login) (tokenexchange.IssuedToken, error) {
	now := time.Now().UTC().Truncate(time.Second)
	signer := *s.signer // a copy, for this token
	if l.mayAct != "" {
		signer.Claims = func(_ context.Context, _ tokenexchange.Decision,
			claims map[string]any) error {
			claims["may_act"] = map[string]any{"sub": l.mayAct}
			return nil
		}
	}
	t, err := signer.IssueToken(ctx, tokenexchange.Decision{
		Mode:     tokenexchange.Impersonate, // the token names its subject alone
		Issuer:   issuer,
		Client:   l.client,
		Subject:  tokenexchange.Identity{Issuer: issuer, Kind: s.parties[l.subject], ID: l.subject},
		Audience: l.audience,
		Scope:    l.scope,
		Type:     tokenexchange.TypeAccessToken,
		Issued:   now,
		Expires:  now.Add(time.Hour),
	})
	if err == nil {
		s.setLive(t.ID, true)
	}
	return t, err
}
