package tokenexchange

// scopeCursors are where the search for scopes is in the lists that they may have to be in.
type scopeCursors struct {
	token, user, client cursor // what the subject token says, what the subject may hand on, what the client is registered for
	rule, expand        hint
}

// subjectHas reports whether the subject may hand the scope token on: its token, the lineage of
// that token and the resolver allow it. Where neither token nor lineage sets a bound, the
// resolver's answer is the bound (D21).
func (q *question) subjectHas(at *scopeCursors, token string) bool {
	if q.ceiling != nil && !at.token.finds(token, q.ceiling) {
		return false
	}
	return q.ceiling != nil && q.Subject.Scope == nil || at.user.finds(token, q.Subject.Scope)
}

// switchedOn reports whether a scope that makes a further token has its effect under the rule (D23).
func (q *question) switchedOn(r *compiledRule, token string) bool {
	if q.Subject.Kind != KindUser {
		return false
	}
	return token == scopeOpenID && r.IDToken || token == scopeOffline && r.RefreshToken && !q.idToken
}

// inherits reports whether a scope is granted without being asked for by name.
func (q *question) inherits(r *compiledRule, at *scopeCursors, token string) bool {
	if asksForImpersonation(token) {
		return false
	}
	if !at.client.finds(token, q.Client.Scope) || !q.subjectHas(at, token) {
		return false
	}
	if makesToken(token) {
		return q.switchedOn(r, token)
	}
	return r.anyScope || at.rule.finds(token, &r.scope) || at.expand.finds(token, &r.expand)
}

// expands reports whether a scope that was asked for is granted beyond the subject.
func (q *question) expands(r *compiledRule, at *scopeCursors, token string) bool {
	return len(r.Expand) > 0 && at.expand.finds(token, &r.expand) && at.client.finds(token, q.Client.Scope) && !q.subjectHas(at, token)
}

// wished is the scope that counts as asked for where none is: the subject's, or the actor's if the subject has none by
// its nature (D20).
func (q *question) wished() Scope {
	if q.carries {
		return q.ceiling
	}
	if q.actor != nil && (q.actor.Type.isAccess() || q.actor.Type.isEvidence()) {
		return q.actor.Scope
	}
	return nil
}

// leftOut reports whether an inherited scope goes without a word: it would do nothing here (D23).
func (q *question) leftOut(r *compiledRule, token string) bool {
	return asksForImpersonation(token) || makesToken(token) && !q.switchedOn(r, token)
}

// scope: does the rule allow every scope that was asked for, and is something left of what was not (D20, D21)?
func (q *question) scope(r *compiledRule) string {
	var at scopeCursors
	if q.Request.Scope != nil {
		for _, token := range q.Request.Scope {
			if !q.inherits(r, &at, token) && !q.expands(r, &at, token) {
				return q.whyNot(r, token)
			}
		}
		return ""
	}
	cut := false
	for _, token := range q.wished() {
		if q.inherits(r, &at, token) {
			return ""
		}
		cut = cut || !q.leftOut(r, token)
	}
	if cut && !q.idToken { // an ID token needs no scope
		return "D20: no scope is left"
	}
	return ""
}

// whyNot returns why a scope that was asked for is not granted.
func (q *question) whyNot(r *compiledRule, token string) string {
	switch {
	case asksForImpersonation(token):
		return "D23: a scope that asks for impersonation"
	case makesToken(token) && !q.switchedOn(r, token):
		return "D23: a scope for a further token, which the rule does not add here"
	case q.carries && q.Subject.Token.Scope == nil:
		return "D22: the subject token does not say its scope"
	}
	return "D21: a scope beyond what subject, client and rule have in common"
}

// mostScopes is how many scopes the result can have.
func (q *question) mostScopes() int {
	if q.Request.Scope != nil {
		return len(q.Request.Scope)
	}
	return len(q.wished())
}

// grantedScope returns the scope of the result, in room, and the part of it that is beyond the subject. It is never nil,
// but known to be none, so that a refresh inherits nothing either. The rule has allowed all that was asked for.
func (q *question) grantedScope(r *compiledRule, room []string) (granted, expanded Scope) {
	if q.Request.Scope != nil {
		granted = appendDistinct(room, q.Request.Scope)
	} else {
		granted = distinct(q.inherited(r, room))
	}
	if len(r.Expand) == 0 {
		return granted, nil
	}
	var at scopeCursors
	for _, token := range granted {
		if q.expands(r, &at, token) {
			expanded = append(expanded, token)
		}
	}
	return granted, expanded
}

// inherited appends to list what is granted where no scope is asked for.
func (q *question) inherited(r *compiledRule, list []string) []string {
	var at scopeCursors
	for _, token := range q.wished() {
		if q.inherits(r, &at, token) {
			list = append(list, token)
		}
	}
	return list
}
