package tokenexchange_test

import tx "github.com/go-tokenexchange/tokenexchange"

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

func buildAll(flat []flatRule) []tx.Rule {
	rules := make([]tx.Rule, len(flat))
	for i, r := range flat {
		rules[i] = r.build()
	}
	return rules
}

// newPolicy is NewPolicy for flat rules.
func newPolicy(flat ...flatRule) (*tx.Policy, error) { return tx.NewPolicy(buildAll(flat)...) }
