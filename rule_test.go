package tokenexchange_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// plain is a rule with nothing to find fault with, in a mode.
func plain(mode tx.Mode) tx.Rule {
	everybody := []tx.Identity{{Kind: "*", Tenant: "*", ID: "*"}}
	r := tx.Rule{
		Name: "plain", Mode: mode, Clients: []string{"c1"}, Subjects: everybody, SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
		Types: []tx.TokenType{tx.TypeAccessToken}, Targets: []string{"https://api.example"}, Scope: tx.Scope{"read"}, Lifetime: time.Minute,
	}
	if mode == tx.Delegate {
		r.Actors, r.ActorTypes = everybody, []tx.TokenType{tx.TypeAccessToken}
	}
	return r
}

func named(name string, r tx.Rule) tx.Rule {
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
		change  func(*tx.Rule)
		problem string
	}{
		{"D02", tx.Narrow, func(r *tx.Rule) { r.Name = "" }, "no name"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Mode = "" }, "mode"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Mode = "Narrow" }, "mode"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.Clients = nil }, "names no client"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.Clients = []string{"c1", ""} }, "names no client"},
		{"D02", tx.Narrow, func(r *tx.Rule) { r.Clients = []string{"*", "c1"} }, "beside other clients"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.Subjects = nil }, "no subject"},
		{"D19", tx.Narrow, func(r *tx.Rule) { r.Subjects = []tx.Identity{{}} }, "matches nobody"},
		{"D19", tx.Narrow, func(r *tx.Rule) { r.Subjects = []tx.Identity{{Kind: "*"}} }, "matches nobody"},
		{"D19", tx.Narrow, func(r *tx.Rule) { r.Subjects = []tx.Identity{{Kind: "person", ID: "*"}} }, "matches nobody"},
		{"D19", tx.Delegate, func(r *tx.Rule) { r.Actors[0].Kind = "" }, "matches nobody"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.SubjectTypes = nil }, "no subject token type"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.SubjectTypes = []tx.TokenType{""} }, "no subject token type"},
		{"I01", tx.Narrow, func(r *tx.Rule) { r.Types = nil }, "issues no token type"},
		{"D28", tx.Impersonate, func(r *tx.Rule) { r.Types = []tx.TokenType{tx.TypeRefreshToken} }, "refresh token"},
		{"D28", tx.Delegate, func(r *tx.Rule) { r.ActorTypes = []tx.TokenType{tx.TypeRefreshToken} }, "refresh token"},
		{"D28", tx.Narrow, func(r *tx.Rule) {
			r.SubjectTypes = []tx.TokenType{tx.TypeRefreshToken}
		}, "access token"},
		{"D28", tx.Narrow, func(r *tx.Rule) {
			r.SubjectTypes = append(r.SubjectTypes,
				tx.TypeRefreshToken)
		}, "access token"},
		{"D10", tx.Delegate, func(r *tx.Rule) { r.Actors = nil }, "no actor"},
		{"D10", tx.Delegate, func(r *tx.Rule) { r.ActorTypes = nil }, "no actor token type"},
		{"D01", tx.Impersonate, func(r *tx.Rule) { r.Actors = r.Subjects }, "mode delegate"},
		{"D05", tx.ClientActs, func(r *tx.Rule) { r.OtherActors = true }, "mode delegate"},
		{"D24", tx.Impersonate, func(r *tx.Rule) { r.ActorAudience = true }, "mode delegate"},
		{"D25", tx.Impersonate, func(r *tx.Rule) { r.OutliveActor = true }, "mode delegate"},
		{"D24", tx.Narrow, func(r *tx.Rule) { r.Targets = nil }, "no target"},
		{"D24", tx.Narrow, func(r *tx.Rule) { r.Targets = []string{"*"} }, "exact name"},
		{"D24", tx.Narrow, func(r *tx.Rule) { r.Targets = []string{""} }, "exact name"},
		{"D24", tx.Narrow, func(r *tx.Rule) { r.DefaultTargets = []string{"https://other.example"} }, "default target"},
		{"D24", tx.Impersonate, func(r *tx.Rule) { r.SubjectTypes, r.SubjectAudience = []tx.TokenType{id}, true }, "subject_audience"},
		{"D24", tx.Delegate, func(r *tx.Rule) { r.ActorTypes, r.ActorAudience = []tx.TokenType{id}, true }, "actor_audience"},
		{"R06", tx.Narrow, func(r *tx.Rule) { r.Scope = tx.Scope{"two words"} }, "malformed"},
		{"R06", tx.Impersonate, func(r *tx.Rule) { r.Expand = tx.Scope{""} }, "malformed"},
		{"D21", tx.Narrow, func(r *tx.Rule) { r.Scope = tx.Scope{"*", "read"} }, "beside other scopes"},
		{"D21", tx.Impersonate, func(r *tx.Rule) { r.Expand = tx.Scope{"*"} }, "must be named"},
		{"D23", tx.Impersonate, func(r *tx.Rule) { r.Scope = tx.Scope{"act_as:bob"} }, "asks for impersonation"},
		{"D23", tx.Impersonate, func(r *tx.Rule) { r.Expand = tx.Scope{"openid"} }, "no expansions"},
		{"D23", tx.Impersonate, func(r *tx.Rule) { r.Scope = tx.Scope{"openid"} }, "id_token"},
		{"D23", tx.Impersonate, func(r *tx.Rule) { r.Scope = tx.Scope{"offline_access"} }, "refresh_token"},
		{"D23", tx.Impersonate, func(r *tx.Rule) {
			r.Types, r.RefreshToken, r.RefreshLifetime = []tx.TokenType{id}, true, time.Hour
		}, "no refresh token with an ID token"},
		{"D25", tx.Narrow, func(r *tx.Rule) { r.Lifetime = 0 }, "lifetime"},
		{"D25", tx.Narrow, func(r *tx.Rule) { r.Lifetime = time.Second - 1 }, "lifetime"},
		{"D25", tx.Narrow, func(r *tx.Rule) { r.Lifetime = 1 << 31 * time.Second }, "lifetime"},
		{"D25", tx.Impersonate, func(r *tx.Rule) { r.RefreshToken = true }, "refresh_lifetime"},
		{"D25", tx.Impersonate, func(r *tx.Rule) { r.RefreshLifetime = time.Hour }, "refresh_lifetime"},
		{"D15", tx.Impersonate, func(r *tx.Rule) { r.MaxChain = -1 }, "max_chain"},
		{"D15", tx.Impersonate, func(r *tx.Rule) { r.MaxChain = 33 }, "max_chain"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.SubjectTypes = []tx.TokenType{at, id} }, "narrowed"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.SubjectTypes = []tx.TokenType{jwt} }, "narrowed"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Types = []tx.TokenType{id} }, "narrower token"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.IDToken = true }, "narrower token"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Expand = tx.Scope{"x"} }, "do not apply"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.OutliveSubject = true }, "do not apply"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Rebind = true }, "do not apply"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.TenantTargets = true }, "do not apply"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.OtherTokens = true }, "do not apply"},
		{"D01", tx.Narrow, func(r *tx.Rule) { r.Issuers = []string{"https://idp.example"} }, "do not apply"},
		{"D13", tx.Narrow, func(r *tx.Rule) { r.Carry = true }, "carry"},
		{"D13", tx.ClientActs, func(r *tx.Rule) { r.Carry = true }, "carry"},
		{"D13", tx.Delegate, func(r *tx.Rule) { r.Carry = true }, "carry"},
		{"D09", tx.Delegate, func(r *tx.Rule) { r.MayActClient = true }, "may_act_client"},
		{"D09", tx.Narrow, func(r *tx.Rule) { r.MayActClient = true }, "may_act_client"},
		{"D16", tx.Impersonate, func(r *tx.Rule) { r.Self = true }, "self"},
		{"R09", tx.ClientActs, func(r *tx.Rule) { r.PublicClients = true }, "public client is no actor"},
		{"D04", tx.Impersonate, func(r *tx.Rule) { r.Issuers = []string{""} }, "empty issuer"},
		{"R09", tx.Impersonate, func(r *tx.Rule) { r.Clients, r.PublicClients = []string{"*"}, true }, "clients by name"},
		{"D04", tx.Impersonate, func(r *tx.Rule) { r.Clients, r.OtherTokens = []string{"*"}, true }, "clients by name"},
		{"D05", tx.Delegate, func(r *tx.Rule) { r.Clients, r.OtherActors = []string{"*"}, true }, "clients by name"},
		{"D04", tx.Impersonate, func(r *tx.Rule) { r.Clients, r.Issuers = []string{"*"}, []string{"x"} }, "clients by name"},
		{"D13", tx.Impersonate, func(r *tx.Rule) { r.Clients, r.Carry = []string{"*"}, true }, "clients by name"},
	}
	for i, test := range tests {
		t.Run(fmt.Sprintf("%s/%d/%s", test.row, i, test.problem), func(t *testing.T) {
			r := plain(test.mode)
			_, err := tx.NewPolicy(r)
			require.NoError(t, err, "the rule is good before the change")
			test.change(&r)
			_, err = tx.NewPolicy(named("first", plain(tx.Narrow)), r)
			require.ErrorContains(t, err, test.problem)
			require.ErrorContains(t, err, fmt.Sprintf("rule %q (number 2)", r.Name))
		})
	}
}

func TestNewPolicy_RefusesANameTwice_D02(t *testing.T) {
	_, err := tx.NewPolicy(plain(tx.Narrow), plain(tx.Impersonate))
	require.ErrorContains(t, err, `rule "plain" (number 2): another rule has the same name`)
}

// TestPolicy_IsImmutable_I09: what a caller does to its own slices afterwards changes no decision.
func TestPolicy_IsImmutable_I09(t *testing.T) {
	r := plain(tx.Delegate)
	p, err := tx.NewPolicy(r)
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
	d.IDToken, d.RefreshToken, d.Lifetime = true, true, 1500*time.Millisecond
	i := named("impersonate", plain(tx.Impersonate))
	i.Carry, i.MayActClient, i.Scope = true, true, tx.Scope{"*"}
	i.Subjects[0] = tx.Identity{Issuer: "*", Kind: tx.KindUser, Tenant: "acme", ID: "alice"}
	p, err := tx.NewPolicy(d, i, named("narrow", plain(tx.Narrow)), named("client", plain(tx.ClientActs)))
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
	good := `{"name":"r","mode":"narrow","clients":["c1"],"subjects":[{"kind":"user","id":"*"}],
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
		"a misspelt mode":            {change(`"narrow"`, `"narow"`), `mode "narow" is unknown`},
		"a lifetime in numbers":      {change(`"5m"`, `300`), "lifetime"},
		"a lifetime without unit":    {change(`"5m"`, `"300"`), "no duration"},
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

// FuzzParsePolicy: what is accepted is written back the same.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"rules":[]}`))
	f.Add([]byte(`{"rules":[{"name":"r","mode":"narrow","clients":["c1"],"subjects":[{"kind":"user","id":"*"}],` +
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
