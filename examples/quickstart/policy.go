package main

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// The patterns and types that several rules share.
var (
	anyUser      = []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	accessTokens = []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
)

// rules are the policy: what none of them grants is refused. An empty list in a rule matches nobody and grants nothing.
// They could as well be a JSON file, see tokenexchange.ParsePolicy.
var rules = []tokenexchange.Rule{
	{
		// The web app makes its users' tokens smaller before it sends them anywhere.
		Name: "narrow", Narrow: &tokenexchange.Narrowing{}, Clients: []string{"webapp"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		SubjectAudience: true,                     // targets: those of the token that is presented
		Scope:           tokenexchange.Scope{"*"}, // scope: whatever token and client have in common
		Lifetime:        5 * time.Minute,
	},
	{
		// A support agent acts for a user. Which agent for which user is for AuthorizeActor, and for the user's may_act.
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
		// The AI agent acts for whom it was called, and only towards its tool.
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
		MaxChain: 2, // somebody, and the agent
	},
	{
		// The gateway speaks to a ledger that is older than act. Its tokens don't tell that it is the gateway that calls.
		Name: "legacy", Impersonate: &tokenexchange.Impersonation{}, Clients: []string{"gateway"},
		Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
		Targets:  []string{"https://ledger.example"},
		Scope:    tokenexchange.Scope{"orders:read"},
		Lifetime: time.Minute,
	},
}
