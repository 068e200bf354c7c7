package pathtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// receive reads and judges the tokens that a hop has issued. It returns the token that the next hop
// begins with.
func (wk *walk) receive(a attempt, at *node, answer tx.Response) (*node, error) {
	ev := wk.event(false)
	if ev == nil {
		return nil, errors.New("granted without an audit event")
	}
	h := &hop{grant: a.grant, rule: wk.rules[ev.Decision.Rule], client: a.client,
		actorToken: a.actorToken,
		requested:  a.scope,
		granted:    strings.Fields(answer.Scope),
		tenant:     wk.selected(a, wk.rules[ev.Decision.Rule]),
		at:         wk.now}
	if h.rule.Mode == tx.Delegate && h.actorToken == nil && a.grant != grantRefresh {
		h.actorToken = &actorToken{
			actingParty: actingParty{id: wk.people[a.actor].Identity, iss: own, sub: a.actor,
				hasToken: true}, exp: noEnd}
	}
	requested := h.requested
	if a.grant == grantRefresh {
		requested = at.ceiling // a refresh requests the granted scope
	}
	h.expanded = within(h.granted, requested, h.rule.Expand, h.client.Scope)
	kind := wk.kindOf(answer)
	main, err := wk.product(kind, answer.AccessToken, at, h)
	if err != nil && kind == ticket {
		wk.log("  a ticket that cannot be used: %v", err) // its may_act has no sub
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := []*node{main}
	add := func(kind tokenKind, value string, parent *node, h *hop) error {
		n, err := wk.product(kind, value, parent, h)
		list = append(list, n)
		return err
	}
	if answer.RefreshToken != "" {
		if err := add(refresh, answer.RefreshToken, at, h); err != nil {
			return nil, err
		}
	}
	if answer.IDToken != "" {
		if err := add(addedIDToken, answer.IDToken, at, h); err != nil {
			return nil, err
		}
	}
	if inner := wk.embeddedIn(main); inner != "" {
		within := *h
		within.grant, within.rule, within.requested, within.tenant,
			within.actorToken = grantEmbedded,
			wk.rules["inner"], nil, "", nil
		within.granted, within.expanded = nil, nil
		if err := add(embedded, inner, main, &within); err != nil {
			return nil, err
		}
	}
	if at.parent != nil {
		mode := h.rule.Mode
		if a.grant == grantRefresh {
			mode = modeRefresh
		}
		wk.counts[pair{at.kind, mode}]++
		wk.granted++
	}
	if a.attack != "" {
		wk.attacked["attack granted: "+a.attack]++
	}
	at.consumed = a.grant == grantRefresh || a.grant == grantAssertion || at.kind == ticket
	for _, n := range list {
		wk.judge(n)
	}
	next := main
	for _, n := range list {
		if n.kind == a.want {
			next = n
		}
	}
	return next, nil
}

// kindOf returns the kind of the issued token.
func (wk *walk) kindOf(answer tx.Response) tokenKind {
	switch t := answer.IssuedTokenType; {
	case t == tx.TypeIDToken:
		return idToken
	case t == typeTicket:
		return ticket
	case t == typeSession:
		return session
	case t == tx.TypeAccessToken && wk.stored:
		return opaque
	}
	return signed
}

// selected returns the organisation that a target of the request selects under the rule.
func (wk *walk) selected(a attempt, r rule) string {
	if r.TenantTargets && a.tenant != "" && slices.Contains(wk.people["alice"].Tenants, a.tenant) {
		return a.tenant
	}
	return ""
}

// product reads a token that a hop has issued and returns its node.
func (wk *walk) product(kind tokenKind, value string, parent *node, h *hop) (*node, error) {
	n := &node{kind: kind, value: value, parent: parent, hop: h, number: len(wk.pool), ends: noEnd,
		issued: wk.now}
	n.declared = map[tokenKind]tx.TokenType{opaque: tx.TypeAccessToken, idToken: tx.TypeIDToken,
		addedIDToken: tx.TypeIDToken,
		refresh:      tx.TypeRefreshToken, ticket: typeTicket, session: typeSession}[kind]
	if n.declared == "" {
		n.declared = pick(wk.dice, tx.TypeJWT, tx.TypeAccessToken)
	}
	if isJWT := strings.Contains(value, "."); isJWT == (kind == opaque || kind == refresh ||
		kind == session) {
		return nil, fmt.Errorf("%q is not a %s", value, kind)
	}
	var err error
	if n.tokenClaims, err = wk.read(value, n.declared, h.client, wk.oneIn(6)); err != nil {
		return nil, fmt.Errorf("reading a new %s: %w", kind, err)
	}
	n.org = parent.org
	if h.tenant != "" && h.grant != grantRefresh {
		n.org = h.tenant
	}
	switch {
	case kind.statesScope():
		n.ceiling = n.scope
	case kind.isEvidence():
		n.ceiling = h.granted
	case h.requested != nil:
		n.ceiling = h.granted
	default:
		n.ceiling = append(slices.Clone(parent.ceiling), h.expanded...)
	}
	limit := wk.limit(n)
	if kind.isEvidence() {
		n.ends = limit
	}
	if kind == refresh {
		n.grantEnd = wk.grantEnd(n, limit)
	}
	wk.pool = append(wk.pool, n)
	wk.log("  T%d: %s, client %q, aud %q, scope %q (ceiling %q), organisation %q, ends %s, "+
		"may_act %v, act %v, cnf %v",
		n.number, n.kind, n.client, n.aud, n.scope, n.ceiling, n.tenant,
		n.exp.Format(time.DateTime), n.mayAct, n.chain,
		n.cnf)
	return n, nil
}

// embeddedIn returns the token that is embedded in a claim of n; "" if there is none.
func (wk *walk) embeddedIn(n *node) string {
	if n.kind != signed {
		return ""
	}
	inner, _ := unverified(n.value)["downstream"].(string)
	return inner
}

// end returns the latest end of tokens made from n, unless a rule allows a later one.
func (n *node) end() time.Time {
	if n.kind.isEvidence() {
		return n.ends
	}
	return n.exp
}

// grant returns n, or the first refresh token of the grant if n was made by refreshes.
func (n *node) grant() *node {
	for n.hop.grant == grantRefresh && n.parent.parent != nil {
		n = n.parent
	}
	return n
}

// limit returns the latest end of the tokens of one hop (D25): the earlier of the ends of subject
// token and actor token. For each, the rule may allow the Until of its subject instead. A refresh
// has the limit of its grant.
func (wk *walk) limit(n *node) time.Time {
	r, grant := n.hop.rule, n.grant()
	subject, actorToken := grant.parent, grant.hop.actorToken
	limit := extendedEnd(subject.end(), wk.people["alice"].Until, r.OutliveSubject,
		subject.kind.isEvidence())
	if actorToken != nil {
		until := time.Time{}
		if p := wk.people[actorToken.id.ID]; p != nil && actorToken.id.Issuer == own {
			until = p.Until
		}
		limit = earlier(limit,
			extendedEnd(actorToken.exp, until, r.OutliveActor, actorToken.exp.Equal(noEnd)))
	}
	return limit
}

// grantEnd returns the end of a grant, which a refresh does not move. For evidence it is Until,
// else the expiry of the first refresh token.
func (wk *walk) grantEnd(n *node, limit time.Time) time.Time {
	if n.hop.grant == grantRefresh {
		return n.parent.grantEnd
	}
	if !n.parent.kind.isEvidence() {
		return limit
	}
	if until := wk.people["alice"].Until; !until.IsZero() {
		return earlier(limit, until)
	}
	return earlier(limit, n.hop.at.Add(n.hop.rule.RefreshLifetime))
}
