package tokenexchange_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

type claims = world.Claims

const (
	own       = world.Own
	foreign   = world.IDP
	ticket    = tx.TokenType(world.TypeTicket)
	assertion = tx.TokenType(world.TypeAssertion)
)

// propertyNow is the time of tests without a world.
var propertyNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// plain returns a rule of a mode that NewPolicy accepts.
func plain(mode tx.Mode) flatRule {
	everybody := []tx.Identity{{Kind: "*", Tenant: "*", ID: "*"}}
	r := flatRule{Mode: mode}
	r.Rule = tx.Rule{
		Name: "plain", Clients: []string{"c1"}, Subjects: everybody,
		SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
		Types:        []tx.TokenType{tx.TypeAccessToken},
		Targets:      []string{"https://api.example"}, Scope: tx.Scope{"read"},
		Lifetime: time.Minute,
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

// flatRule is a rule for tests that change modes and settings independently of each other. The
// settings that several modes have are those of Delegation.
type flatRule struct {
	tx.Rule
	tx.Delegation
	Mode         tx.Mode
	MayActClient bool
	Carry        bool
}

// build returns the public rule. Settings that the mode does not have are left out.
func (r flatRule) build() tx.Rule {
	out, s := r.Rule, r.Delegation
	switch r.Mode {
	case tx.Narrow:
		out.Narrow = &tx.Narrowing{PublicClients: s.PublicClients}
	case tx.Delegate:
		out.Delegate = &s
	case tx.Impersonate:
		out.Impersonate = &tx.Impersonation{
			PublicClients: s.PublicClients, MayActClient: r.MayActClient, Carry: r.Carry,
			OtherTokens: s.OtherTokens, Issuers: s.Issuers, TenantTargets: s.TenantTargets,
			Expand: s.Expand, OutliveSubject: s.OutliveSubject, Rebind: s.Rebind,
			IDToken: s.IDToken, RefreshLifetime: s.RefreshLifetime,
		}
	case tx.ClientActs:
		out.ClientActs = &tx.ClientActing{
			MayActClient: r.MayActClient, Self: s.Self,
			OtherTokens: s.OtherTokens, Issuers: s.Issuers, TenantTargets: s.TenantTargets,
			Expand: s.Expand, OutliveSubject: s.OutliveSubject, Rebind: s.Rebind,
			IDToken: s.IDToken, RefreshLifetime: s.RefreshLifetime,
		}
	}
	return out
}

// newPolicy is NewPolicy for flat rules.
func newPolicy(flat ...flatRule) (*tx.Policy, error) {
	rules := make([]tx.Rule, len(flat))
	for i, r := range flat {
		rules[i] = r.build()
	}
	return tx.NewPolicy(rules...)
}

// hostError is an error of a host. Its Error method panics for a nil pointer.
type hostError struct{ text string }

func (e *hostError) Error() string { return e.text }

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}
