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

// plain is a rule with nothing to find fault with, in a mode.
func plain(mode tx.Mode) flatRule {
	everybody := []tx.Identity{{Kind: "*", Tenant: "*", ID: "*"}}
	r := flatRule{Mode: mode}
	r.Rule = tx.Rule{
		Name: "plain", Clients: []string{"c1"}, Subjects: everybody, SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
		Types: []tx.TokenType{tx.TypeAccessToken}, Targets: []string{"https://api.example"}, Scope: tx.Scope{"read"}, Lifetime: time.Minute,
	}
	if mode == tx.Delegate {
		r.Actors, r.ActorTypes = everybody, []tx.TokenType{tx.TypeAccessToken}
	}
	return r
}

func named(name string, r flatRule) flatRule {
	r.Name = name
	return r
}

// TestNewPolicy_RefusesWhatCouldNeverMatch: a rule that grants nothing, or less or more than it seems to, is an error that
// names it and says why.
func TestNewPolicy_RefusesWhatCouldNeverMatch(t *testing.T) {
	const id, at, jwt = tx.TypeIDToken, tx.TypeAccessToken, tx.TypeJWT
	tests := []struct {
		row     string
		mode    tx.Mode
		change  func(*flatRule)
		problem string
	}{
		{"D02", tx.Narrow, func(r *flatRule) { r.Name = "" }, "name is missing"},
		{"I01", tx.Narrow, func(r *flatRule) { r.Clients = nil }, "clients: at least one"},
		{"I01", tx.Narrow, func(r *flatRule) { r.Clients = []string{"c1", ""} }, "clients: at least one"},
		{"D02", tx.Narrow, func(r *flatRule) { r.Clients = []string{"*", "c1"} }, "must stand alone"},
		{"I01", tx.Narrow, func(r *flatRule) { r.Subjects = nil }, "subjects: at least one"},
		{"D19", tx.Narrow, func(r *flatRule) { r.Subjects = []tx.Identity{{}} }, `subjects[0]: kind is ""`},
		{"D19", tx.Narrow, func(r *flatRule) { r.Subjects = []tx.Identity{{Kind: "*"}} }, "subjects[0]: id is missing"},
		{"D19", tx.Narrow, func(r *flatRule) { r.Subjects = []tx.Identity{{Kind: "person", ID: "*"}} }, `subjects[0]: kind is "person"`},
		{"D19", tx.Delegate, func(r *flatRule) { r.Actors[0].Kind = "" }, `actors[0]: kind is ""`},
		{"I01", tx.Narrow, func(r *flatRule) { r.SubjectTypes = nil }, "subject_types: at least one"},
		{"I01", tx.Narrow, func(r *flatRule) { r.SubjectTypes = []tx.TokenType{""} }, "subject_types: at least one"},
		{"I01", tx.Narrow, func(r *flatRule) { r.Types = nil }, "types: at least one"},
		{"D28", tx.Impersonate, func(r *flatRule) { r.Types = []tx.TokenType{tx.TypeRefreshToken} }, "refresh token"},
		{"D28", tx.Delegate, func(r *flatRule) { r.ActorTypes = []tx.TokenType{tx.TypeRefreshToken} }, "refresh token"},
		{"D28", tx.Narrow, func(r *flatRule) {
			r.SubjectTypes = []tx.TokenType{tx.TypeRefreshToken}
		}, "mode narrow accepts"},
		{"D28", tx.Narrow, func(r *flatRule) {
			r.SubjectTypes = append(r.SubjectTypes,
				tx.TypeRefreshToken)
		}, "mode narrow accepts"},
		{"D10", tx.Delegate, func(r *flatRule) { r.Actors = nil }, "authorizer: at least one"},
		{"D10", tx.Delegate, func(r *flatRule) { r.ActorTypes = nil }, "actor_types: at least one"},
		{"D24", tx.Narrow, func(r *flatRule) { r.Targets = nil }, "allows no target"},
		{"D24", tx.Narrow, func(r *flatRule) { r.Targets = []string{"*"} }, "exact name"},
		{"D24", tx.Narrow, func(r *flatRule) { r.Targets = []string{""} }, "exact name"},
		{"D24", tx.Narrow, func(r *flatRule) { r.DefaultTargets = []string{"https://other.example"} }, "default_targets"},
		{"D24", tx.Impersonate, func(r *flatRule) { r.SubjectTypes, r.SubjectAudience = []tx.TokenType{id}, true }, "subject_audience"},
		{"D24", tx.Delegate, func(r *flatRule) { r.ActorTypes, r.ActorAudience = []tx.TokenType{id}, true }, "actor_audience"},
		{"R06", tx.Narrow, func(r *flatRule) { r.Scope = tx.Scope{"two words"} }, "malformed"},
		{"R06", tx.Impersonate, func(r *flatRule) { r.Expand = tx.Scope{""} }, "malformed"},
		{"D21", tx.Narrow, func(r *flatRule) { r.Scope = tx.Scope{"*", "read"} }, "must stand alone"},
		{"D21", tx.Impersonate, func(r *flatRule) { r.Expand = tx.Scope{"*"} }, "must be named"},
		{"D23", tx.Impersonate, func(r *flatRule) { r.Scope = tx.Scope{"act_as:bob"} }, "asks for impersonation"},
		{"D23", tx.Impersonate, func(r *flatRule) { r.Expand = tx.Scope{"openid"} }, "cannot be an expansion"},
		{"D23", tx.Impersonate, func(r *flatRule) { r.Scope = tx.Scope{"openid"} }, "id_token"},
		{"D23", tx.Impersonate, func(r *flatRule) { r.Scope = tx.Scope{"offline_access"} }, "refresh_lifetime"},
		{"D23", tx.Impersonate, func(r *flatRule) {
			r.Types, r.RefreshLifetime = []tx.TokenType{id}, time.Hour
		}, "cannot add refresh tokens"},
		{"D25", tx.Narrow, func(r *flatRule) { r.Lifetime = 0 }, "lifetime"},
		{"D25", tx.Narrow, func(r *flatRule) { r.Lifetime = time.Second - 1 }, "lifetime"},
		{"D25", tx.Narrow, func(r *flatRule) { r.Lifetime = 1 << 31 * time.Second }, "lifetime"},
		{"D15", tx.Impersonate, func(r *flatRule) { r.MaxChain = -1 }, "max_chain"},
		{"D15", tx.Impersonate, func(r *flatRule) { r.MaxChain = 33 }, "max_chain"},
		{"D01", tx.Narrow, func(r *flatRule) { r.SubjectTypes = []tx.TokenType{at, id} }, "mode narrow accepts"},
		{"D01", tx.Narrow, func(r *flatRule) { r.SubjectTypes = []tx.TokenType{jwt} }, "mode narrow accepts"},
		{"D01", tx.Narrow, func(r *flatRule) { r.Types = []tx.TokenType{id} }, "cannot issue an ID token"},
		{"D04", tx.Impersonate, func(r *flatRule) { r.Issuers = []string{""} }, "an issuer is empty"},
		{"R09", tx.Impersonate, func(r *flatRule) { r.Clients, r.PublicClients = []string{"*"}, true }, "clients by name"},
		{"D04", tx.Impersonate, func(r *flatRule) { r.Clients, r.OtherTokens = []string{"*"}, true }, "clients by name"},
		{"D05", tx.Delegate, func(r *flatRule) { r.Clients, r.OtherActors = []string{"*"}, true }, "clients by name"},
		{"D04", tx.Impersonate, func(r *flatRule) { r.Clients, r.Issuers = []string{"*"}, []string{"x"} }, "clients by name"},
		{"D13", tx.Impersonate, func(r *flatRule) { r.Clients, r.Carry = []string{"*"}, true }, "clients by name"},
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

// TestPolicy_IsImmutable_I09: what a caller does to its own slices afterwards changes no decision.
func TestPolicy_IsImmutable_I09(t *testing.T) {
	r := plain(tx.Delegate)
	p, err := newPolicy(r)
	require.NoError(t, err)
	before, err := json.Marshal(p)
	require.NoError(t, err)
	r.Clients[0], r.Subjects[0].ID, r.Actors[0].ID, r.Targets[0], r.Scope[0] = "x", "x", "x", "x", "x"
	r.Types[0], r.SubjectTypes[0], r.ActorTypes[0] = "x", "x", "x"
	after, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

// full is a policy in which every member of a rule is set somewhere.
func full(t *testing.T) *tx.Policy {
	t.Helper()
	d := named("delegate", plain(tx.Delegate))
	d.DefaultTargets, d.TenantTargets, d.SubjectAudience, d.ActorAudience = []string{"https://api.example"}, true, true, true
	d.Expand, d.RefreshLifetime, d.MaxChain, d.PublicClients, d.OtherTokens, d.OtherActors = tx.Scope{"transfer"}, 90*time.Minute, 7, true, true, true
	d.Issuers, d.Self, d.OutliveSubject, d.OutliveActor, d.Rebind = []string{"https://idp.example"}, true, true, true, true
	d.IDToken, d.Lifetime = true, 1500*time.Millisecond
	i := named("impersonate", plain(tx.Impersonate))
	i.Carry, i.MayActClient, i.Scope = true, true, tx.Scope{"*"}
	i.Subjects[0] = tx.Identity{Issuer: "*", Kind: tx.KindUser, Tenant: "acme", ID: "alice"}
	p, err := newPolicy(d, i, named("narrow", plain(tx.Narrow)), named("client", plain(tx.ClientActs)))
	require.NoError(t, err)
	return p
}

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
	for _, member := range []string{"max_chain", "outlive_actor", "refresh_lifetime", "may_act_client", "issuers", "tenant_targets"} {
		require.Contains(t, string(data), member)
	}
}

func TestParsePolicy_IsStrict(t *testing.T) {
	good := `{"name":"r","narrow":{},"clients":["c1"],"subjects":[{"kind":"user","id":"*"}],
		"subject_types":["urn:ietf:params:oauth:token-type:access_token"],"types":["urn:ietf:params:oauth:token-type:access_token"],
		"targets":["https://api.example"],"lifetime":"5m"}`
	_, err := tx.ParsePolicy([]byte(`{"rules":[` + good + `]}`))
	require.NoError(t, err)
	change := func(old, new string) string {
		changed := strings.Replace(good, old, new, 1)
		require.NotEqual(t, good, changed)
		return `{"rules":[` + changed + `]}`
	}
	for name, test := range map[string]struct{ data, problem string }{
		"nothing":                    {``, "not valid JSON"},
		"an array":                   {`[]`, "not an object"},
		"another member":             {`{"rule":[]}`, `unknown member "rule"`},
		"rules twice":                {`{"rules":[],"rules":[]}`, "twice"},
		"rules that are no array":    {`{"rules":{}}`, "rules"},
		"a rule that is no object":   {`{"rules":[1]}`, "number 1"},
		"an unknown member":          {change(`"lifetime"`, `"lifespan":"1h","lifetime"`), `rule "r" (number 1): unknown member "lifespan"`},
		"a member in another case":   {change(`"targets"`, `"Targets"`), `unknown member "Targets"`},
		"a member twice":             {change(`"name":"r"`, `"name":"r","name":"r"`), "twice"},
		"null":                       {change(`["c1"]`, `null`), "null"},
		"a misspelled mode":          {change(`"narrow"`, `"narow"`), `unknown member "narow"`},
		"no mode":                    {change(`"narrow":{},`, ``), "0 of narrow"},
		"two modes":                  {change(`"narrow":{}`, `"narrow":{},"impersonate":{}`), "2 of narrow"},
		"a setting without its mode": {change(`"narrow":{}`, `"narrow":{},"carry":true`), `unknown member "carry"`},
		"a lifetime in numbers":      {change(`"5m"`, `300`), "lifetime"},
		"a lifetime without unit":    {change(`"5m"`, `"300"`), "is not a duration"},
		"a pattern with a slip":      {change(`"id":"*"`, `"id":"*","tennant":"x"`), `subjects: unknown member "tennant"`},
		"a pattern in another case":  {change(`"kind"`, `"Kind"`), `subjects: unknown member "Kind"`},
		"a type that is no string":   {change(`"types":[`, `"types":[1,`), "types"},
		"a rule that never matches":  {change(`["https://api.example"]`, `[]`), "allows no target"},
		"a member that is not to be": {change(`"lifetime"`, `"MaxChain":1,"lifetime"`), "unknown member"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tx.ParsePolicy([]byte(test.data))
			require.ErrorContains(t, err, test.problem)
		})
	}
}

// TestParsePolicy_SettingsOfAMode: a setting exists in the modes that use it, and in no other (D01).
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
			_, err := tx.ParsePolicy([]byte(mustJSON(t, map[string]any{"rules": []any{map[string]any{
				"name": "r", "clients": []string{"c1"}, mode: members,
				"subjects":      []tx.Identity{{Kind: tx.KindUser, ID: "*"}},
				"subject_types": []tx.TokenType{tx.TypeAccessToken},
				"types":         []tx.TokenType{tx.TypeAccessToken},
				"targets":       []string{"https://api.example"}, "lifetime": "5m",
			}}})))
			if slices.Contains(s.modes, mode) {
				require.NoError(t, err, "%s in %s", name, mode)
			} else {
				require.ErrorContains(t, err, fmt.Sprintf("unknown member %q", name), mode)
			}
		}
	}
}

// FuzzParsePolicy: what is accepted is written back the same.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"rules":[]}`))
	f.Add([]byte(`{"rules":[{"name":"r","narrow":{},"clients":["c1"],"subjects":[{"kind":"user","id":"*"}],` +
		`"subject_types":["urn:ietf:params:oauth:token-type:access_token"],"types":["urn:ietf:params:oauth:token-type:access_token"],` +
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
