package main

import "github.com/go-tokenexchange/tokenexchange"

// step is one exchange: the request, and everything that must come of it.
type step struct {
	title  string // empty: one more exchange of the step before
	client string
	form   fields // tokens by name; <token N> is the token of step N
	answer fields
	token  fields // empty: no token
	audit  fields
}

const (
	accessToken = string(tokenexchange.TypeAccessToken)

	byBob   = `{"iss":"https://as.example","sub":"bob","client_id":"helpdesk"}`
	byAgent = `{"iss":"https://as.example","sub":"ai-agent","client_id":"ai-agent","act":` + byBob +
		`}`
)

// steps are the walk. A member of the response or a claim that is not listed must not be there.
var steps = []step{
	{
		title:  "NARROW: webapp narrows alice's token to one API and to reading",
		client: "webapp",
		form: fields{
			{"subject_token", "<alice's token>"}, {"subject_token_type", accessToken},
			{"audience", "https://orders.example"}, {"scope", "orders:read"},
		},
		answer: granted("<token 1>", "300", "orders:read"),
		token: fields{
			{"sub", "alice"}, {"client_id", "webapp"}, {"aud", `"https://orders.example"`},
			{"scope", "orders:read"}, {"exp", "iat+5m"}, {"act", "none"},
			{"lineage", `{"from":[<alice's token>]}`},
		},
		audit: audited("granted", "narrow", "webapp", "alice", "-", "-"),
	},
	{
		title:  "DELEGATE: bob, a support agent, acts for alice; her token names him in may_act",
		client: "helpdesk",
		form: fields{
			{"subject_token", "<alice's token for bob>"}, {"subject_token_type", accessToken},
			{"actor_token", "<bob's token>"}, {"actor_token_type", accessToken},
			{"audience", "https://orders.example"}, {"audience", "https://ai-agent.example"},
		},
		answer: granted("<token 2>", "600", "orders:read tickets"),
		token: fields{
			{"sub", "alice"}, {"client_id", "helpdesk"},
			{"aud", `["https://orders.example","https://ai-agent.example"]`},
			{"scope", "orders:read tickets"}, {"exp", "iat+10m"}, {"act", byBob},
			{"lineage", `{"lent":true,"from":[<alice's token for bob>,<bob's token>]}`},
		},
		audit: audited("granted", "support", "helpdesk", "alice", "bob", "act: bob"),
	},
	{
		title:  "DELEGATE AGAIN: the AI agent that bob has called uses its tool; act nests",
		client: "ai-agent",
		form: fields{
			{"subject_token", "<token 2>"}, {"subject_token_type", accessToken},
			{"actor_token", "<ai-agent's token>"}, {"actor_token_type", accessToken},
			{"audience", "https://tickets.example"}, {"scope", "tickets"},
		},
		answer: granted("<token 3>", "120", "tickets"),
		token: fields{
			{"sub", "alice"}, {"client_id", "ai-agent"}, {"aud", `"https://tickets.example"`},
			{"scope", "tickets"}, {"exp", "iat+2m"}, {"act", byAgent},
			{"lineage", `{"lent":true,"from":[<alice's token for bob>,<bob's token>,<token 2>,` +
				`<ai-agent's token>]}`},
		},
		audit: audited("granted", "tool", "ai-agent", "alice",
			"ai-agent", "act: ai-agent, before bob"),
	},
	{
		title:  "IMPERSONATE: gateway calls an old API as alice, under a rule for that; no act",
		client: "gateway",
		form: fields{
			{"subject_token", "<alice's token>"}, {"subject_token_type", accessToken},
			{"audience", "https://ledger.example"}, {"scope", "orders:read"},
		},
		answer: granted("<token 4>", "60", "orders:read"),
		token: fields{
			{"sub", "alice"}, {"client_id", "gateway"}, {"aud", `"https://ledger.example"`},
			{"scope", "orders:read"}, {"exp", "iat+1m"}, {"act", "none"},
			{"lineage", `{"lent":true,"from":[<alice's token>]}`},
		},
		audit: audited("granted", "legacy", "gateway", "alice", "-", "-"),
	},
	{
		title:  "REFUSED: a scope that alice's token does not have",
		client: "webapp",
		form: fields{
			{"subject_token", "<alice's token>"}, {"subject_token_type", accessToken},
			{"audience", "https://orders.example"}, {"scope", "orders:read orders:admin"},
		},
		answer: refused("invalid_scope",
			"The requested scope is malformed, or more than may be granted."),
		audit: audited("refused", "narrow", "webapp", "alice", "-",
			"scope_not_allowed"),
	},
	{
		title:  "REFUSED: a target that no rule allows",
		client: "webapp",
		form: fields{
			{"subject_token", "<alice's token>"}, {"subject_token_type", accessToken},
			{"audience", "https://payroll.example"},
		},
		answer: refused("invalid_target",
			"A requested audience or resource is malformed, unknown or not acceptable."),
		audit: audited("refused", "narrow", "webapp", "alice", "-", "target_not_allowed"),
	},
	{
		title:  "REFUSED: bob again, but the may_act of this token names carol",
		client: "helpdesk",
		form: fields{
			{"subject_token", "<alice's token for carol>"}, {"subject_token_type", accessToken},
			{"actor_token", "<bob's token>"}, {"actor_token_type", accessToken},
			{"audience", "https://orders.example"},
		},
		answer: refused("invalid_request",
			"The request is malformed, or a token in it is not acceptable."),
		audit: audited("refused", "-", "helpdesk", "alice", "bob", "may_act_other_actor"),
	},
	{
		title:  "REFUSED: a repeated parameter",
		client: "webapp",
		form: fields{
			{"subject_token", "<alice's token>"}, {"subject_token_type", accessToken},
			{"audience", "https://orders.example"}, {"scope", "orders:read"},
			{"scope", "orders:write"},
		},
		answer: refused("invalid_request", "The parameter scope is repeated."),
		audit:  audited("refused", "-", "webapp", "-", "-", "parameter_repeated"),
	},
	{
		title: "REFUSED: bob with a narrowed copy of the token for carol; " +
			"its may_act stays until an actor acts",
		client: "webapp",
		form: fields{
			{"subject_token", "<alice's token for carol>"}, {"subject_token_type", accessToken},
			{"audience", "helpdesk"}, {"scope", "orders:read"},
		},
		answer: granted("<token 9>", "300", "orders:read"),
		token: fields{
			{"sub", "alice"}, {"client_id", "webapp"}, {"aud", `"helpdesk"`},
			{"scope", "orders:read"}, {"exp", "iat+5m"}, {"act", "none"},
			{"may_act", `{"iss":"https://as.example","sub":"carol"}`},
			{"lineage", `{"from":[<alice's token for carol>]}`},
		},
		audit: audited("granted", "narrow", "webapp", "alice", "-", "-"),
	},
	{
		client: "helpdesk",
		form: fields{
			{"subject_token", "<token 9>"}, {"subject_token_type", accessToken},
			{"actor_token", "<bob's token>"}, {"actor_token_type", accessToken},
			{"audience", "https://orders.example"},
		},
		answer: refused("invalid_request",
			"The request is malformed, or a token in it is not acceptable."),
		audit: audited("refused", "-", "helpdesk", "alice", "bob",
			"may_act_other_actor"),
	},
}

func granted(token, seconds, scope string) fields {
	return fields{
		{"status", "200"}, {"access_token", token}, {"issued_token_type", accessToken},
		{"token_type", "Bearer"},
		{"expires_in", seconds}, {"scope", scope},
	}
}

func refused(code tokenexchange.Code, description string) fields {
	return fields{{"status", "400"}, {"error", string(code)}, {"error_description", description}}
}

func audited(outcome, rule, client, subject, actor, detail string) fields {
	return fields{
		{"outcome", outcome}, {"rule", rule}, {"client", client},
		{"subject", subject}, {"actor", actor}, {"detail", detail},
	}
}
