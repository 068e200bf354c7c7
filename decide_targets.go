package tokenexchange

import "slices"

// isOwnAccess reports whether a token is one of our own access tokens: only their aud names targets (D24).
func (q *question) isOwnAccess(t *Token) bool {
	return t != nil && t.Issuer == q.Issuer && t.Type.isAccess()
}

// targetCursors are where the search for targets is in the lists that they may have to be in.
type targetCursors struct {
	subject, actor cursor // what their tokens are for
	rule           hint
}

// allowsTarget is the ceiling.
func (q *question) allowsTarget(r *compiledRule, at *targetCursors, target string) bool {
	if r.narrows && !at.subject.finds(target, q.Subject.Token.Audience) {
		return false
	}
	return at.rule.finds(target, &r.targets) ||
		r.SubjectAudience && q.isOwnAccess(&q.Subject.Token) && (r.narrows || at.subject.finds(target, q.Subject.Token.Audience)) ||
		r.ActorAudience && q.isOwnAccess(q.actor) && at.actor.finds(target, q.actor.Audience)
}

// asked returns target i of the request, which asks for all of its audiences and resources, repeats included. It is no
// function to range over: that, the loop over the rules and the comparison of dates took 40 ns more together.
func (r *Request) asked(i int) string {
	if i < len(r.Audience) {
		return r.Audience[i]
	}
	return r.Resource[i-len(r.Audience)]
}

// targetCount is for how many targets it asks.
func (r *Request) targetCount() int { return len(r.Audience) + len(r.Resource) }

// selectsTenant reports whether a target means an organisation of the subject rather than a place.
func (q *question) selectsTenant(r *compiledRule, target string) bool {
	return r.TenantTargets && slices.Contains(q.Subject.Tenants, target)
}

// targets: does the rule allow every target that was asked for, and is one left (D24)? The audience
// of an ID token is the client; besides the client, only an organisation may be asked for (D27).
func (q *question) targets(r *compiledRule) string {
	var at targetCursors
	tenant, asked := "", false
	for i := range q.Request.targetCount() {
		target := q.Request.asked(i)
		switch {
		case q.selectsTenant(r, target):
			if tenant != "" && tenant != target {
				return "D24: two organisations"
			}
			tenant = target
		case q.idToken && target != q.Client.ID:
			return "D27: the audience of an ID token is the client"
		case !q.idToken && !q.allowsTarget(r, &at, target):
			return "D24: a target beyond the ceiling of the rule"
		default:
			asked = true
		}
	}
	if asked || q.idToken {
		return ""
	}
	allowed := func(target string) bool { return q.allowsTarget(r, &at, target) }
	if !slices.ContainsFunc(q.defaultTargets(r), allowed) {
		return "D24: no target is left"
	}
	return ""
}

// defaultTargets are taken where none is asked for: the first list that exists, by kind and not by what is left of it.
func (q *question) defaultTargets(r *compiledRule) []string {
	switch {
	case len(r.DefaultTargets) > 0:
		return r.DefaultTargets
	case q.isOwnAccess(&q.Subject.Token):
		return q.Subject.Token.Audience
	case q.isOwnAccess(q.actor):
		return q.actor.Audience
	}
	return nil
}

// mostTargets is how many targets the result can have.
func (q *question) mostTargets(r *compiledRule) int {
	n := q.Request.targetCount()
	if n == 0 || r.TenantTargets { // those may be all that is asked for
		n = max(1, n, len(q.defaultTargets(r)))
	}
	return n
}

// grantedTargets returns the audience, in room, and the tenant of the result. The rule has allowed all that was asked for.
func (q *question) grantedTargets(r *compiledRule, room []string) (audience []string, tenant string) {
	audience, tenant = room, q.Subject.tenant()
	for i := range q.Request.targetCount() {
		target := q.Request.asked(i)
		if q.selectsTenant(r, target) {
			tenant = target
		} else {
			audience = append(audience, target)
		}
	}
	if q.idToken {
		return append(room, q.Client.ID), tenant
	}
	if len(audience) == 0 {
		var at targetCursors
		for _, target := range q.defaultTargets(r) {
			if q.allowsTarget(r, &at, target) {
				audience = append(audience, target)
			}
		}
	}
	return distinct(audience), tenant
}
