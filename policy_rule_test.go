package tokenexchange_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// TestNewPolicy_RefusesWhatCouldNeverMatch makes policies with a rule that grants nothing, or
// grants less or more than it seems to. The error names the rule and the problem.
func TestNewPolicy_RefusesWhatCouldNeverMatch(t *testing.T) {
	const id, access, jwt = tx.TypeIDToken, tx.TypeAccessToken, tx.TypeJWT
	type rule = *flatRule
	anyClient := []string{"*"}
	types := func(list ...tx.TokenType) []tx.TokenType { return list }
	tests := []struct {
		row     string
		mode    tx.Mode
		problem string
		change  func(rule)
	}{
		{"D02", tx.Narrow, "name is missing", func(r rule) { r.Name = "" }},
		{"I01", tx.Narrow, "clients: at least one", func(r rule) { r.Clients = nil }},
		{"I01", tx.Narrow, "clients: at least one", func(r rule) {
			r.Clients = []string{"c1", ""}
		}},
		{"D02", tx.Narrow, "must stand alone", func(r rule) { r.Clients = []string{"*", "c1"} }},
		{"I01", tx.Narrow, "subjects: at least one", func(r rule) { r.Subjects = nil }},
		{"D19", tx.Narrow, `subjects[0]: kind is ""`, func(r rule) {
			r.Subjects = []tx.Identity{{}}
		}},
		{"D19", tx.Narrow, "subjects[0]: id is missing", func(r rule) {
			r.Subjects = []tx.Identity{{Kind: "*"}}
		}},
		{"D19", tx.Narrow, `subjects[0]: kind is "person"`, func(r rule) {
			r.Subjects = []tx.Identity{{Kind: "person", ID: "*"}}
		}},
		{"D19", tx.Delegate, `actors[0]: kind is ""`, func(r rule) { r.Actors[0].Kind = "" }},
		{"I01", tx.Narrow, "subject_types: at least one", func(r rule) { r.SubjectTypes = nil }},
		{"I01", tx.Narrow, "subject_types: at least one", func(r rule) {
			r.SubjectTypes = types("")
		}},
		{"I01", tx.Narrow, "types: at least one", func(r rule) { r.Types = nil }},
		{"D28", tx.Impersonate, "refresh token", func(r rule) {
			r.Types = types(tx.TypeRefreshToken)
		}},
		{"D28", tx.Delegate, "refresh token", func(r rule) {
			r.ActorTypes = types(tx.TypeRefreshToken)
		}},
		{"D28", tx.Narrow, "mode narrow accepts", func(r rule) {
			r.SubjectTypes = types(tx.TypeRefreshToken)
		}},
		{"D28", tx.Narrow, "mode narrow accepts", func(r rule) {
			r.SubjectTypes = types(access, tx.TypeRefreshToken)
		}},
		{"D10", tx.Delegate, "actors: at least one", func(r rule) { r.Actors = nil }},
		{"D10", tx.Delegate, "actor_types: at least one", func(r rule) { r.ActorTypes = nil }},

		{"D24", tx.Narrow, "allows no target", func(r rule) { r.Targets = nil }},
		{"D24", tx.Narrow, "exact name", func(r rule) { r.Targets = []string{"*"} }},
		{"D24", tx.Narrow, "exact name", func(r rule) { r.Targets = []string{""} }},
		{"D24", tx.Narrow, "default_targets", func(r rule) {
			r.DefaultTargets = []string{"https://other.example"}
		}},
		{"D24", tx.Impersonate, "subject_audience", func(r rule) {
			r.SubjectTypes, r.SubjectAudience = types(id), true
		}},
		{"D24", tx.Delegate, "actor_audience", func(r rule) {
			r.ActorTypes, r.ActorAudience = types(id), true
		}},

		{"R06", tx.Narrow, "malformed", func(r rule) { r.Scope = tx.Scope{"two words"} }},
		{"R06", tx.Impersonate, "malformed", func(r rule) { r.Expand = tx.Scope{""} }},
		{"D21", tx.Narrow, "must stand alone", func(r rule) { r.Scope = tx.Scope{"*", "read"} }},
		{"D21", tx.Impersonate, "must be named", func(r rule) { r.Expand = tx.Scope{"*"} }},
		{"D23", tx.Impersonate, "asks for impersonation", func(r rule) {
			r.Scope = tx.Scope{"act_as:bob"}
		}},
		{"D23", tx.Impersonate, "cannot be an expansion", func(r rule) {
			r.Expand = tx.Scope{"openid"}
		}},
		{"D23", tx.Impersonate, "id_token", func(r rule) { r.Scope = tx.Scope{"openid"} }},
		{"D23", tx.Impersonate, "refresh_lifetime", func(r rule) {
			r.Scope = tx.Scope{"offline_access"}
		}},
		{"D23", tx.Impersonate, "cannot add refresh tokens", func(r rule) {
			r.Types, r.RefreshLifetime = types(id), time.Hour
		}},

		{"D25", tx.Narrow, "lifetime", func(r rule) { r.Lifetime = 0 }},
		{"D25", tx.Narrow, "lifetime", func(r rule) { r.Lifetime = time.Second - 1 }},
		{"D25", tx.Narrow, "lifetime", func(r rule) { r.Lifetime = 1 << 31 * time.Second }},
		{"D15", tx.Impersonate, "max_chain", func(r rule) { r.MaxChain = -1 }},
		{"D15", tx.Impersonate, "max_chain", func(r rule) { r.MaxChain = 33 }},

		{"D01", tx.Narrow, "mode narrow accepts", func(r rule) {
			r.SubjectTypes = types(access, id)
		}},
		{"D01", tx.Narrow, "mode narrow accepts", func(r rule) { r.SubjectTypes = types(jwt) }},
		{"D01", tx.Narrow, "cannot issue an ID token", func(r rule) { r.Types = types(id) }},
		{"D04", tx.Impersonate, "an issuer is empty", func(r rule) { r.Issuers = []string{""} }},
		{"R09", tx.Impersonate, "clients by name", func(r rule) {
			r.Clients, r.PublicClients = anyClient, true
		}},
		{"D04", tx.Impersonate, "clients by name", func(r rule) {
			r.Clients, r.OtherTokens = anyClient, true
		}},
		{"D05", tx.Delegate, "clients by name", func(r rule) {
			r.Clients, r.OtherActors = anyClient, true
		}},
		{"D04", tx.Impersonate, "clients by name", func(r rule) {
			r.Clients, r.Issuers = anyClient, []string{"x"}
		}},
		{"D13", tx.Impersonate, "clients by name", func(r rule) {
			r.Clients, r.Carry = anyClient, true
		}},
	}
	for i, test := range tests {
		t.Run(fmt.Sprintf("%s/%d/%s", test.row, i, test.problem), func(t *testing.T) {
			r := plain(test.mode)
			_, err := newPolicy(r)
			require.NoError(t, err, "the rule is good before the change")
			test.change(&r)
			_, err = newPolicy(named("first", plain(tx.Narrow)), r)
			require.ErrorContains(t, err, test.problem)
			require.ErrorContains(t, err, fmt.Sprintf("rule %q (number 2)", r.Name))
		})
	}
}

func TestNewPolicy_RefusesANameTwice_D02(t *testing.T) {
	_, err := newPolicy(plain(tx.Narrow), plain(tx.Impersonate))
	require.ErrorContains(t, err, `rule "plain" (number 2): another rule has the same name`)
}

// TestPolicy_IsImmutable_I09: a caller that changes its own rules later changes no decision.
func TestPolicy_IsImmutable_I09(t *testing.T) {
	for _, mode := range []tx.Mode{tx.Narrow, tx.Delegate, tx.Impersonate, tx.ClientActs} {
		r := plain(mode)
		r.Issuers, r.Expand = []string{"https://idp.example"}, tx.Scope{"transfer"}
		r.DefaultTargets = slices.Clone(r.Targets)
		rule := r.build()
		p, err := tx.NewPolicy(rule)
		require.NoError(t, err)
		before, err := json.Marshal(p)
		require.NoError(t, err)
		rule.Clients[0], rule.Subjects[0].ID, rule.DefaultTargets[0] = "x", "x", "x"
		rule.Targets[0], rule.Scope[0], rule.Types[0], rule.SubjectTypes[0] = "x", "x", "x", "x"
		switch {
		case rule.Narrow != nil:
			rule.Narrow.PublicClients = true
		case rule.Delegate != nil:
			rule.Delegate.Actors[0].ID, rule.Delegate.ActorTypes[0] = "x", "x"
			rule.Delegate.Issuers[0], rule.Delegate.Expand[0] = "x", "x"
			rule.Delegate.Self = true
		case rule.Impersonate != nil:
			rule.Impersonate.Issuers[0], rule.Impersonate.Expand[0] = "x", "x"
			rule.Impersonate.Carry = true
		default:
			rule.ClientActs.Issuers[0], rule.ClientActs.Expand[0] = "x", "x"
			rule.ClientActs.Self = true
		}
		after, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), mode)
	}
}

// full returns a policy in which each field of a rule is set somewhere.
func full(t *testing.T) *tx.Policy {
	t.Helper()
	d := named("delegate", plain(tx.Delegate))
	d.DefaultTargets = []string{"https://api.example"}
	d.TenantTargets, d.SubjectAudience, d.ActorAudience = true, true, true
	d.Expand, d.Issuers, d.MaxChain = tx.Scope{"transfer"}, []string{"https://idp.example"}, 7
	d.PublicClients, d.OtherTokens, d.OtherActors, d.Self = true, true, true, true
	d.OutliveSubject, d.OutliveActor, d.Rebind, d.IDToken = true, true, true, true
	d.Lifetime, d.RefreshLifetime = 1500*time.Millisecond, 90*time.Minute
	i := named("impersonate", plain(tx.Impersonate))
	i.Carry, i.MayActClient, i.Scope = true, true, tx.Scope{"*"}
	i.Subjects[0] = tx.Identity{Issuer: "*", Kind: tx.KindUser, Tenant: "acme", ID: "alice"}
	n, c := named("narrow", plain(tx.Narrow)), named("client", plain(tx.ClientActs))
	p, err := newPolicy(d, i, n, c)
	require.NoError(t, err)
	return p
}

// TestParsePolicy_RoundTrip writes policies as JSON and parses them again.
func TestParsePolicy_RoundTrip(t *testing.T) {
	for name, p := range map[string]*tx.Policy{"full": full(t), "zero": {}, "nil": nil} {
		data, err := json.Marshal(p)
		require.NoError(t, err)
		if p == nil {
			require.Equal(t, "null", string(data))
			continue
		}
		again, err := tx.ParsePolicy(data)
		require.NoError(t, err, name)
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(data), string(twice))
	}
	data, err := json.Marshal(full(t))
	require.NoError(t, err)
	again, err := tx.ParsePolicy(data)
	require.NoError(t, err)
	require.Equal(t, full(t), again)
	for _, member := range []string{
		"max_chain", "outlive_actor", "refresh_lifetime", "may_act_client", "issuers",
		"tenant_targets",
	} {
		require.Contains(t, string(data), member)
	}
}

// TestParsePolicy_IsStrict parses a policy with one mistake at a time.
func TestParsePolicy_IsStrict(t *testing.T) {
	good := `{"name":"r","narrow":{},"clients":["c1"],"subjects":[{"kind":"user","id":"*"}],
		"subject_types":["urn:ietf:params:oauth:token-type:access_token"],
		"types":["urn:ietf:params:oauth:token-type:access_token"],
		"targets":["https://api.example"],"lifetime":"5m"}`
	_, err := tx.ParsePolicy([]byte(`{"rules":[` + good + `]}`))
	require.NoError(t, err)
	change := func(old, new string) string {
		changed := strings.Replace(good, old, new, 1)
		require.NotEqual(t, good, changed)
		return `{"rules":[` + changed + `]}`
	}
	for name, test := range map[string]struct{ data, problem string }{
		"nothing":                  {``, "not valid JSON"},
		"an array":                 {`[]`, "not an object"},
		"another member":           {`{"rule":[]}`, `unknown member "rule"`},
		"rules twice":              {`{"rules":[],"rules":[]}`, "twice"},
		"rules that are no array":  {`{"rules":{}}`, "rules"},
		"a rule that is no object": {`{"rules":[1]}`, "number 1"},

		"an unknown member": {
			change(`"lifetime"`, `"lifespan":"1h","lifetime"`),
			`rule "r" (number 1): unknown member "lifespan"`,
		},
		"a member in another case": {
			change(`"targets"`, `"Targets"`), `unknown member "Targets"`,
		},
		"a member that is not to be": {
			change(`"lifetime"`, `"MaxChain":1,"lifetime"`), "unknown member",
		},
		"a member twice": {change(`"name":"r"`, `"name":"r","name":"r"`), "twice"},
		"null":           {change(`["c1"]`, `null`), "null"},

		"a misspelled mode": {change(`"narrow"`, `"narow"`), `unknown member "narow"`},
		"no mode":           {change(`"narrow":{},`, ``), "0 of narrow"},
		"two modes":         {change(`"narrow":{}`, `"narrow":{},"impersonate":{}`), "2 of narrow"},
		"a setting without its mode": {
			change(`"narrow":{}`, `"narrow":{},"carry":true`), `unknown member "carry"`,
		},

		"a lifetime in numbers":   {change(`"5m"`, `300`), "lifetime"},
		"a lifetime without unit": {change(`"5m"`, `"300"`), "is not a duration"},
		"a pattern with a slip": {
			change(`"id":"*"`, `"id":"*","tennant":"x"`), `subjects: unknown member "tennant"`,
		},
		"a pattern in another case": {
			change(`"kind"`, `"Kind"`), `subjects: unknown member "Kind"`,
		},
		"a type that is no string":  {change(`"types":[`, `"types":[1,`), "types"},
		"a rule that never matches": {change(`["https://api.example"]`, `[]`), "allows no target"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tx.ParsePolicy([]byte(test.data))
			require.ErrorContains(t, err, test.problem)
		})
	}
}

// TestParsePolicy_SettingsOfAMode checks that a setting exists in the modes that use it, and in no
// other (D01).
func TestParsePolicy_SettingsOfAMode(t *testing.T) {
	everywhere := []string{"narrow", "impersonate", "delegate", "client_as_actor"}
	wide := everywhere[1:]
	settings := map[string]struct {
		value string
		modes []string
	}{
		"public_clients":   {`true`, everywhere[:3]},
		"may_act_client":   {`true`, []string{"impersonate", "client_as_actor"}},
		"carry":            {`true`, []string{"impersonate"}},
		"self":             {`true`, []string{"delegate", "client_as_actor"}},
		"actor_audience":   {`true`, []string{"delegate"}},
		"other_actors":     {`true`, []string{"delegate"}},
		"outlive_actor":    {`true`, []string{"delegate"}},
		"other_tokens":     {`true`, wide},
		"issuers":          {`["https://idp.example"]`, wide},
		"tenant_targets":   {`true`, wide},
		"expand":           {`["transfer"]`, wide},
		"outlive_subject":  {`true`, wide},
		"rebind":           {`true`, wide},
		"id_token":         {`true`, wide},
		"refresh_lifetime": {`"1h"`, wide},
		"actors":           {`[{"kind":"user","id":"*"}]`, []string{"delegate"}},
		"actor_types":      {`["` + string(tx.TypeAccessToken) + `"]`, []string{"delegate"}},
		"replace_may_act":  {`true`, nil},
		"lifetime":         {`"1h"`, nil},
	}
	for name, s := range settings {
		for _, mode := range everywhere {
			members := map[string]json.RawMessage{}
			if mode == "delegate" {
				members["actors"] = json.RawMessage(settings["actors"].value)
				members["actor_types"] = json.RawMessage(settings["actor_types"].value)
			}
			members[name] = json.RawMessage(s.value)
			policy := mustJSON(t, map[string]any{"rules": []any{map[string]any{
				"name": "r", "clients": []string{"c1"}, mode: members,
				"subjects":      []tx.Identity{{Kind: tx.KindUser, ID: "*"}},
				"subject_types": []tx.TokenType{tx.TypeAccessToken},
				"types":         []tx.TokenType{tx.TypeAccessToken},
				"targets":       []string{"https://api.example"}, "lifetime": "5m",
			}}})
			_, err := tx.ParsePolicy([]byte(policy))
			if slices.Contains(s.modes, mode) {
				require.NoError(t, err, "%s in %s", name, mode)
			} else {
				require.ErrorContains(t, err, fmt.Sprintf("unknown member %q", name), mode)
			}
		}
	}
}

// FuzzParsePolicy checks that a policy which is parsed and written as JSON parses to the same JSON.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"rules":[]}`))
	f.Add([]byte(`{"rules":[{"name":"r","narrow":{},"clients":["c1"],` +
		`"subjects":[{"kind":"user","id":"*"}],` +
		`"subject_types":["urn:ietf:params:oauth:token-type:access_token"],` +
		`"types":["urn:ietf:params:oauth:token-type:access_token"],` +
		`"targets":["a"],"lifetime":"5m"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := tx.ParsePolicy(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(p)
		require.NoError(t, err)
		again, err := tx.ParsePolicy(written)
		require.NoError(t, err)
		rewritten, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(written), string(rewritten))
	})
}
