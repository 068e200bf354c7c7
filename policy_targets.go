package tokenexchange

import "slices"

// grantTargets returns the audience of the result and the organisation that it is for (D24). Every
// requested target must be allowed (R14). The audience is never empty: a token without aud would be
// good at every API that does not check aud.
func (r *rule) grantTargets(f *Facts) (audience []string, tenant string, refused *Error) {
	// A target that selects an organisation is taken out first, so it is neither checked against
	// the ceiling nor written into aud.
	selected, asked := "", []string{}
	for _, target := range slices.Concat(f.Request.Audience, f.Request.Resource) {
		if r.tenantTargets && slices.Contains(f.Subject.Tenants, target) {
			if selected != "" && selected != target {
				return nil, "", refuse(InvalidTarget, "two_tenants",
					"the targets %q and %q are both organisations of the subject (D24)",
					selected, target)
			}
			selected = target
			continue
		}
		asked = append(asked, target)
	}
	// An organisation that an earlier exchange selected stays selected.
	tenant = f.Subject.tenant()
	if selected != "" {
		tenant = selected
	}
	if r.issuedType(f) == TypeIDToken {
		audience, refused = idTokenAudience(f, asked)
		return audience, tenant, refused
	}
	for _, target := range asked {
		if !r.allowsTarget(f, target) {
			return nil, "", r.refuseTarget(f, target)
		}
	}
	if len(asked) > 0 {
		return distinct(asked), tenant, nil
	}
	// Defaults are cut to what the rule allows. Requested targets are not cut, but refused above.
	for _, target := range r.defaultAudience(f) {
		if r.allowsTarget(f, target) {
			audience = append(audience, target)
		}
	}
	if len(audience) == 0 {
		return nil, "", refuse(InvalidTarget, "no_target_left",
			"no target was requested, and the rule allows none of the defaults %s (D24)",
			listed(r.defaultAudience(f)))
	}
	return distinct(audience), tenant, nil
}

// idTokenAudience returns the audience of an ID token: the client, which is the only target that
// may be requested (D27).
func idTokenAudience(f *Facts, asked []string) ([]string, *Error) {
	for _, target := range asked {
		if target != f.Client.ID {
			return nil, refuse(InvalidTarget, "id_token_target",
				"target %q was requested; an ID token is for client %q (D27)", target, f.Client.ID)
		}
	}
	return []string{f.Client.ID}, nil
}

// defaultAudience returns the targets for a request without targets: the first list that exists.
// If the rule allows nothing of that list, the next list is not tried, because the client could not
// foresee its targets. A foreign aud and the aud of an ID token name no target.
func (r *rule) defaultAudience(f *Facts) []string {
	switch {
	case len(r.defaultTargets) > 0:
		return r.defaultTargets
	case f.isOwnAccess(&f.Subject.Token):
		return f.Subject.Token.Audience
	case f.Actor != nil && f.isOwnAccess(&f.Actor.Token):
		return f.Actor.Token.Audience
	}
	return nil
}

// allowsTarget reports whether the rule allows the target for the presented tokens (D24). Targets
// are equal only byte for byte: a trailing slash makes another target.
func (r *rule) allowsTarget(f *Facts, target string) bool {
	subject := &f.Subject.Token
	switch {
	// A narrower token must not reach an API that the presented token could not reach.
	case r.mode == Narrow && !slices.Contains(subject.Audience, target):
		return false
	case r.targets.has(target):
		return true
	case r.subjectAudience && f.isOwnAccess(subject) && slices.Contains(subject.Audience, target):
		return true
	}
	return r.actorAudience && f.Actor != nil && f.isOwnAccess(&f.Actor.Token) &&
		slices.Contains(f.Actor.Token.Audience, target)
}

// refuseTarget returns the refusal of a target that allowsTarget refuses. The detail lists what is
// allowed, for the operator; the client gets a fixed sentence.
func (r *rule) refuseTarget(f *Facts, target string) *Error {
	subject := &f.Subject.Token
	if r.mode == Narrow && !slices.Contains(subject.Audience, target) {
		return refuse(InvalidTarget, "target_not_allowed",
			"target %q is not in the audience of the subject token, %s (D24)",
			target, listed(subject.Audience))
	}
	allowed := "the targets of the rule, " + r.targets.String()
	if r.subjectAudience && f.isOwnAccess(subject) {
		allowed += ", or the audience of the subject token, " + listed(subject.Audience)
	}
	if r.actorAudience && f.Actor != nil && f.isOwnAccess(&f.Actor.Token) {
		allowed += ", or the audience of the actor token, " + listed(f.Actor.Token.Audience)
	}
	return refuse(InvalidTarget, "target_not_allowed",
		"target %q is not in %s (D24)", target, allowed)
}
