package tokenexchange

import (
	"maps"
	"slices"
)

// grantTargets returns the audience of the result and the organisation that it is for (D24). Every
// requested target must be allowed (R14).
func (r *rule) grantTargets(f *Facts) (audience []string, tenant string, refused *Error) {
	ceiling := r.targetCeiling(f)
	selected, asked := "", []string{}
	for _, target := range slices.Concat(f.Request.Audience, f.Request.Resource) {
		if r.tenantTargets && slices.Contains(f.Subject.Tenants, target) {
			if selected != "" && selected != target {
				return nil, "", deny(InvalidTarget, "two_tenants",
					"the targets %q and %q are both organisations of the subject (D24)",
					selected, target)
			}
			selected = target
			continue
		}
		asked = append(asked, target)
	}
	tenant = f.Subject.tenant()
	if selected != "" {
		tenant = selected
	}
	if r.issuedType(f) == TypeIDToken {
		audience, refused = idTokenAudience(f, asked)
		return audience, tenant, refused
	}
	for _, target := range asked {
		if !ceiling.allows(target) {
			return nil, "", deny(InvalidTarget, "target_not_allowed",
				"target %q is not in %s (D24)", target, ceiling.missing(target))
		}
	}
	if len(asked) > 0 {
		return distinct(asked), tenant, nil
	}
	for _, target := range r.defaultAudience(f) {
		if ceiling.allows(target) {
			audience = append(audience, target)
		}
	}
	if len(audience) == 0 {
		return nil, "", deny(InvalidTarget, "no_target_left",
			"no target was requested, and the rule allows none of the defaults %s (D24)",
			listed(r.defaultAudience(f)))
	}
	return distinct(audience), tenant, nil
}

// idTokenAudience returns the audience of an ID token: the client, which is the only target that may
// be requested (D27).
func idTokenAudience(f *Facts, asked []string) ([]string, *Error) {
	for _, target := range asked {
		if target != f.Client.ID {
			return nil, deny(InvalidTarget, "id_token_target",
				"target %q was requested; an ID token is for client %q (D27)", target, f.Client.ID)
		}
	}
	return []string{f.Client.ID}, nil
}

// defaultAudience returns the targets if none is requested: the first list that exists. What the
// rule allows of the list does not matter for the choice.
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

// targetCeiling is the upper bound for the targets of one request.
type targetCeiling struct {
	rule   *rule
	within set   // the audience of the token that is narrowed; nil: no such bound
	lists  []set // a target must be in one of these
}

func (r *rule) targetCeiling(f *Facts) targetCeiling {
	c := targetCeiling{rule: r, lists: []set{r.targets}}
	if r.mode == Narrow {
		c.within = setOf(f.Subject.Token.Audience)
	}
	if r.subjectAudience && f.isOwnAccess(&f.Subject.Token) {
		c.lists = append(c.lists, setOf(f.Subject.Token.Audience))
	}
	if r.actorAudience && f.Actor != nil && f.isOwnAccess(&f.Actor.Token) {
		c.lists = append(c.lists, setOf(f.Actor.Token.Audience))
	}
	return c
}

func (c targetCeiling) allows(target string) bool {
	if c.within != nil && !c.within.has(target) {
		return false
	}
	return slices.ContainsFunc(c.lists, func(s set) bool { return s.has(target) })
}

// missing names the list that does not have the target.
func (c targetCeiling) missing(target string) string {
	if c.within != nil && !c.within.has(target) {
		return "the audience of the subject token, " + c.within.String()
	}
	allowed := set{}
	for _, list := range c.lists {
		maps.Copy(allowed, list)
	}
	return "the targets of the rule, " + allowed.String()
}
