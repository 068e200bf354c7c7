package main

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Patterns and types that several rules share.
var (
	anyUser      = []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	accessTokens = []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
)

// rules are the policy. A request that no rule grants is refused. An empty list in a rule matches
// nothing and grants nothing. The rules could also be a JSON file, see tokenexchange.ParsePolicy.
var rules = []tokenexchange.Rule{
	{
		// The web app narrows its users' tokens before it sends them to an API.
		Name: "narrow", Narrow: &tokenexchange.Narrowing{}, Clients: []string{"webapp"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		SubjectAudience: true, // targets: those of the subject token
		// scope: all that token and client have in common
		Scope:    tokenexchange.Scope{"*"},
		Lifetime: 5 * time.Minute,
	},
	{
		// A support agent acts for a user. AuthorizeActor and the user's may_act decide which agent
		// may act for which user.
		Name: "support",
		Delegate: &tokenexchange.Delegation{
			Actors:     anyUser,
			ActorTypes: accessTokens,
		},
		Clients:  []string{"helpdesk"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		Targets:  []string{"https://orders.example", "https://ai-agent.example"},
		Scope:    tokenexchange.Scope{"orders:read", "tickets"},
		Lifetime: 10 * time.Minute,
	},
	{
		// The AI agent acts for the user of the token that it received, and only towards its tool.
		Name: "tool",
		Delegate: &tokenexchange.Delegation{
			Actors:     []tokenexchange.Identity{{Kind: tokenexchange.KindClient, ID: "ai-agent"}},
			ActorTypes: accessTokens,
		},
		Clients:  []string{"ai-agent"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		Targets:  []string{"https://tickets.example"},
		Scope:    tokenexchange.Scope{"tickets"},
		Lifetime: 2 * time.Minute,
		MaxChain: 2, // the support agent and the AI agent
	},
	{
		// The gateway calls a ledger that does not know act. Its tokens do not show that the
		// gateway is calling.
		Name: "legacy", Impersonate: &tokenexchange.Impersonation{}, Clients: []string{"gateway"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		Targets:  []string{"https://ledger.example"},
		Scope:    tokenexchange.Scope{"orders:read"},
		Lifetime: time.Minute,
	},
}
