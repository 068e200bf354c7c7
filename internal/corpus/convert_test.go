package corpus

import (
	"slices"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// convert turns a rule of the corpus into the public Rule. It returns false for a rule that the
// public Rule cannot express: one with a setting that its mode does not have. It is the only code
// that changes when the public Rule does.
func convert(r rule) (tx.Rule, bool) {
	out := tx.Rule{
		Name: r.Name, Clients: r.Clients, Subjects: r.Subjects, SubjectTypes: r.SubjectTypes,
		Types: r.Types, Targets: r.Targets, DefaultTargets: r.DefaultTargets,
		SubjectAudience: r.SubjectAudience, Scope: r.Scope, Lifetime: r.Lifetime.Duration,
		MaxChain: r.MaxChain, ReplaceMayAct: r.ReplaceMayAct,
	}
	for _, s := range settingsOf(r) {
		if s.isSet && !slices.Contains(s.modes, tx.Mode(r.Mode)) {
			return tx.Rule{}, false
		}
	}
	if r.RefreshToken != (r.RefreshLifetime.Duration != 0) {
		return tx.Rule{}, false
	}
	switch tx.Mode(r.Mode) {
	case tx.Narrow:
		out.Narrow = &tx.Narrowing{PublicClients: r.PublicClients}
	case tx.Impersonate:
		out.Impersonate = &tx.Impersonation{
			PublicClients:   r.PublicClients,
			MayActClient:    r.MayActClient,
			Carry:           r.Carry,
			OtherTokens:     r.OtherTokens,
			Issuers:         r.Issuers,
			TenantTargets:   r.TenantTargets,
			Expand:          r.Expand,
			OutliveSubject:  r.OutliveSubject,
			Rebind:          r.Rebind,
			IDToken:         r.IDToken,
			RefreshLifetime: r.RefreshLifetime.Duration,
		}
	case tx.Delegate:
		out.Delegate = &tx.Delegation{
			Actors:          r.Actors,
			ActorTypes:      r.ActorTypes,
			ActorAudience:   r.ActorAudience,
			OtherActors:     r.OtherActors,
			OutliveActor:    r.OutliveActor,
			Self:            r.Self,
			PublicClients:   r.PublicClients,
			OtherTokens:     r.OtherTokens,
			Issuers:         r.Issuers,
			TenantTargets:   r.TenantTargets,
			Expand:          r.Expand,
			OutliveSubject:  r.OutliveSubject,
			Rebind:          r.Rebind,
			IDToken:         r.IDToken,
			RefreshLifetime: r.RefreshLifetime.Duration,
		}
	case tx.ClientActs:
		out.ClientActs = &tx.ClientActing{
			MayActClient:    r.MayActClient,
			Self:            r.Self,
			OtherTokens:     r.OtherTokens,
			Issuers:         r.Issuers,
			TenantTargets:   r.TenantTargets,
			Expand:          r.Expand,
			OutliveSubject:  r.OutliveSubject,
			Rebind:          r.Rebind,
			IDToken:         r.IDToken,
			RefreshLifetime: r.RefreshLifetime.Duration,
		}
	default:
		return tx.Rule{}, false
	}
	return out, true
}

// modeSetting is a setting and the modes that have it.
type modeSetting struct {
	isSet bool
	modes []tx.Mode
}

func settingsOf(r rule) []modeSetting {
	var (
		delegate    = []tx.Mode{tx.Delegate}
		impersonate = []tx.Mode{tx.Impersonate}
		noActor     = []tx.Mode{tx.Impersonate, tx.ClientActs}
		newActor    = []tx.Mode{tx.Delegate, tx.ClientActs}
		notNarrow   = []tx.Mode{tx.Impersonate, tx.Delegate, tx.ClientActs}
	)
	return []modeSetting{
		{len(r.Actors) > 0, delegate},
		{len(r.ActorTypes) > 0, delegate},
		{r.ActorAudience, delegate},
		{r.OtherActors, delegate},
		{r.OutliveActor, delegate},
		{r.Carry, impersonate},
		{r.MayActClient, noActor},
		{r.Self, newActor},
		{r.PublicClients, []tx.Mode{tx.Narrow, tx.Impersonate, tx.Delegate}},
		{r.OtherTokens, notNarrow},
		{len(r.Issuers) > 0, notNarrow},
		{r.TenantTargets, notNarrow},
		{len(r.Expand) > 0, notNarrow},
		{r.OutliveSubject, notNarrow},
		{r.Rebind, notNarrow},
		{r.IDToken, notNarrow},
		{r.RefreshToken, notNarrow},
	}
}

// newPolicy returns the policy, or false if one of its rules cannot be expressed or NewPolicy
// refuses it.
func (p policy) newPolicy() (*tx.Policy, bool) {
	if p.None {
		return nil, true
	}
	rules := make([]tx.Rule, len(p.Rules))
	for i, r := range p.Rules {
		var ok bool
		if rules[i], ok = convert(r); !ok {
			return nil, false
		}
	}
	made, err := tx.NewPolicy(rules...)
	return made, err == nil
}
