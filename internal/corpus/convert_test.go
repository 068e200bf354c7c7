package corpus

import (
	tx "github.com/go-tokenexchange/tokenexchange"
)

// convert turns a rule of the corpus into the public Rule. It returns false for a rule that the
// public Rule cannot express. It is the only code that changes when the public Rule does.
func convert(r rule) (tx.Rule, bool) {
	return tx.Rule{
		Name:            r.Name,
		Mode:            tx.Mode(r.Mode),
		Clients:         r.Clients,
		Subjects:        r.Subjects,
		SubjectTypes:    r.SubjectTypes,
		Actors:          r.Actors,
		ActorTypes:      r.ActorTypes,
		Types:           r.Types,
		Targets:         r.Targets,
		DefaultTargets:  r.DefaultTargets,
		TenantTargets:   r.TenantTargets,
		SubjectAudience: r.SubjectAudience,
		ActorAudience:   r.ActorAudience,
		Scope:           r.Scope,
		Expand:          r.Expand,
		Lifetime:        r.Lifetime.Duration,
		RefreshLifetime: r.RefreshLifetime.Duration,
		MaxChain:        r.MaxChain,
		PublicClients:   r.PublicClients,
		OtherTokens:     r.OtherTokens,
		OtherActors:     r.OtherActors,
		Issuers:         r.Issuers,
		MayActClient:    r.MayActClient,
		Carry:           r.Carry,
		Self:            r.Self,
		OutliveSubject:  r.OutliveSubject,
		OutliveActor:    r.OutliveActor,
		Rebind:          r.Rebind,
		IDToken:         r.IDToken,
		RefreshToken:    r.RefreshToken,
		ReplaceMayAct:   r.ReplaceMayAct,
	}, true
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
