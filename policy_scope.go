package tokenexchange

import "fmt"

// grantScope returns the scope of the result, which is never nil, and the part of it that the
// subject did not have (D20–D23). A requested scope is granted as a whole or refused; nothing is
// dropped without the client's knowledge.
func (r *rule) grantScope(f *Facts) (granted, expanded Scope, refused *Error) {
	limits := r.scopeLimits(f)
	if f.Request.Scope == nil {
		granted, refused = limits.inherit(wishedScope(f))
		return granted, nil, refused
	}
	granted = Scope{}
	for _, token := range f.Request.Scope {
		switch {
		case limits.allows(token):
		case limits.expands(token):
			expanded = append(expanded, token)
		default:
			return nil, nil, limits.refusal(token)
		}
		granted = append(granted, token)
	}
	return distinct(granted), distinct(expanded), nil
}

// wishedScope returns the scope that counts as requested if the request has none: the scope of the
// subject token, or that of the actor token if the type of the subject token has no scope (D20).
func wishedScope(f *Facts) Scope {
	if statesScope(&f.Subject.Token) {
		return f.Subject.Token.ceiling()
	}
	if f.Actor != nil && f.Actor.Token.Type != TypeIDToken {
		return f.Actor.Token.Scope
	}
	return nil
}

// statesScope reports whether the token states its scope. An access token without a scope states
// that there is none (D22). A name, an ID token and evidence without scope state nothing.
func statesScope(t *Token) bool {
	return t.Type.isAccess() || t.Type.isEvidence() && t.Scope != nil
}

// scopeLimits are the upper bounds for the scope of one request (D21). In the sets of the subject,
// nil is no bound and an empty set allows nothing.
type scopeLimits struct {
	*rule
	facts   *Facts
	token   set // scope of the subject token and its lineage; nil: they set no bound
	subject set // Subject.Scope; nil: the resolver sets no bound beyond that of the token
	client  set
}

// scopeLimits collects the bounds. If neither the token nor its lineage states a scope, a nil
// Subject.Scope is the empty set: an unknown scope is no scope (D22).
func (r *rule) scopeLimits(f *Facts) scopeLimits {
	l := scopeLimits{rule: r, facts: f, client: setOf(f.Client.Scope)}
	if ceiling := f.Subject.Token.ceiling(); ceiling != nil {
		l.token = setOf(ceiling)
	}
	if f.Subject.Scope != nil || l.token == nil {
		l.subject = setOf(f.Subject.Scope)
	}
	return l
}

// subjectHas reports whether the subject can delegate the scope token.
func (l scopeLimits) subjectHas(token string) bool {
	return (l.token == nil || l.token.has(token)) && (l.subject == nil || l.subject.has(token))
}

// ruleHas reports whether the rule grants the scope token to a subject that has it.
func (l scopeLimits) ruleHas(token string) bool {
	// The settings for openid and offline_access stand in for the scope of the rule.
	if makesToken(token) {
		return l.isSwitchedOn(token)
	}
	return l.anyScope || l.scope.has(token) || l.expand.has(token)
}

// isSwitchedOn reports whether a scope that makes a further token has its effect under the rule
// (D23).
func (l scopeLimits) isSwitchedOn(token string) bool {
	switch {
	case l.facts.Subject.Kind != KindUser:
		return false
	case token == scopeOpenID:
		return l.idToken
	}
	return l.refreshLifetime > 0 && l.issuedType(l.facts) != TypeIDToken
}

// allows reports whether subject, client and rule all have the scope token.
func (l scopeLimits) allows(token string) bool {
	return !asksForImpersonation(token) && l.client.has(token) && l.subjectHas(token) &&
		l.ruleHas(token)
}

// expands reports whether a requested scope token is granted although the subject does not have it.
// The rule names it, so this is the choice of an administrator. "*" in scope does not expand.
func (l scopeLimits) expands(token string) bool {
	return l.expand.has(token) && l.client.has(token) && !l.subjectHas(token)
}

// inherit returns the part of the wished scope that is allowed. A scope token that would have no
// effect is left out (D23). It is a refusal if the limits leave nothing of a scope (D20), except
// for an ID token, which needs no scope.
func (l scopeLimits) inherit(wished Scope) (Scope, *Error) {
	granted, cut := Scope{}, Scope{}
	for _, token := range wished {
		switch {
		case l.allows(token):
			granted = append(granted, token)
		// The client did not ask for these by name, so leaving them out is no surprise.
		case asksForImpersonation(token), makesToken(token) && !l.isSwitchedOn(token):
		default:
			cut = append(cut, token)
		}
	}
	if len(granted) == 0 && len(cut) > 0 && l.issuedType(l.facts) != TypeIDToken {
		refused := l.refusal(cut[0])
		return nil, refuse(InvalidScope, "no_scope_left",
			"no scope was requested, and nothing is left of %s: %s (D20)",
			listed(cut), refused.Detail)
	}
	return distinct(granted), nil
}

// refusal returns the refusal of a scope token. The detail names the bound that does not allow the
// scope token, and lists what the bound allows.
func (l scopeLimits) refusal(token string) *Error {
	t := &l.facts.Subject.Token
	missing := ""
	switch {
	case asksForImpersonation(token):
		return refuse(InvalidScope, "scope_impersonation",
			"scope %q asks for impersonation and is never granted (D23)", token)
	case makesToken(token) && !l.isSwitchedOn(token):
		return refuse(InvalidScope, "scope_makes_no_token",
			"scope %q asks for a further token that the rule does not add here (D23)", token)
	case statesScope(t) && t.Scope == nil:
		return refuse(InvalidScope, "scope_unknown",
			"the subject token does not state its scope, so scope %q cannot be granted (D22)",
			token)
	case l.token != nil && !l.token.has(token):
		missing = "subject token or its lineage, which allow " + l.token.String()
	case l.subject != nil && !l.subject.has(token):
		missing = "scope that SubjectResolver returned for the subject, " + l.subject.String()
	case !l.client.has(token):
		missing = fmt.Sprintf("registered scope of client %q, %s", l.facts.Client.ID, l.client)
	default:
		missing = "scope of the rule, " + l.scope.String()
	}
	return refuse(InvalidScope, "scope_not_allowed",
		"scope %q is not in the %s (D21)", token, missing)
}
