package tokenexchange

import (
	"math"
	"slices"
)

// Decide is pure: the same facts, the same decision. One rule must grant the whole request (RFC 8693 §2.1.1); rules are
// never merged, and the first in policy order that grants it decides. A refusal is an *Error from the rule that came
// furthest: client, mode, types, subject, actor and binding (invalid_request), then targets (invalid_target), then scope
// (invalid_scope). What no rule can lift is refused before any rule is asked.
//
// Decision.Facts stays empty: it is the Exchanger that fills it in, whoever decides.
//
// errors.As finds the *Error, and so does AsError: a new one for each caller, who may change it.
func (p *Policy) Decide(f Facts) (d Decision, err error) {
	if p == nil {
		p = refusesAll
	}
	q := question{Facts: &f} // here, and not where the rest is set: the facts would have to be on the heap
	q.begin()
	r, chain, refused := p.ruleFor(&q)
	if refused != nil {
		return d, refused
	}
	// The decision is written here, and not where a pointer to it would have to be passed: that takes some 20 ns less.
	d.Rule, d.Mode, d.Issuer, d.Client, d.Subject = r.Name, r.Mode, f.Issuer, f.Client.ID, f.Subject.Identity
	d.Type, d.Issued, d.Expires, d.Confirmation = q.typeFor(r), date(q.now), date(q.expires), q.binding()
	d.ReplaceMayAct = r.ReplaceMayAct
	if ends := q.endsUnder(r); ends != math.MaxInt64 {
		d.Ends = date(ends)
	}
	d.Actor = q.grantedChain(r, chain)
	targets := q.mostTargets(r)
	room := make([]string, 0, targets+q.mostScopes()) // one allocation for both lists (40 ns less); neither can grow into the other
	d.Audience, d.Subject.Tenant = q.grantedTargets(r, room[:0:targets])
	d.Scope, d.Expanded = q.grantedScope(r, room[targets:targets])
	if !q.idToken {
		d.IDToken = r.IDToken && slices.Contains(d.Scope, scopeOpenID)
		d.RefreshToken = r.RefreshToken && slices.Contains(d.Scope, scopeOffline)
	}
	if d.RefreshToken {
		expires := q.refreshExpiry(r)
		if expires < q.soonest {
			const reason = "D25: Subject.Until, at which the grant ends, has passed"
			return Decision{}, r.denials.of(InvalidRequest, r.Name, reason)
		}
		d.RefreshExpires = date(expires)
	}
	return d, nil
}

// ruleFor returns the rule that grants and the chain of the subject token, or the refusal. The chain does not leave
// through q, since the facts would have to go to the heap with it.
func (p *Policy) ruleFor(q *question) (r *compiledRule, chain *Actor, refused *denial) {
	if code, reason := q.incomplete(); reason != "" {
		return nil, nil, p.denials.of(code, "", reason)
	}
	reason := q.badSubject()
	if reason == "" && q.actor != nil {
		reason = q.badActor()
	}
	if reason != "" {
		return nil, nil, p.denials.of(InvalidRequest, "", reason)
	}
	if q.Client.Public && !p.namesPublic(q.Client.ID) {
		return nil, nil, p.denials.of(UnauthorizedClient, "", "R09: no rule names this public client")
	}
	reason = q.misplaced()
	if reason == "" && q.Subject.Token.Actor != nil {
		chain, reason = q.wholeChain()
	}
	if reason != "" {
		return nil, nil, p.denials.of(InvalidRequest, "", reason)
	}
	q.chain = chain
	best := p.best(q)
	if best.stage != stageGranted {
		return nil, nil, p.denial(best)
	}
	return best.rule, chain, nil
}

// best asks the rules that speak of the client, in policy order and until one decides, and returns what the one says that
// came furthest. Rules of other clients cost nothing.
func (p *Policy) best(q *question) refusal {
	best := refusal{reason: "D02: no rule speaks of this client"}
	named := p.named[q.Client.ID]
	for i, j := 0, 0; best.stage < stageFinal && i+j < len(named)+len(p.any); {
		var next int
		if j == len(p.any) || i < len(named) && named[i] < p.any[j] {
			next = named[i]
			i++
		} else {
			next = p.any[j]
			j++
		}
		r := &p.rules[next]
		if q.Client.Public && !r.PublicClients {
			continue
		}
		if at, reason := q.ask(r); best.rule == nil || at > best.stage {
			best = refusal{at, r, reason}
		}
	}
	return best
}

// refusesAll is what a nil Policy is.
var refusesAll = &Policy{}

// namesPublic reports whether a rule for public clients names this one; it must, "*" does not (R09).
func (p *Policy) namesPublic(client string) bool {
	return slices.ContainsFunc(p.named[client], func(i int) bool { return p.rules[i].PublicClients })
}

// stage is how far a rule came with a request, in the order in which its failures are reported (D03).
type stage int

const (
	stageMode stage = iota
	stageTypes
	stageSubject
	stageActor
	stagePresenting
	stageMayAct
	stageChain
	stageSelf
	stageKeys
	stageLifetime
	stageTargets
	stageScope
	stageFinal   // the rule decides, and refuses for a reason that no later rule may mend
	stageGranted // the rule decides
)

// refusal is why one rule does not grant; at stageGranted, that it does.
type refusal struct {
	stage  stage
	rule   *compiledRule
	reason string
}

// question is the facts together with what follows from them alone, worked out once for all rules. The facts are not
// copied: they are a kilobyte.
type question struct {
	*Facts
	now      int64  // in seconds since 1970, rounded down; numbers are compared in a fraction of the time that times are
	soonest  int64  // the first second that is a whole one later
	chain    *Actor // its chain, every member with its issuer
	actor    *Token // the actor token; nil: none
	refresh  bool   // recorded facts: how the tokens were presented was asked when they were (D28)
	own      bool   // the subject token is ours
	issuedTo bool   // and was issued to the client
	byClient bool   // a client signed it itself
	access   bool   // it counts as an access token
	evidence bool   // it is evidence
	carries  bool   // it states its own scope
	ceiling  Scope  // scope that the token and its lineage allow; nil: they set no bound
	class    class  // of the subject token
	dies     int64  // when it expires, counted like now; past: it has
	ends     int64  // when the first of the tokens ends what is made from it, counted like now
	expires  int64  // when what the rule that was asked last gives does
	idToken  bool   // that is an ID token
}

// begin works out what follows from the facts.
func (q *question) begin() {
	f := q.Facts
	q.now, q.refresh = f.Now.Unix(), f.Grant == grantRefresh
	if q.soonest = q.now + 1; f.Now.Nanosecond() > 0 {
		q.soonest++
	}
	if f.Actor != nil {
		q.actor = &f.Actor.Token
	}
	t := &f.Subject.Token
	q.own = t.Issuer == f.Issuer
	q.issuedTo = q.own && t.ClientID == f.Client.ID
	q.byClient = t.ByClient
	q.class = t.Type.class()
	q.access, q.evidence = q.class.isAccess(), q.class == evidence
	// A name, an ID token and evidence without a scope do not say one by their nature; an access token without one does,
	// and says nothing (D22).
	q.carries = q.access || q.evidence && t.Scope != nil
	q.ceiling = t.ceiling()
	q.dies = q.second(t.Expires)
	q.ends = q.end(t)
	if q.actor != nil {
		q.ends = min(q.ends, q.end(q.actor))
	}
}

// incomplete refuses facts that say nothing. They come before everything else, so that zero values grant nothing (I01).
func (q *question) incomplete() (code Code, reason string) {
	switch {
	case q.Client.ID == "":
		return InvalidClient, "R09: no client"
	case q.Issuer == "" || q.Grant == "" || q.Now.IsZero():
		return ServerError, "I01: facts without issuer, grant or time"
	case !q.Subject.isSomebody():
		return InvalidRequest, "D07: nobody says who the subject is"
	case q.actor != nil && !q.Actor.isSomebody():
		return InvalidRequest, "D07: nobody says who the actor is"
	}
	return "", ""
}

// badSubject returns why the subject token is not good in itself, or nothing. No rule can lift that, nor anything else up
// to wholeChain (I10).
func (q *question) badSubject() string {
	t := &q.Subject.Token
	switch {
	case q.Subject.Issuer != q.Issuer:
		return "D19: a foreign subject that was not resolved to one of ours"
	case t.Type == "" || t.Issuer == "" || t.Subject == "":
		return "R08: a subject token without type, issuer or subject"
	case !q.own && (q.class == accessToken || q.class == refreshToken):
		return "R07: an access or refresh token that is not ours"
	case t.Issuer == t.Subject && t.Issuer == q.Client.ID:
		return "R07: a client assertion"
	case !q.refresh && q.dies == past:
		return "D25: the subject token has expired"
	case q.Subject.leftTenant():
		return "D24: the subject no longer belongs to the organisation that its token is for"
	}
	return ""
}

// badActor returns why the actor token is not good in itself, or nothing.
func (q *question) badActor() string {
	t := q.actor
	switch {
	case t.Type == "" || t.Issuer == "" || t.Subject == "":
		return "R08: an actor token without type, issuer or subject"
	case t.Type == TypeRefreshToken:
		return "D28: a refresh token as actor token"
	case t.Type == TypeAccessToken && t.Issuer != q.Issuer:
		return "R07: an access token that is not ours"
	case q.Grant == GrantType && t.Type.isEvidence():
		return "D05: an actor token must be an access or ID token"
	case t.Issuer == t.Subject && t.Issuer == q.Client.ID:
		return "R07: a client assertion"
	case !q.refresh && q.second(t.Expires) == past:
		return "D25: the actor token has expired"
	case q.Actor.leftTenant():
		return "D24: the actor no longer belongs to the organisation that its token is for"
	}
	return ""
}

// misplaced returns why good tokens are not good here, for this client and beside each other, or nothing.
func (q *question) misplaced() string {
	t := &q.Subject.Token
	switch {
	case q.class == refreshToken && t.ClientID != q.Client.ID:
		return "D28: a refresh token of another client"
	case q.byClient && (q.own || t.Issuer != q.Client.ID):
		return "D04: a token that another client signed itself"
	case q.byClient && !q.evidence:
		return "D04: what a client signs is neither an access nor an ID token"
	case q.byClient && (t.Actor != nil || t.MayAct != nil):
		return "D06: a client is not believed for act or may_act"
	case q.actor == nil && (q.isName() || q.evidence && q.Grant == GrantType && (q.own || q.byClient)):
		return "D04: without an actor token, a name, a ticket or the client's word is nothing"
	case q.isTicket() && (t.MayAct == nil || t.MayAct.Subject == "" || q.actor == nil):
		return "D09: a ticket needs its actor, and a may_act with sub"
	case q.actor == nil:
		return ""
	case t.MayAct != nil && !q.refresh && !q.mayActNamesActor():
		return "D08: may_act does not name this actor and client"
	case q.actor.Actor != nil:
		return "D14: the actor token carries act"
	case !proved(q.actor.Confirmation, q.Client.Confirmation):
		return "D30: the key of the actor token was not proved"
	}
	return ""
}

// isName reports whether the subject token is a bare name, such as a user id. The verifier sets
// Token.Name; fields that happen to be empty do not make a token a name.
func (q *question) isName() bool { return q.own && q.evidence && q.Subject.Token.Name }

// isTicket reports whether the subject token is evidence that this server made for an actor: at the
// exchange, all own evidence but a name. A door that brings evidence without may_act answers for
// that itself.
func (q *question) isTicket() bool {
	t := &q.Subject.Token
	return q.own && q.evidence && !t.Name && (t.MayAct != nil || q.Grant == GrantType)
}

// proved reports whether every key that a token is bound to is among those proved (D30).
func proved(bound, proof Confirmation) bool {
	return (bound.JKT == "" || bound.JKT == proof.JKT) && (bound.X5T == "" || bound.X5T == proof.X5T)
}

// ask takes one rule through the request. What was asked for in targets and scope says whether the rule decides; its
// lifetime does not, so a failing one is final where everything else fits (D02).
func (q *question) ask(r *compiledRule) (at stage, reason string) {
	if at, reason = q.misses(r); reason != "" {
		return at, reason
	}
	at, reason = stageTargets, q.targets(r)
	if reason == "" {
		at, reason = stageScope, q.scope(r)
	}
	late := q.lifetime(r)
	switch {
	case late == "" && reason == "":
		return stageGranted, ""
	case late == "":
		return at, reason
	case reason == "":
		return stageFinal, late
	}
	return stageLifetime, late
}

// misses returns the first stage before the lifetime at which the rule does not fit, and why; no reason if it fits. The
// client fits: the index has seen to it. What there is nothing to ask about is not called: that, and the type as a class,
// take 5% of a decision less. It is no table of methods: calls through one would put the facts on the heap.
func (q *question) misses(r *compiledRule) (at stage, reason string) {
	if reason = q.mode(r); reason != "" {
		return stageMode, reason
	}
	if reason = q.types(r); reason != "" {
		return stageTypes, reason
	}
	if reason = q.subjectPattern(r); reason != "" {
		return stageSubject, reason
	}
	if q.actor != nil {
		if reason = q.actorPattern(r); reason != "" {
			return stageActor, reason
		}
	}
	if reason = q.presenting(r); reason != "" {
		return stagePresenting, reason
	}
	if q.actor != nil {
		if reason = q.presentingActor(r); reason != "" {
			return stagePresenting, reason
		}
	} else if q.Subject.Token.MayAct != nil {
		if reason = q.mayAct(r); reason != "" {
			return stageMayAct, reason
		}
	}
	if q.chain != nil || q.addsActor(r) {
		if reason = q.chainFits(r); reason != "" {
			return stageChain, reason
		}
	}
	if q.addsActor(r) {
		if reason = q.self(r); reason != "" {
			return stageSelf, reason
		}
	}
	if q.Subject.Token.Confirmation.names() {
		if reason = q.keys(r); reason != "" {
			return stageKeys, reason
		}
	}
	return stageLifetime, ""
}

func (q *question) mode(r *compiledRule) string {
	switch {
	case r.delegates != (q.actor != nil):
		return "D01: the mode of the rule does not fit the tokens that were sent"
	case r.acts && q.Client.Public:
		return "D01: a public client is no actor"
	}
	return ""
}

// typeFor is the type that the rule would issue.
func (q *question) typeFor(r *compiledRule) TokenType {
	if q.Request.RequestedTokenType != "" {
		return q.Request.RequestedTokenType
	}
	return r.Types[0]
}

func (q *question) types(r *compiledRule) string {
	if q.idToken = r.idTokens; q.Request.RequestedTokenType != "" {
		q.idToken = q.Request.RequestedTokenType == TypeIDToken
	}
	switch {
	case !slices.Contains(r.SubjectTypes, q.Subject.Token.Type):
		return "R07: the rule does not accept this subject token type"
	case q.actor != nil && !slices.Contains(r.ActorTypes, q.actor.Type):
		return "R07: the rule does not accept this actor token type"
	case q.Request.RequestedTokenType != "" && !slices.Contains(r.Types, q.Request.RequestedTokenType):
		return "R07: the rule does not issue the requested token type"
	case q.idToken && q.Subject.Kind != KindUser:
		return "D27: an ID token is about a user"
	}
	return ""
}

// subjectPattern compares the subject in the organisation that the presented token is for.
func (q *question) subjectPattern(r *compiledRule) string {
	subject := q.Subject.Identity
	subject.Tenant = q.Subject.tenant()
	for i := range r.Subjects {
		if r.Subjects[i].matches(&subject, true) { // it is one of ours (D19)
			return ""
		}
	}
	return "D19: the rule does not match this subject"
}

func (q *question) actorPattern(r *compiledRule) string {
	own := q.Actor.Issuer == q.Issuer
	actor := q.Actor.Identity
	actor.Tenant = q.Actor.tenant()
	for i := range r.Actors {
		if r.Actors[i].matches(&actor, own) {
			return ""
		}
	}
	return "D19: the rule does not match this actor"
}

// presenting: may this client present this subject token (D04)?
func (q *question) presenting(r *compiledRule) string {
	t := &q.Subject.Token
	switch {
	case r.narrows && !(q.issuedTo && q.access):
		return "D01: only an own access token is narrowed, by the client it was issued to"
	case q.byClient || q.own && (q.refresh || r.OtherTokens):
		return ""
	case q.isName():
		return "D04: the rule does not have other_tokens, which a name needs"
	case q.issuedTo || !q.own && slices.Contains(r.Issuers, t.Issuer):
		return ""
	case !q.own:
		return "D04: the rule does not name the foreign issuer of the subject token"
	case slices.ContainsFunc(t.Audience, q.isClientName):
		return ""
	case t.MayAct != nil && t.MayAct.ClientID == q.Client.ID:
		return ""
	}
	return "D04: the subject token is neither issued to the client nor for it"
}

// isClientName reports whether tokens for this audience are for the client.
func (q *question) isClientName(audience string) bool {
	return audience != "" && (audience == q.Client.ID || slices.Contains(q.Client.Audiences, audience))
}

// presentingActor: may this client present this actor token (D05)?
func (q *question) presentingActor(r *compiledRule) string {
	t := q.actor
	switch {
	case t.Issuer != q.Issuer && slices.Contains(r.Issuers, t.Issuer):
		return ""
	case t.Issuer != q.Issuer:
		return "D05: the rule does not name the foreign issuer of the actor token"
	case q.refresh || r.OtherActors:
		return ""
	case t.Lineage != nil && t.Lineage.Lent:
		return "D05: the actor token was made from a token of another client"
	case t.ClientID == q.Client.ID || q.isClient(q.Actor.Identity):
		return ""
	case t.Type == TypeIDToken && slices.Contains(t.Audience, q.Client.ID):
		return ""
	}
	return "D05: the actor token is neither issued to the client nor about it"
}

// isClient reports whether somebody is the authenticated client.
func (q *question) isClient(id Identity) bool {
	return id.Kind == KindClient && id.Issuer == q.Issuer && id.ID == q.Client.ID
}

// mayAct: what a may_act says where there is no actor token (D09). With one it was asked before any rule.
func (q *question) mayAct(r *compiledRule) string {
	m := q.Subject.Token.MayAct
	switch {
	case r.narrows:
		return ""
	case m.ClientID != q.Client.ID:
		return "D09: may_act does not name this client"
	case m.Issuer != "" && m.Subject == "":
		return "D08: may_act has iss without sub, which names no actor"
	case !r.MayActClient:
		return "D09: the rule does not let the client named by may_act do without an actor token"
	case r.acts && !q.refresh && !q.mayActNamesClient():
		return "D08: may_act names the client, and says more than fits it"
	}
	return ""
}

func (q *question) self(r *compiledRule) string {
	same := r.acts && q.isClient(q.Subject.Identity) || q.actor != nil && q.Subject.Identity == q.Actor.Identity
	if same && !r.Self {
		return "D16: subject and actor are the same"
	}
	return ""
}

// keys: a bound subject token needs its key, or a rule that rebinds it to another that was proved (D30).
func (q *question) keys(r *compiledRule) string {
	proof := q.Client.Confirmation
	if proved(q.Subject.Token.Confirmation, proof) || r.Rebind && proof != (Confirmation{}) {
		return ""
	}
	return "D30: the key of the subject token was not proved"
}

// binding is the key that the result is bound to: one, that of the subject token first, else DPoP's.
func (q *question) binding() Confirmation {
	proof := q.Client.Confirmation
	if proof.JKT == "" || proof.X5T != "" && q.Subject.Token.Confirmation.X5T != "" && q.Subject.Token.Confirmation.JKT == "" {
		return Confirmation{X5T: proof.X5T}
	}
	return Confirmation{JKT: proof.JKT}
}
